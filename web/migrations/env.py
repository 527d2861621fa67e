"""Runs migrations on the connection that `web.database.upgrade` opened."""

from __future__ import annotations

from alembic import context

from web.database import metadata

# Batch mode: SQLite cannot change a column, so the table is copied.
context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
