"""What the edge is told about the targets' health, and usage in the order in which it was booked."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# SQLite's STRICT tables know INTEGER only, which is 64 bits wide there.
INT64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "published_health",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("health", sa.Text(), nullable=False),
        sa.Column("first_event_ms", INT64, nullable=True),
        sa.Column("tokens_per_second", INT64, nullable=True),
        sa.Column("since_ms", INT64, nullable=False),
        sa.CheckConstraint("health IN ('healthy', 'degraded', 'down')", name=op.f("ck_published_health_health")),
        sa.PrimaryKeyConstraint("provider", "model", name=op.f("pk_published_health")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_usage_records_booked_at_ms"), "usage_records", ["booked_at_ms"])
