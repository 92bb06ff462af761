"""The streams of one isolate begin one after the other.

All share one thread, and each begins in several steps. Ten that began together would take each step together, and the
first of them would have its first event when nearly all of the work for all ten was done.

That is so where the Wallet and the provider answer within milliseconds. Where they do not, the thread is free while a
stream waits for them, and nobody has to wait for a turn.
"""

from collections import deque
from collections.abc import Callable

from gateway.ports import Word

TURN_MS = 5
"""About what the beginning of a stream takes of the thread. What takes longer waits for others, and so the next one
need not wait for it."""

MAX_WAIT_MS = 20
"""However many are before it, and however slow their providers."""

SHORT_MS = 100
"""Of the last beginnings the shortest must take no longer, or none waits for another: they wait for those who are far
away, not for the thread. Ten at once on a busy thread take half of it, and models think for longer."""

REMEMBERED = 8
"""So many last beginnings: some are long because the thread is busy."""


class Turnstile:
    """Lets one in at a time, but nobody wait for long: who does not leave in time is not waited for."""

    def __init__(self, new_word: Callable[[], Word]) -> None:
        self._new_word = new_word
        self._waiting: deque[Word] = deque()
        self._until_ms = 0
        self._taken_ms: deque[int] = deque(maxlen=REMEMBERED)

    async def enter(self, now_ms: Callable[[], int]) -> None:
        """Returns when the one before has left, or has had its time. Whoever enters must leave."""
        if self.takes_turns and (left_ms := self._until_ms - now_ms()) > 0:
            await self._wait(min(left_ms + TURN_MS * len(self._waiting), MAX_WAIT_MS))
        self._until_ms = now_ms() + TURN_MS

    def leave(self) -> None:
        """Lets the next one in."""
        if self._waiting:
            self._waiting.popleft().tell(True)
        else:
            self._until_ms = 0

    def note(self, taken_ms: int) -> None:
        """How long one took that has begun; a refusal tells nothing of that."""
        self._taken_ms.append(taken_ms)

    @property
    def takes_turns(self) -> bool:
        """Not before anything is known: an isolate may see few streams in its life."""
        return bool(self._taken_ms) and min(self._taken_ms) <= SHORT_MS

    async def _wait(self, limit_ms: int) -> None:
        word = self._new_word()
        self._waiting.append(word)
        try:
            await word.heard(limit_ms=limit_ms)
        except BaseException:  # it gives up, and if its turn came at this very moment, hands it on
            if not self._withdraw(word):
                self.leave()
            raise
        self._withdraw(word)

    def _withdraw(self, word: Word) -> bool:
        """Whether the word still waited to be told."""
        if word not in self._waiting:
            return False
        self._waiting.remove(word)
        return True
