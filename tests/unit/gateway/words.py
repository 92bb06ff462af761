"""The Word port in memory."""

import asyncio


class MemoryWord:
    """A word whose time runs out when the test says so."""

    def __init__(self) -> None:
        self._told: asyncio.Future[bool | None] = asyncio.get_running_loop().create_future()
        self.limit_ms = 0

    def tell(self, word: bool, /) -> None:
        if not self._told.done():
            self._told.set_result(word)

    async def heard(self, *, limit_ms: int) -> bool | None:
        self.limit_ms = limit_ms
        return await self._told

    def run_out(self) -> None:
        self._told.set_result(None)


async def settle_down() -> None:
    """Let everyone go on who can."""
    for _ in range(10):
        await asyncio.sleep(0)
