"""Settling in batches: while a call to a Wallet is under way, what else is to be settled there gathers for the next.

Requests do not share their connections, so the one that finds no call under way makes the calls, and the others wait
for its word. Where that does not come, because the request was ended, each settles for itself: the Wallet takes a
record once.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

MAX_BATCH_RECORDS = 50
MAX_BATCHES = 4
"""How many batches one request settles for others, before one of them takes over."""

Call = Callable[[Sequence[str]], Awaitable[None]]


class Word(Protocol):
    """What one request tells another, once: what is told later changes nothing."""

    def tell(self, settled: bool, /) -> None: ...

    async def heard(self) -> bool | None:
        """The word; None where it does not come in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A record that another request is to settle, and the word of whether it did."""

    record: str
    word: Word


class Settlements:
    """The settling of one isolate; ``_waiting`` has an entry for each Wallet that a call is under way to."""

    def __init__(self, new_word: Callable[[], Word]) -> None:
        self._new_word = new_word
        self._waiting: dict[str, list[Waiting]] = {}

    async def settle(self, account_id: str, record: str, call: Call) -> None:
        """Returns when the Wallet has the record; raises what ``call`` raises."""
        waiting = self._waiting.get(account_id)
        if waiting is None:
            await self._lead(account_id, record, call)
        elif len(waiting) >= MAX_BATCH_RECORDS or not await self._follow(waiting, record):
            await call([record])

    async def _lead(self, account_id: str, record: str, call: Call) -> None:
        queue: list[Waiting] = []
        self._waiting[account_id] = queue
        batch: list[Waiting] = []
        try:
            await call([record])
            for _ in range(MAX_BATCHES):
                batch = queue[:]
                queue.clear()
                if not batch:
                    break
                await call([waiting.record for waiting in batch])
                _tell(batch, settled=True)
        finally:
            self._forget(queue)
            _tell([*batch, *queue], settled=False)

    async def _follow(self, waiting: list[Waiting], record: str) -> bool:
        """Whether the request that leads has settled the record."""
        word = self._new_word()
        waiting.append(Waiting(record=record, word=word))
        settled = await word.heard()
        if settled is None:
            self._forget(waiting)  # no word: the leader is gone, and nobody else may wait for it
        return settled is True

    def _forget(self, queue: list[Waiting]) -> None:
        for account_id in [name for name, others in self._waiting.items() if others is queue]:
            del self._waiting[account_id]


def _tell(batch: Sequence[Waiting], *, settled: bool) -> None:
    for waiting in batch:
        waiting.word.tell(settled)
