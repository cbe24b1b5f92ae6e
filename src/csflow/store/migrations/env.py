"""How Alembic reaches the database: always through a connection that csflow has already opened and begun."""

from __future__ import annotations

from alembic import context

from csflow.store.migrating import whole_metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=whole_metadata(),
    transaction_per_migration=False,
)
context.run_migrations()
