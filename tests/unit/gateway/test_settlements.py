"""Settling along with other calls: each record reaches its Wallet, whatever becomes of the call that takes it along."""

import asyncio
from collections.abc import Sequence

import pytest

from gateway.ports import PlatformError
from gateway.settlements import LINGER_MS, MAX_RIDERS, WORD_LIMIT_MS, Settlements
from tests.unit.gateway.words import MemoryWord, settle_down


class Wallet:
    """Notes the records of each call, and answers or fails."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.words: list[MemoryWord] = []
        self.fails = False

    def word(self) -> MemoryWord:
        self.words.append(MemoryWord())
        return self.words[-1]

    async def call(self, records: Sequence[str]) -> None:
        self.calls.append(list(records))
        if self.fails:
            raise PlatformError("gone")


async def start(settlements: Settlements, wallet: Wallet, *records: str) -> "list[asyncio.Task[None]]":
    tasks = [asyncio.create_task(settlements.settle("acct", record, wallet.call, lingers=True)) for record in records]
    await settle_down()
    return tasks


async def run_out(wallet: Wallet, number: int) -> None:
    wallet.words[number].run_out()
    await settle_down()


async def test_a_record_goes_along_with_the_next_call_to_its_wallet() -> None:
    wallet = Wallet()
    settlements = Settlements(wallet.word)
    tasks = await start(settlements, wallet, "a", "b")

    with settlements.riders("acct") as records:
        taken = list(records)
    await settle_down()

    assert taken == ["a", "b"]
    assert wallet.calls == []
    assert all(task.done() and task.exception() is None for task in tasks)


async def test_a_record_that_no_call_takes_along_is_settled_with_those_that_wait_beside_it() -> None:
    wallet = Wallet()
    tasks = await start(Settlements(wallet.word), wallet, "a", "b", "c")

    await run_out(wallet, 1)

    assert [word.limit_ms for word in wallet.words] == [LINGER_MS] * 3
    assert wallet.calls == [["b", "a", "c"]]
    assert all(task.done() and task.exception() is None for task in tasks)


async def test_a_record_that_must_not_linger_is_settled_at_once() -> None:
    wallet = Wallet()
    settlements = Settlements(wallet.word)
    [waiting] = await start(settlements, wallet, "a")

    await settlements.settle("acct", "b", wallet.call, lingers=False)
    await settle_down()

    assert wallet.calls == [["b", "a"]]
    assert waiting.done()


async def test_a_record_waits_for_the_word_of_a_call_that_takes_longer_than_it_lingers() -> None:
    wallet = Wallet()
    settlements = Settlements(wallet.word)
    [task] = await start(settlements, wallet, "a")

    with settlements.riders("acct"):
        await run_out(wallet, 0)
        assert task.done() is False
    await settle_down()

    assert wallet.words[1].limit_ms == WORD_LIMIT_MS
    assert wallet.calls == []
    assert task.done()


async def test_accounts_do_not_take_each_others_records_along() -> None:
    wallet = Wallet()
    settlements = Settlements(wallet.word)
    [task] = await start(settlements, wallet, "a")

    with settlements.riders("other") as records:
        assert records == []
    await settle_down()

    assert task.done() is False


async def test_records_of_a_call_that_fails_are_settled_by_each_request_itself() -> None:
    wallet = Wallet()
    settlements = Settlements(wallet.word)
    tasks = await start(settlements, wallet, "a", "b")

    with pytest.raises(PlatformError), settlements.riders("acct"):
        raise PlatformError("gone")
    await settle_down()

    assert wallet.calls == [["a"], ["b"]]
    assert all(task.exception() is None for task in tasks)


async def test_a_request_that_never_hears_settles_for_itself() -> None:
    wallet = Wallet()
    settlements = Settlements(wallet.word)
    [task] = await start(settlements, wallet, "a")
    with settlements.riders("acct"):
        await run_out(wallet, 0)

        await run_out(wallet, 1)

        assert wallet.calls == [["a"]]
        assert task.done()


async def test_a_failure_of_its_own_call_reaches_the_request() -> None:
    wallet = Wallet()
    wallet.fails = True
    [task] = await start(Settlements(wallet.word), wallet, "a")

    await run_out(wallet, 0)

    assert isinstance(task.exception(), PlatformError)


@pytest.mark.parametrize(("waiting", "taken"), [(MAX_RIDERS, MAX_RIDERS), (MAX_RIDERS + 1, MAX_RIDERS)])
async def test_a_call_takes_a_bounded_number_along(waiting: int, taken: int) -> None:
    wallet = Wallet()
    settlements = Settlements(wallet.word)
    await start(settlements, wallet, *map(str, range(waiting)))

    with settlements.riders("acct") as first:
        pass
    with settlements.riders("acct") as then:
        pass

    assert [len(first), len(then)] == [taken, waiting - taken]
