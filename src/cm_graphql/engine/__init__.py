"""GraphQL execution that compiles a query to a plan over the store, and knows no credit memo."""
