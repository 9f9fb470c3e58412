"""Runs migrations in the transaction of the connection that `labels.store.database.migrate` hands over."""

from __future__ import annotations

from alembic import context

from labels.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transactional_ddl=True,
)
context.run_migrations()
