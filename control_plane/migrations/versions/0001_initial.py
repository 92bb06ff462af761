"""Every table of the first release."""

import sqlalchemy as sa
from alembic import op

from control_plane.append_only import append_only_ddl

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# SQLite's STRICT tables know INTEGER only, which is 64 bits wide there.
INT64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
APPEND_ONLY = ("transfers", "entries", "usage_records", "price_rows", "catalogue_versions")


def upgrade() -> None:
    _create_accounts()
    _create_api_keys()
    _create_retired_secrets()
    _create_access_tokens()
    _create_outbox()
    _create_price_rows()
    _create_catalogue_versions()
    _create_ledger_accounts()
    _create_transfers()
    _create_entries()
    _create_usage_records()
    _create_quarantine()
    _create_nonces()
    _create_heartbeats()
    for table in APPEND_ONLY:
        for statement in append_only_ddl(op.get_bind().dialect.name, table):
            op.execute(statement)


def _create_accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at_ms", INT64, nullable=False),
        sa.CheckConstraint("state IN ('active', 'suspended')", name=op.f("ck_accounts_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("email", name=op.f("uq_accounts_email")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_accounts_created_at_ms"), "accounts", ["created_at_ms"])


def _create_api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("models", sa.Text(), nullable=True),
        sa.Column("requests_per_minute", INT64, nullable=True),
        sa.Column("tokens_per_minute", INT64, nullable=True),
        sa.Column("concurrent_requests", INT64, nullable=True),
        sa.Column("spend_cap_nano_usd", INT64, nullable=True),
        sa.Column("spend_cap_period", sa.Text(), nullable=False),
        sa.Column("expires_at_ms", INT64, nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at_ms", INT64, nullable=False),
        sa.Column("rotated_at_ms", INT64, nullable=True),
        sa.Column("revoked_at_ms", INT64, nullable=True),
        sa.CheckConstraint("spend_cap_period IN ('day', 'month', 'total')", name=op.f("ck_api_keys_spend_cap_period")),
        sa.CheckConstraint("state IN ('active', 'revoked')", name=op.f("ck_api_keys_state")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_api_keys_account_id_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("sha256", name=op.f("uq_api_keys_sha256")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_api_keys_account_id"), "api_keys", ["account_id"])


def _create_retired_secrets() -> None:
    op.create_table(
        "retired_secrets",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("retired_at_ms", INT64, nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name=op.f("fk_retired_secrets_key_id_api_keys")),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_retired_secrets")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_retired_secrets_key_id"), "retired_secrets", ["key_id"])


def _create_access_tokens() -> None:
    op.create_table(
        "access_tokens",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at_ms", INT64, nullable=False),
        sa.Column("revoked_at_ms", INT64, nullable=True),
        sa.CheckConstraint(
            "(kind = 'admin') = (account_id IS NULL) AND kind IN ('admin', 'account')",
            name=op.f("ck_access_tokens_kind"),
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_access_tokens_account_id_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_tokens")),
        sa.UniqueConstraint("sha256", name=op.f("uq_access_tokens_sha256")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_access_tokens_account_id"), "access_tokens", ["account_id"])


def _create_outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("seq", INT64, autoincrement=True, nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("version", INT64, nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at_ms", INT64, nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("enqueued_at_ms", INT64, nullable=False),
        sa.Column("finished_at_ms", INT64, nullable=True),
        sa.CheckConstraint("state IN ('pending', 'delivered', 'refused')", name=op.f("ck_outbox_state")),
        sa.CheckConstraint("target IN ('kv', 'wallet')", name=op.f("ck_outbox_target")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_outbox")),
        sqlite_autoincrement=True,
        sqlite_strict=True,
    )
    op.create_index(
        op.f("ix_outbox_state_target_next_attempt_at_ms"), "outbox", ["state", "target", "next_attempt_at_ms"]
    )
    op.create_index(op.f("ix_outbox_subject_state"), "outbox", ["subject", "state"])


def _create_price_rows() -> None:
    op.create_table(
        "price_rows",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("stored_at_ms", INT64, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_price_rows")),
        sqlite_strict=True,
    )


def _create_catalogue_versions() -> None:
    op.create_table(
        "catalogue_versions",
        sa.Column("version", INT64, autoincrement=False, nullable=False),
        sa.Column("content_sha256", sa.Text(), nullable=False),
        sa.Column("published_at_ms", INT64, nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_catalogue_versions")),
        sqlite_strict=True,
    )


def _create_ledger_accounts() -> None:
    op.create_table(
        "ledger_accounts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=True),
        sa.Column("balance_nano_usd", INT64, nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_ledger_accounts_account_id_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_accounts")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_ledger_accounts_account_id"), "ledger_accounts", ["account_id"])


def _create_transfers() -> None:
    op.create_table(
        "transfers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("debit", sa.Text(), nullable=False),
        sa.Column("credit", sa.Text(), nullable=False),
        sa.Column("amount_nano_usd", INT64, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("created_at_ms", INT64, nullable=False),
        sa.CheckConstraint("amount_nano_usd > 0", name=op.f("ck_transfers_positive")),
        sa.CheckConstraint("debit <> credit", name=op.f("ck_transfers_two_sides")),
        sa.ForeignKeyConstraint(["credit"], ["ledger_accounts.id"], name=op.f("fk_transfers_credit_ledger_accounts")),
        sa.ForeignKeyConstraint(["debit"], ["ledger_accounts.id"], name=op.f("fk_transfers_debit_ledger_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transfers")),
        sqlite_strict=True,
    )


def _create_entries() -> None:
    op.create_table(
        "entries",
        sa.Column("transfer_id", sa.Text(), nullable=False),
        sa.Column("ledger_account", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("amount_nano_usd", INT64, nullable=False),
        sa.ForeignKeyConstraint(
            ["ledger_account"], ["ledger_accounts.id"], name=op.f("fk_entries_ledger_account_ledger_accounts")
        ),
        sa.ForeignKeyConstraint(["transfer_id"], ["transfers.id"], name=op.f("fk_entries_transfer_id_transfers")),
        sa.PrimaryKeyConstraint("transfer_id", "ledger_account", name=op.f("pk_entries")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_entries_ledger_account_kind"), "entries", ["ledger_account", "kind"])


def _create_usage_records() -> None:
    op.create_table(
        "usage_records",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("served_model", sa.Text(), nullable=True),
        sa.Column("provider", sa.Text(), nullable=True),
        sa.Column("prompt_tokens", INT64, nullable=False),
        sa.Column("cached_tokens", INT64, nullable=False),
        sa.Column("completion_tokens", INT64, nullable=False),
        sa.Column("reasoning_tokens", INT64, nullable=False),
        sa.Column("cost_nano_usd", INT64, nullable=False),
        sa.Column("price_row", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("estimated", sa.Integer(), nullable=False),
        sa.Column("stream", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Text(), nullable=False),
        sa.Column("started_at_ms", INT64, nullable=False),
        sa.Column("first_event_ms", INT64, nullable=True),
        sa.Column("total_ms", INT64, nullable=False),
        sa.Column("booked_at_ms", INT64, nullable=False),
        sa.CheckConstraint("cost_nano_usd >= 0", name=op.f("ck_usage_records_cost")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_usage_records_account_id_accounts")),
        sa.ForeignKeyConstraint(["price_row"], ["price_rows.id"], name=op.f("fk_usage_records_price_row_price_rows")),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_usage_records")),
        sqlite_strict=True,
    )
    op.create_index(
        op.f("ix_usage_records_account_id_started_at_ms_request_id"),
        "usage_records",
        ["account_id", "started_at_ms", "request_id"],
    )
    op.create_index(op.f("ix_usage_records_started_at_ms_request_id"), "usage_records", ["started_at_ms", "request_id"])


def _create_quarantine() -> None:
    op.create_table(
        "quarantine",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("content_sha256", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("received_at_ms", INT64, nullable=False),
        sa.PrimaryKeyConstraint("request_id", "content_sha256", name=op.f("pk_quarantine")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_quarantine_received_at_ms"), "quarantine", ["received_at_ms"])


def _create_nonces() -> None:
    op.create_table(
        "nonces",
        sa.Column("nonce", sa.Text(), nullable=False),
        sa.Column("seen_at_ms", INT64, nullable=False),
        sa.PrimaryKeyConstraint("nonce", name=op.f("pk_nonces")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_nonces_seen_at_ms"), "nonces", ["seen_at_ms"])


def _create_heartbeats() -> None:
    op.create_table(
        "heartbeats",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("catalogue_version", INT64, nullable=False),
        sa.Column("at_ms", INT64, nullable=False),
        sa.Column("received_at_ms", INT64, nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_heartbeats_one_edge")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_heartbeats")),
        sqlite_strict=True,
    )
