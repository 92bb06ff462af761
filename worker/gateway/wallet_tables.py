"""What a Wallet keeps, and the store that it is kept in.

A row that is written is nearly all that a request costs at Cloudflare, so a request is one row for as long as it may
be: it is held, then has its cost and its record, and goes when the ledger has them. Only then, and with others, it is
added to its key's row in ``spend``; and only what the ledger does not take in time moves to ``outbox``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS grants (id TEXT PRIMARY KEY, kind TEXT NOT NULL, amount INTEGER NOT NULL)
       WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS requests (request_id TEXT PRIMARY KEY, account_id TEXT NOT NULL, key_id TEXT NOT NULL,
       held INTEGER NOT NULL, created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, idempotency_key TEXT,
       cost INTEGER, settled_ms INTEGER, record TEXT) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS spend (key_id TEXT PRIMARY KEY, total INTEGER NOT NULL, day_ms INTEGER NOT NULL,
       day INTEGER NOT NULL, month_ms INTEGER NOT NULL, month INTEGER NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS outbox (request_id TEXT PRIMARY KEY, record TEXT NOT NULL, due_ms INTEGER NOT NULL)
       WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS recent (request_id TEXT PRIMARY KEY, key_id TEXT NOT NULL, at_ms INTEGER NOT NULL,
       tokens INTEGER NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS answered (key_id TEXT NOT NULL, idempotency_key TEXT NOT NULL,
       request_id TEXT NOT NULL, cost INTEGER NOT NULL, at_ms INTEGER NOT NULL,
       PRIMARY KEY (key_id, idempotency_key)) WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS revoked (key_id TEXT PRIMARY KEY) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS nonces (nonce TEXT PRIMARY KEY, at_ms INTEGER NOT NULL) WITHOUT ROWID",
)


# What an earlier version held; it kept costs and records apart from holds.
HELD_BEFORE = (
    """INSERT INTO requests SELECT request_id, account_id, key_id, amount, created_ms, expires_ms, idempotency_key,
       NULL, NULL, NULL FROM holds""",
    "DROP TABLE holds",
)


class OpenHold(NamedTuple):
    """What a request that is not settled is held with."""

    amount: int
    idempotency_key: str | None


@dataclass(slots=True)
class Memory:
    """What a Wallet need not read again, as the tables have it: to ask them costs a request more than to write to them.
    One that has just begun knows nothing (None), and reads it from the tables."""

    available: int | None = None
    """What may be spent."""

    holds: dict[str, OpenHold] | None = None
    """By request id."""

    revoked: set[str] | None = None
    """Key ids."""

    sent_ms: int = 0
    sent_id: str = ""
    """When the last request was settled whose record was sent, and which it was. Later ones are dated later."""


class Store(Protocol):
    """SQLite, synchronous: a Durable Object's in workerd, the standard library's in tests."""

    memory: Memory

    def execute(self, statement: str, *parameters: Any) -> None:
        """Run one statement that gives no rows."""

    def query(self, statement: str, *parameters: Any) -> list[Sequence[Any]]:
        """The rows of one statement."""


def create_tables(store: Store) -> None:
    for statement in SCHEMA:
        store.execute(statement)
    if store.query("SELECT 1 FROM sqlite_master WHERE name = 'holds'"):
        for statement in HELD_BEFORE:
            store.execute(statement)


def sum_of(store: Store, statement: str, *parameters: Any) -> int:
    """The one number that a statement gives; 0 where it gives null."""
    return store.query(statement, *parameters)[0][0] or 0
