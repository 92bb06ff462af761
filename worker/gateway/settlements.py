"""Settling without a call of one's own: a settlement lingers for the next call to its Wallet, and rides along with it.

Requests do not share their connections, so the one that makes the call tells the others what became of theirs.
Where that word does not come, because the request was ended, each settles for itself: the Wallet settles a hold once.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from gateway.ports import Word

LINGER_MS = 20
"""How long a settlement waits for a call that takes it along."""

WORD_LIMIT_MS = 5_000
"""How long the call that took a settlement along may take."""

MAX_RIDERS = 50
"""The most settlements that one call takes along."""

Call = Callable[[Sequence[str]], Awaitable[None]]


@dataclass(slots=True, kw_only=True, eq=False)
class Rider:
    """A settlement that waits to be taken along, as a line of text, and where its request listens."""

    line: str
    word: Word


class Riders:
    """Those whom a call takes along: a block around the call, which has their lines. They are settled when it ends
    well."""

    __slots__ = ("_riders",)

    def __init__(self, riders: Sequence[Rider]) -> None:
        self._riders = riders

    def __enter__(self) -> list[str]:
        return [rider.line for rider in self._riders]

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for rider in self._riders:
            rider.word.tell(kind is None)


class Settlements:
    """The settlements of one isolate that wait for a call to their Wallet."""

    def __init__(self, new_word: Callable[[], Word]) -> None:
        self._new_word = new_word
        self._waiting: dict[str, list[Rider]] = {}

    async def settle(self, account_id: str, line: str, call: Call, *, lingers: bool) -> None:
        """Returns when the Wallet has the line; raises what ``call`` raises."""
        if not lingers or not await self._is_taken_along(account_id, line):
            with self.riders(account_id) as others:
                await call([line, *others])

    def riders(self, account_id: str) -> Riders:
        """Whoever waits for a call to this Wallet."""
        waiting = self._waiting.pop(account_id, [])
        taken, left = waiting[:MAX_RIDERS], waiting[MAX_RIDERS:]
        if left:
            self._waiting[account_id] = left
        return Riders(taken)

    async def _is_taken_along(self, account_id: str, line: str) -> bool:
        rider = Rider(line=line, word=self._new_word())
        self._waiting.setdefault(account_id, []).append(rider)
        settled = await rider.word.heard(limit_ms=LINGER_MS)
        if settled is None and not self._leave(account_id, rider):
            rider.word = self._new_word()
            settled = await rider.word.heard(limit_ms=WORD_LIMIT_MS)
        return settled is True

    def _leave(self, account_id: str, rider: Rider) -> bool:
        """Whether the line still waited: nobody has taken it along, and now nobody will."""
        waiting = self._waiting.get(account_id, [])
        if rider not in waiting:
            return False
        waiting.remove(rider)
        if not waiting:
            del self._waiting[account_id]
        return True
