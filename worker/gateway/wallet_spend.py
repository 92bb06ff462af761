"""What each key has spent: in all, today and this month. One row for a key, which its charges join once the ledger has
their records, or is late; until then they stand with their requests."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, assert_never

from gateway.money import NanoUsd
from gateway.records import SpendCapPeriod
from gateway.wallet_tables import Store, sum_of

DAY_MS = 24 * 3_600_000

# A sum of an earlier period counts as nothing; the total began at 0.
SPENT_IN_PERIOD: dict[SpendCapPeriod, str] = {
    "day": "SELECT SUM(day) FROM spend WHERE key_id = ? AND day_ms >= ?",
    "month": "SELECT SUM(month) FROM spend WHERE key_id = ? AND month_ms >= ?",
    "total": "SELECT SUM(total) FROM spend WHERE key_id = ? AND day_ms >= ?",
}
NOT_IN_SPEND = "SELECT SUM(cost) FROM requests WHERE key_id = ? AND settled_ms >= ?"


def spent(store: Store, key_id: str, period: SpendCapPeriod, *, now_ms: int) -> NanoUsd:
    """What one key has spent in the running period, holds not counted."""
    of_period = (key_id, _period_start_ms(period, now_ms))
    return NanoUsd(sum_of(store, SPENT_IN_PERIOD[period], *of_period) + sum_of(store, NOT_IN_SPEND, *of_period))


def add(store: Store, charges: Sequence[Sequence[Any]]) -> None:
    """Add charges, which are (key_id, cost, settled_ms), to the sums of their keys. They come in any order, so one of
    an earlier day or month than the row's counts for the total alone."""
    sums: Counter[tuple[str, int]] = Counter()
    for key_id, cost, settled_ms in charges:
        if cost:
            sums[key_id, _period_start_ms("day", settled_ms)] += cost
    for (key_id, day_ms), cost in sums.items():
        store.execute(
            """INSERT INTO spend VALUES (?1, ?2, ?3, ?2, ?4, ?2) ON CONFLICT (key_id) DO UPDATE SET
               total = total + ?2,
               day = CASE WHEN day_ms > ?3 THEN day WHEN day_ms = ?3 THEN day + ?2 ELSE ?2 END,
               day_ms = MAX(day_ms, ?3),
               month = CASE WHEN month_ms > ?4 THEN month WHEN month_ms = ?4 THEN month + ?2 ELSE ?2 END,
               month_ms = MAX(month_ms, ?4)""",
            key_id,
            cost,
            day_ms,
            _period_start_ms("month", day_ms),
        )


def _period_start_ms(period: SpendCapPeriod, now_ms: int) -> int:
    """When the day or the month began, in UTC; the total began at 0."""
    today_ms = now_ms - now_ms % DAY_MS
    match period:
        case "day":
            return today_ms
        case "month":
            return today_ms - (datetime.fromtimestamp(today_ms / 1000, UTC).day - 1) * DAY_MS
        case "total":
            return 0
        case _:
            assert_never(period)
