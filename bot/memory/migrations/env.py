"""Alembic's way in. ``bot.memory.upgrade`` has opened the connection and its transaction, which all steps share."""

from alembic import context

from bot.memory.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite changes a table by building a new one
)
context.run_migrations()
