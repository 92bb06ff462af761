"""Credit notes for what was given back of top-ups."""

import sqlalchemy as sa
from alembic import op

from control_plane.append_only import append_only_ddl

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# SQLite's STRICT tables know INTEGER only, which is 64 bits wide there.
INT64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "credit_notes",
        sa.Column("number", INT64, autoincrement=False, nullable=False),
        sa.Column("invoice_number", INT64, nullable=False),
        sa.Column("topup_id", sa.Text(), nullable=False),
        sa.Column("refund_id", sa.Text(), nullable=False),
        sa.Column("issued_at_ms", INT64, nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["invoice_number"], ["invoices.number"], name=op.f("fk_credit_notes_invoice_number_invoices")
        ),
        sa.ForeignKeyConstraint(["topup_id"], ["topups.id"], name=op.f("fk_credit_notes_topup_id_topups")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_credit_notes")),
        sa.UniqueConstraint("topup_id", "refund_id", name=op.f("uq_credit_notes_topup_id_refund_id")),
        sqlite_strict=True,
    )
    for statement in append_only_ddl(op.get_bind().dialect.name, "credit_notes"):
        op.execute(statement)
