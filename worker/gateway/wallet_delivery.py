"""How the records of settled requests reach the ledger: each is sent until it is acknowledged.

A record is kept with its request, and memory knows up to which they were sent. Those that the ledger does not take in
time move to ``outbox``, which says of each when it is sent again.
"""

from collections.abc import Sequence

from gateway import wallet_spend
from gateway.records import encode
from gateway.wallet_tables import Store, sum_of

RESEND_AFTER_MS = 60_000
BATCH_RECORDS = 50


def put_off(store: Store, *, now_ms: int) -> None:
    """Move what the ledger has not taken in time, and is due again now, away from the requests, which are looked
    through often."""
    until_ms = now_ms - RESEND_AFTER_MS
    late = "INSERT INTO outbox SELECT request_id, record, ? FROM requests WHERE settled_ms <= ? RETURNING request_id"
    if store.query(late, now_ms, until_ms):
        gone = "DELETE FROM requests WHERE settled_ms <= ? RETURNING key_id, cost, settled_ms"
        wallet_spend.add(store, store.query(gone, until_ms))


def due_records(store: Store, *, now_ms: int) -> dict[str, str]:
    """The next records to send, as JSON texts by their request ids; each comes again after a while unless it is
    acknowledged. What settles later than ``now_ms`` waits for more, or every record would be a message of its own."""
    memory = store.memory
    rows = store.query(
        """SELECT request_id, record, settled_ms FROM requests
           WHERE (settled_ms, request_id) > (?, ?) AND settled_ms <= ? ORDER BY settled_ms, request_id LIMIT ?""",
        memory.sent_ms,
        memory.sent_id,
        max(now_ms, memory.sent_ms + 1),  # where the clock has gone back, they are dated so
        BATCH_RECORDS,
    )
    if rows:
        memory.sent_id, _, memory.sent_ms = rows[-1]
    else:
        rows = store.query(
            """UPDATE outbox SET due_ms = ? WHERE request_id IN (SELECT request_id FROM outbox WHERE due_ms <= ?
               ORDER BY due_ms LIMIT ?) RETURNING request_id, record""",
            now_ms + RESEND_AFTER_MS,
            now_ms,
            BATCH_RECORDS,
        )
    return {row[0]: row[1] for row in rows}


def acknowledge(store: Store, request_ids: Sequence[str]) -> None:
    """The ledger has these records: forget them here."""
    names = encode(request_ids)
    rows = store.query(
        """DELETE FROM requests WHERE cost IS NOT NULL AND request_id IN (SELECT value FROM json_each(?))
           RETURNING key_id, cost, settled_ms""",
        names,
    )
    wallet_spend.add(store, rows)
    if len(rows) < len(request_ids):
        store.execute("DELETE FROM outbox WHERE request_id IN (SELECT value FROM json_each(?))", names)


def replay(store: Store, *, now_ms: int) -> int:
    """Send every record that is not acknowledged once more, now; how many there are."""
    store.execute("UPDATE outbox SET due_ms = ? WHERE due_ms > ?", now_ms, now_ms)
    store.memory.sent_ms, store.memory.sent_id = 0, ""
    return unacknowledged(store)


def unacknowledged(store: Store) -> int:
    """How many records the ledger is not known to have."""
    return sum_of(store, "SELECT (SELECT COUNT(*) FROM outbox) + (SELECT COUNT(cost) FROM requests)")
