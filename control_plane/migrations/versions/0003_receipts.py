"""Receipts, in a chain per account, and the invoices of top-ups."""

import sqlalchemy as sa
from alembic import op

from control_plane.append_only import append_only_ddl

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# SQLite's STRICT tables know INTEGER only, which is 64 bits wide there.
INT64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
APPEND_ONLY = ("receipts", "invoices")


def upgrade() -> None:
    _create_receipts()
    _create_invoices()
    for table in APPEND_ONLY:
        for statement in append_only_ddl(op.get_bind().dialect.name, table):
            op.execute(statement)


def _create_receipts() -> None:
    op.create_table(
        "receipts",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("number", INT64, nullable=False),
        sa.Column("previous_hash", sa.Text(), nullable=True),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"], ["usage_records.request_id"], name=op.f("fk_receipts_request_id_usage_records")
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_receipts_account_id_accounts")),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_receipts")),
        sa.UniqueConstraint("account_id", "number", name=op.f("uq_receipts_account_id_number")),
        sqlite_strict=True,
    )


def _create_invoices() -> None:
    op.create_table(
        "invoices",
        sa.Column("number", INT64, autoincrement=False, nullable=False),
        sa.Column("topup_id", sa.Text(), nullable=False),
        sa.Column("issued_at_ms", INT64, nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["topup_id"], ["topups.id"], name=op.f("fk_invoices_topup_id_topups")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_invoices")),
        sa.UniqueConstraint("topup_id", name=op.f("uq_invoices_topup_id")),
        sqlite_strict=True,
    )
