"""The intake: usage that several calls bring at the same time is booked in one transaction.

A transaction takes almost as long for one call's records as for ten calls'. Nobody waits for company: what comes while
a transaction is under way is in the next one.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane import booking, nonces
from control_plane.booking import Booking
from control_plane.clock import NowMs
from control_plane.nonces import NonceReplayed
from control_plane.quarantine import Quarantined
from control_plane.store import Store
from gateway.records import UsageRecord

RECORDS_PER_TRANSACTION_MAX: Final = 1_000
NONCES_PRUNED_EVERY_MS: Final = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One signed call that waits to be booked; ``outcome`` is what it will be answered."""

    nonce: str
    batch: Sequence[UsageRecord | Quarantined]
    outcome: asyncio.Future[Booking]

    def answer(self, outcome: Booking | Exception) -> None:
        """Unless its caller has left."""
        if self.outcome.done():
            return
        if isinstance(outcome, Booking):
            self.outcome.set_result(outcome)
        else:
            self.outcome.set_exception(outcome)


class Intake:
    """Books the batches of signed calls. Each is booked with its nonce as a whole, or not at all."""

    def __init__(self, *, store: Store, now_ms: NowMs) -> None:
        self._store = store
        self._now_ms = now_ms
        self._waiting: deque[_Call] = deque()
        self._prune_at_ms = 0
        self._work: asyncio.Task[None] | None = None

    async def take(self, nonce: str, batch: Sequence[UsageRecord | Quarantined]) -> Booking:
        """Book the batch of a call with this nonce. Raises NonceReplayed."""
        call = _Call(nonce=nonce, batch=batch, outcome=asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        if self._work is None:
            # A task of its own, because a caller that leaves must not take the others with it.
            self._work = asyncio.create_task(self._book_all())
        return await call.outcome

    async def _book_all(self) -> None:
        while self._waiting:
            await self._book(self._next_group())
        self._work = None

    def _next_group(self) -> list[_Call]:
        """The calls that waited longest, at least one, up to the limit of records."""
        group = [self._waiting.popleft()]
        records = len(group[0].batch)
        while self._waiting and records + len(self._waiting[0].batch) <= RECORDS_PER_TRANSACTION_MAX:
            group.append(self._waiting.popleft())
            records += len(group[-1].batch)
        return group

    async def _book(self, group: Sequence[_Call]) -> None:
        """Answer each call of the group. One that cannot be booked must not fail those that came with it."""
        try:
            outcomes = await self._book_together(group)
        except Exception as error:
            if len(group) == 1:
                group[0].answer(error)
                return
            for call in group:
                await self._book([call])
        else:
            for call, outcome in zip(group, outcomes, strict=True):
                call.answer(outcome)

    async def _book_together(self, group: Sequence[_Call]) -> list[Booking | NonceReplayed]:
        now_ms = self._now_ms()
        async with self._store.begin() as connection:
            await self._prune_nonces(connection, now_ms)
            fresh = await nonces.spend_all(connection, [call.nonce for call in group], now_ms=now_ms)
            batches = [call.batch for call, is_fresh in zip(group, fresh, strict=True) if is_fresh]
            booked = iter(await booking.book_all(connection, batches, now_ms=now_ms))
        return [next(booked) if is_fresh else NonceReplayed() for is_fresh in fresh]

    async def _prune_nonces(self, connection: AsyncConnection, now_ms: int) -> None:
        if now_ms >= self._prune_at_ms:
            await nonces.prune(connection, now_ms=now_ms)
            self._prune_at_ms = now_ms + NONCES_PRUNED_EVERY_MS
