"""Statements: what moved on one account in one calendar month, UTC, by the ledger, and what is left.

Opening balance, plus what came in and went back, less the charges, is the closing balance, to the nano-dollar. A
charge belongs to the day on which it was booked, as in the ledger and on its receipt.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane import accounts, ledger
from control_plane.accounts import Account
from control_plane.ledger import TransferKind, entries, transfers
from control_plane.usage import usage_records
from gateway.money import NOTHING, NanoUsd

DAY_MS = 24 * 60 * 60 * 1000

_MONTH = re.compile(r"([1-9]\d{3})-(0[1-9]|1[0-2])", re.ASCII)


class StatementNotFound(Exception):
    """The account did not exist yet in that month, or the month has not begun."""


ABANDONED = "(abandoned)"
"""Requests whose worker died, at $0: the Wallet that reports them does not know what they asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """A calendar month in UTC; ``end_ms`` is the first millisecond after it."""

    start_ms: int
    end_ms: int

    @classmethod
    def parse(cls, text: str) -> "Month":
        """Of a text such as ``2026-11``; raises ValueError."""
        match = _MONTH.fullmatch(text)
        if match is None:
            raise ValueError("must be a month, such as 2026-11")
        year, month = int(match.group(1)), int(match.group(2))
        start = datetime(year, month, 1, tzinfo=UTC)
        end = (start + timedelta(days=31)).replace(day=1)
        return cls(start_ms=int(start.timestamp()) * 1000, end_ms=int(end.timestamp()) * 1000)

    def __str__(self) -> str:
        return f"{datetime.fromtimestamp(self.start_ms / 1000, UTC):%Y-%m}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """Money that came to the account or, negative, left it, other than by usage."""

    at_ms: int
    kind: TransferKind
    transfer_id: str
    reference: str
    amount_nano_usd: NanoUsd


@dataclass(frozen=True, slots=True, kw_only=True)
class Charges:
    """Booked requests to one model on one day, or of several; ``day`` and ``model`` are None where it is all."""

    day: str | None = None
    model: str | None = None
    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    amount_nano_usd: NanoUsd = NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One account's month; ``charges`` are by day and model, in that order, and ``is_final`` once it is over."""

    account: Account
    month: Month
    made_at_ms: int
    opening_nano_usd: NanoUsd
    closing_nano_usd: NanoUsd
    movements: tuple[Movement, ...]
    charges: tuple[Charges, ...]

    @property
    def is_final(self) -> bool:
        return self.made_at_ms >= self.month.end_ms

    @property
    def moved(self) -> dict[TransferKind, NanoUsd]:
        """The sums of the movements by kind, in the order in which they first appear."""
        sums: dict[TransferKind, NanoUsd] = {}
        for movement in self.movements:
            sums[movement.kind] = NanoUsd(sums.get(movement.kind, 0) + movement.amount_nano_usd)
        return sums

    @property
    def charged(self) -> Charges:
        return _sum(self.charges)

    @property
    def by_model(self) -> list[Charges]:
        """Dearest first."""
        models = sorted({line.model or "" for line in self.charges})
        sums = [_sum((line for line in self.charges if line.model == model), model=model) for model in models]
        return sorted(sums, key=lambda line: -line.amount_nano_usd)

    @property
    def by_day(self) -> list[Charges]:
        days = sorted({line.day or "" for line in self.charges})
        return [_sum((line for line in self.charges if line.day == day), day=day) for day in days]


async def read(connection: AsyncConnection, account_id: str, month: Month, *, now_ms: int) -> Statement:
    """Raises AccountNotFound, StatementNotFound."""
    account = await accounts.get(connection, account_id)
    if not (account.created_at_ms < month.end_ms and month.start_ms <= now_ms):
        raise StatementNotFound
    opening = await _balance_before(connection, account_id, month.start_ms)
    closing = await _balance_before(connection, account_id, month.end_ms)
    return Statement(
        account=account,
        month=month,
        made_at_ms=now_ms,
        opening_nano_usd=opening,
        closing_nano_usd=closing,
        movements=await _movements(connection, account_id, month),
        charges=await _charges(connection, account_id, month),
    )


async def _balance_before(connection: AsyncConnection, account_id: str, at_ms: int) -> NanoUsd:
    query = select(func.sum(entries.c.amount_nano_usd)).join(transfers).where(_is_of(account_id))
    return NanoUsd(int(await connection.scalar(query.where(transfers.c.created_at_ms < at_ms)) or 0))


async def _movements(connection: AsyncConnection, account_id: str, month: Month) -> tuple[Movement, ...]:
    columns = (transfers.c.id, transfers.c.kind, transfers.c.reference, transfers.c.created_at_ms)
    query = (
        select(*columns, entries.c.amount_nano_usd)
        .join_from(entries, transfers)
        .where(_is_of(account_id), entries.c.kind != "usage")
        .where(transfers.c.created_at_ms.between(month.start_ms, month.end_ms - 1))
        .order_by(transfers.c.created_at_ms, transfers.c.id)
    )
    return tuple(
        Movement(
            at_ms=row.created_at_ms,
            kind=row.kind,
            transfer_id=row.id,
            reference=row.reference,
            amount_nano_usd=NanoUsd(row.amount_nano_usd),
        )
        for row in await connection.execute(query)
    )


def _is_of(account_id: str) -> ColumnElement[bool]:
    """Entries of the account's own money and of its trial credit."""
    return entries.c.ledger_account.in_((ledger.balance_of(account_id), ledger.trial_of(account_id)))


async def _charges(connection: AsyncConnection, account_id: str, month: Month) -> tuple[Charges, ...]:
    used = usage_records.c
    day = used.booked_at_ms // DAY_MS
    added = (used.prompt_tokens, used.cached_tokens, used.completion_tokens, used.cost_nano_usd)
    sums = [func.sum(column).label(column.name) for column in added]
    query = (
        select(day.label("day"), used.model, func.count().label("requests"), *sums)
        .where(used.account_id == account_id, used.booked_at_ms.between(month.start_ms, month.end_ms - 1))
        .group_by(day, used.model)
        .order_by(day, used.model)
    )
    return tuple(
        Charges(
            day=f"{datetime.fromtimestamp(row.day * DAY_MS / 1000, UTC):%Y-%m-%d}",
            model=row.model or ABANDONED,
            requests=row.requests,
            prompt_tokens=int(row.prompt_tokens),
            cached_tokens=int(row.cached_tokens),
            completion_tokens=int(row.completion_tokens),
            amount_nano_usd=NanoUsd(int(row.cost_nano_usd)),
        )
        for row in await connection.execute(query)
    )


def _sum(lines: Iterable[Charges], *, day: str | None = None, model: str | None = None) -> Charges:
    found = list(lines)
    return Charges(
        day=day,
        model=model,
        requests=sum(line.requests for line in found),
        prompt_tokens=sum(line.prompt_tokens for line in found),
        cached_tokens=sum(line.cached_tokens for line in found),
        completion_tokens=sum(line.completion_tokens for line in found),
        amount_nano_usd=NanoUsd(sum(line.amount_nano_usd for line in found)),
    )
