"""Booking: from what the edge reports to checked records, their charges in the ledger, and their receipts.

A record comes as often as the edge likes and is booked once, by its request id. What cannot be right goes into
quarantine with the reason: a record is never lost, and never booked unchecked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane import ledger, quarantine, receipts, usage
from control_plane.accounts import accounts
from control_plane.ledger import Transfer
from control_plane.pricing import price_rows_by_id
from control_plane.quarantine import Quarantined
from control_plane.receipt_document import AppliedPrice
from gateway.money import NanoUsd
from gateway.records import PriceRow, UsageRecord, encode

CLOCK_SKEW_MAX_MS: Final = 10 * 60 * 1000


class _Refused(Exception):
    """Why a record must not be booked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """What became of a batch. Each record is in one of the three, and safe here whichever it is."""

    booked: tuple[str, ...]
    known: tuple[str, ...]
    quarantined: tuple[Quarantined, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Books:
    """What a batch is checked against; ``records`` grows as the batch is judged."""

    records: dict[str, UsageRecord]
    account_ids: frozenset[str]
    price_rows: dict[str, PriceRow]
    now_ms: int


@dataclass(slots=True)
class _Judged:
    """A batch sorted by what becomes of its records."""

    booked: list[tuple[UsageRecord, AppliedPrice | None]] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    refused: list[Quarantined] = field(default_factory=list)

    @property
    def booking(self) -> Booking:
        return Booking(
            booked=tuple(record.request_id for record, _ in self.booked),
            known=tuple(self.known),
            quarantined=tuple(self.refused),
        )


async def book(connection: AsyncConnection, batch: Sequence[UsageRecord | Quarantined], *, now_ms: int) -> Booking:
    """Book a batch in the caller's transaction: new records with charges and receipts, the rest into quarantine."""
    [booking] = await book_all(connection, [batch], now_ms=now_ms)
    return booking


async def book_all(
    connection: AsyncConnection, batches: Sequence[Sequence[UsageRecord | Quarantined]], *, now_ms: int
) -> list[Booking]:
    """Book several batches in as many statements as one takes; each is answered as if those before it were booked."""
    records = [item for batch in batches for item in batch if isinstance(item, UsageRecord)]
    books = await _open_books(connection, records, now_ms)
    judged = [_judge(batch, books) for batch in batches]
    priced = [item for batch in judged for item in batch.booked]
    refused = [item for batch in judged for item in batch.refused]
    booked = [record for record, _ in priced]
    await usage.add(connection, booked, now_ms=now_ms)
    await _post_charges(connection, booked, now_ms)
    await receipts.issue(connection, priced, now_ms=now_ms)
    await quarantine.add(connection, refused, now_ms=now_ms)
    return [batch.booking for batch in judged]


def _judge(batch: Sequence[UsageRecord | Quarantined], books: _Books) -> _Judged:
    judged = _Judged()
    for item in batch:
        if isinstance(item, Quarantined):
            judged.refused.append(item)
        elif books.records.get(item.request_id) == item:
            judged.known.append(item.request_id)
        else:
            try:
                price = _checked_price(item, books)
            except _Refused as error:
                judged.refused.append(Quarantined(request_id=item.request_id, reason=str(error), record=encode(item)))
            else:
                books.records[item.request_id] = item
                judged.booked.append((item, price))
    return judged


async def _open_books(connection: AsyncConnection, batch: Sequence[UsageRecord], now_ms: int) -> _Books:
    owners = {record.account_id for record in batch}
    # Held, in one order everywhere, so that an account's receipts are made one after another.
    held = select(accounts.c.id).where(accounts.c.id.in_(owners)).order_by(accounts.c.id)
    existing = await connection.execute(held.with_for_update(key_share=True))
    rows = {record.price_row for record in batch if record.price_row is not None}
    return _Books(
        records=await usage.by_request_id(connection, [record.request_id for record in batch]),
        account_ids=frozenset(existing.scalars()),
        price_rows=await price_rows_by_id(connection, rows),
        now_ms=now_ms,
    )


def _checked_price(record: UsageRecord, books: _Books) -> AppliedPrice | None:
    """What a record that is not known is charged by, or None where nothing is. Raises _Refused."""
    if record.request_id in books.records:
        raise _Refused("the request was booked with other content")
    if record.account_id not in books.account_ids:
        raise _Refused("unknown account")
    if record.started_at_ms > books.now_ms + CLOCK_SKEW_MAX_MS:
        raise _Refused("the request started in the future")
    if record.price_row is None:
        if record.cost_nano_usd:
            raise _Refused("a cost without a price row")
        return None
    row = books.price_rows.get(record.price_row)
    if row is None:
        raise _Refused("unknown price row")
    if record.started_at_ms < row.effective_from_ms:
        raise _Refused("the price row was not yet in force")
    price = AppliedPrice.of(row, record)
    expected = price.charge(record.usage)
    if record.cost_nano_usd != expected:
        raise _Refused(f"the cost should be {expected} nano-USD")
    return price


async def _post_charges(connection: AsyncConnection, booked: Sequence[UsageRecord], now_ms: int) -> None:
    trials = await ledger.trial_balances(connection, {record.account_id for record in booked})
    charges: list[Transfer] = []
    for record in booked:
        trial_left = trials.get(record.account_id, 0)
        from_trial = min(record.cost_nano_usd, max(trial_left, 0))
        trials[record.account_id] = NanoUsd(trial_left - from_trial)
        charges += _charges(record, from_trial=from_trial, now_ms=now_ms)
    await ledger.post_all(connection, charges)


def _charges(record: UsageRecord, *, from_trial: int, now_ms: int) -> list[Transfer]:
    """The transfers of one record: its part from the trial credit, then its part from the customer's own money."""
    request_id, account_id = record.request_id, record.account_id
    parts = (
        (f"usage:{request_id}:trial", ledger.trial_of(account_id), from_trial),
        (f"usage:{request_id}", ledger.balance_of(account_id), record.cost_nano_usd - from_trial),
    )
    return [
        Transfer(
            id=transfer_id,
            debit=payer,
            credit=ledger.USAGE_REVENUE,
            amount_nano_usd=NanoUsd(amount),
            kind="usage",
            reference=request_id,
            created_at_ms=now_ms,
        )
        for transfer_id, payer, amount in parts
        if amount
    ]
