"""Settling in batches: each record reaches its Wallet, whatever becomes of the request that settles for others."""

import asyncio
from collections.abc import Sequence

import pytest

from gateway.ports import PlatformError
from gateway.settlements import MAX_BATCH_RECORDS, MAX_BATCHES, Settlements


class MemoryWord:
    """A word that a test may let fail to come."""

    def __init__(self) -> None:
        self._told: asyncio.Future[bool | None] = asyncio.get_running_loop().create_future()

    def tell(self, settled: bool, /) -> None:
        if not self._told.done():
            self._told.set_result(settled)

    def run_out(self) -> None:
        self._told.set_result(None)

    async def heard(self) -> bool | None:
        return await self._told


class Wallet:
    """Takes batches one at a time, each when the test lets it."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.words: list[MemoryWord] = []
        self._turns: list[asyncio.Future[None]] = []

    def word(self) -> MemoryWord:
        self.words.append(MemoryWord())
        return self.words[-1]

    async def call(self, records: Sequence[str]) -> None:
        self.batches.append(list(records))
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._turns.append(turn)
        await turn

    async def answer(self, number: int, error: Exception | None = None) -> None:
        turn = self._turns[number]
        if error is None:
            turn.set_result(None)
        else:
            turn.set_exception(error)
        await settle_down()


async def settle_down() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def start(settlements: Settlements, wallet: Wallet, *records: str) -> "list[asyncio.Task[None]]":
    tasks = [asyncio.create_task(settlements.settle("acct", record, wallet.call)) for record in records]
    await settle_down()
    return tasks


async def test_what_comes_while_a_call_is_under_way_goes_with_the_next() -> None:
    wallet = Wallet()
    tasks = await start(Settlements(wallet.word), wallet, "a", "b", "c")

    await wallet.answer(0)
    assert tasks[1].done() is False
    await wallet.answer(1)

    assert wallet.batches == [["a"], ["b", "c"]]
    assert all(task.done() and task.exception() is None for task in tasks)


async def test_accounts_do_not_wait_for_each_other() -> None:
    wallet = Wallet()
    settlements = Settlements(wallet.word)
    await start(settlements, wallet, "a")

    other = asyncio.create_task(settlements.settle("other", "b", wallet.call))
    await settle_down()

    assert wallet.batches == [["a"], ["b"]]
    await wallet.answer(1)
    assert other.done()


async def test_a_batch_that_fails_is_settled_by_each_of_its_requests() -> None:
    wallet = Wallet()
    leader, *others = await start(Settlements(wallet.word), wallet, "a", "b", "c")

    await wallet.answer(0)
    await wallet.answer(1, PlatformError("gone"))

    assert wallet.batches[2:] == [["b"], ["c"]]
    with pytest.raises(PlatformError):
        await leader
    await wallet.answer(2)
    await wallet.answer(3)
    assert all(task.done() and task.exception() is None for task in others)


async def test_a_request_without_word_settles_for_itself_and_nobody_waits_for_that_leader_again() -> None:
    wallet = Wallet()
    settlements = Settlements(wallet.word)
    _, waiting = await start(settlements, wallet, "a", "b")

    wallet.words[0].run_out()
    await settle_down()
    await start(settlements, wallet, "c")

    assert wallet.batches == [["a"], ["b"], ["c"]]
    await wallet.answer(1)
    assert waiting.done()


async def test_a_request_hands_over_after_its_share_of_batches() -> None:
    wallet = Wallet()
    settlements = Settlements(wallet.word)
    [leader] = await start(settlements, wallet, "first")
    for number in range(MAX_BATCHES):
        await start(settlements, wallet, f"record {number}")
        await wallet.answer(number)
    await start(settlements, wallet, "late")

    await wallet.answer(MAX_BATCHES)

    assert leader.done()
    assert wallet.batches[-1] == ["late"]


async def test_a_full_queue_is_passed_by() -> None:
    wallet = Wallet()
    records = [str(number) for number in range(MAX_BATCH_RECORDS + 2)]

    await start(Settlements(wallet.word), wallet, *records)

    assert wallet.batches == [["0"], [records[-1]]]
