"""How Alembic runs a migration: on the connection, and in the transaction, that `upgrade` has opened and locked."""

from alembic import context

from cm_graphql.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
