"""Top-ups, what belongs to them at their provider, and the inbox of webhooks."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# SQLite's STRICT tables know INTEGER only, which is 64 bits wide there.
INT64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _create_topups()
    _create_payment_facts()
    _create_inbox()


def _create_topups() -> None:
    op.create_table(
        "topups",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("amount_nano_usd", INT64, nullable=False),
        sa.Column("fee_policy", sa.Text(), nullable=False),
        sa.Column("fee_nano_usd", INT64, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("payment_ref", sa.Text(), nullable=True),
        sa.Column("payee", sa.Text(), nullable=True),
        sa.Column("approve_url", sa.Text(), nullable=True),
        sa.Column("capture_id", sa.Text(), nullable=True),
        sa.Column("captured_nano_usd", INT64, nullable=False),
        sa.Column("refunded_nano_usd", INT64, nullable=False),
        sa.Column("declines", sa.Integer(), nullable=False),
        sa.Column("alert", sa.Text(), nullable=True),
        sa.Column("created_at_ms", INT64, nullable=False),
        sa.Column("updated_at_ms", INT64, nullable=False),
        sa.Column("observed_at_ms", INT64, nullable=False),
        sa.Column("next_look_at_ms", INT64, nullable=True),
        sa.CheckConstraint("amount_nano_usd > 0", name=op.f("ck_topups_amount")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_topups_account_id_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_topups")),
        sa.UniqueConstraint("provider", "payment_ref", name=op.f("uq_topups_provider_payment_ref")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_topups_next_look_at_ms"), "topups", ["next_look_at_ms"])
    op.create_index(op.f("ix_topups_account_id_created_at_ms"), "topups", ["account_id", "created_at_ms"])
    op.create_index(op.f("ix_topups_created_at_ms"), "topups", ["created_at_ms"])


def _create_payment_facts() -> None:
    op.create_table(
        "payment_facts",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("topup_id", sa.Text(), nullable=False),
        sa.CheckConstraint("kind IN ('capture', 'refund', 'reversal', 'dispute')", name=op.f("ck_payment_facts_kind")),
        sa.ForeignKeyConstraint(["topup_id"], ["topups.id"], name=op.f("fk_payment_facts_topup_id_topups")),
        sa.PrimaryKeyConstraint("provider", "id", name=op.f("pk_payment_facts")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_payment_facts_topup_id"), "payment_facts", ["topup_id"])


def _create_inbox() -> None:
    op.create_table(
        "inbox",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("transmission_id", sa.Text(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("topup_id", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("received_at_ms", INT64, nullable=False),
        sa.PrimaryKeyConstraint("provider", "event_id", name=op.f("pk_inbox")),
        sa.UniqueConstraint("provider", "transmission_id", name=op.f("uq_inbox_provider_transmission_id")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_inbox_received_at_ms"), "inbox", ["received_at_ms"])
