"""SQL: the tables, the connection to SQLite or PostgreSQL, and the migrations that build and change the schema."""
