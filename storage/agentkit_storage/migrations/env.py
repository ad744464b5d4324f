"""Alembic's entry; run by agentkit_storage.database with a connection inside a transaction."""

from alembic import context

from agentkit_storage.schema import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transactional_ddl=False,  # the caller's transaction holds all of it
)
context.run_migrations()
