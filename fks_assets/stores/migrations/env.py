"""Run migrations on the connection that `Database.migrate` gives, inside its transaction and under its lock."""

from alembic import context

from fks_assets.stores.models import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
