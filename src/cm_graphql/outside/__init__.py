"""The world outside the database, one module for each thing there: PDFs, uploads, the file store, mail."""
