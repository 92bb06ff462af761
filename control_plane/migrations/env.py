"""How alembic reaches the database: through the connection that ``migrations.upgrade`` was given."""

from alembic import context

from control_plane.store import metadata

# Every revision is applied in the caller's transaction, which SQLite honours for its DDL too.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
