"""The streams of one isolate begin one after the other.

All share one thread, and each begins in several steps. Ten that began together would take each step together, and the
first of them would have its first event when nearly all of the work for all ten was done.
"""

from collections import deque
from collections.abc import Callable

from gateway.ports import Word

TURN_MS = 5
"""About what the beginning of a stream takes of the thread. What takes longer waits for others, and so the next one
need not wait for it."""

MAX_WAIT_MS = 20
"""However many are before it, and however slow their providers."""


class Turnstile:
    """Lets one in at a time, but nobody wait for long: who does not leave in time is not waited for."""

    def __init__(self, new_word: Callable[[], Word]) -> None:
        self._new_word = new_word
        self._waiting: deque[Word] = deque()
        self._until_ms = 0

    async def enter(self, now_ms: Callable[[], int]) -> None:
        """Returns when the one before has left, or has had its time. Whoever enters must leave."""
        if (left_ms := self._until_ms - now_ms()) > 0:
            await self._wait(min(left_ms + TURN_MS * len(self._waiting), MAX_WAIT_MS))
        self._until_ms = now_ms() + TURN_MS

    def leave(self) -> None:
        """Lets the next one in."""
        if self._waiting:
            self._waiting.popleft().tell(True)
        else:
            self._until_ms = 0

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
