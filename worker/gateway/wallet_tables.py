"""What a Wallet keeps, and the store that it is kept in."""

from collections.abc import Sequence
from typing import Any, Protocol

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS grants (id TEXT PRIMARY KEY, kind TEXT NOT NULL, amount INTEGER NOT NULL)
       WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS holds (request_id TEXT PRIMARY KEY, account_id TEXT NOT NULL, key_id TEXT NOT NULL,
       amount INTEGER NOT NULL, created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, idempotency_key TEXT)
       WITHOUT ROWID""",
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


class Store(Protocol):
    """SQLite, synchronous: a Durable Object's in workerd, the standard library's in tests."""

    def execute(self, statement: str, *parameters: Any) -> None:
        """Run one statement that gives no rows."""

    def query(self, statement: str, *parameters: Any) -> list[Sequence[Any]]:
        """The rows of one statement."""


def create_tables(store: Store) -> None:
    for statement in SCHEMA:
        store.execute(statement)


def sum_of(store: Store, statement: str, *parameters: Any) -> int:
    """The one number that a statement gives; 0 where it gives null."""
    return store.query(statement, *parameters)[0][0] or 0
