"""Streams begin one after the other, and none waits for long, whatever becomes of those before it."""

import asyncio

import pytest

from gateway.turnstile import MAX_WAIT_MS, REMEMBERED, SHORT_MS, TURN_MS, Turnstile
from tests.unit.gateway.words import MemoryWord, settle_down


class Streams:
    """Streams that wait to begin, by their names, and the clock that they look at. Those before them took so long."""

    def __init__(self, *taken_ms: int) -> None:
        self.ms = 1_000
        self.words: list[MemoryWord] = []
        self.turnstile = Turnstile(self._word)
        self.begun: list[str] = []
        for each_ms in taken_ms or (TURN_MS,):
            self.turnstile.note(each_ms)

    def _word(self) -> MemoryWord:
        self.words.append(MemoryWord())
        return self.words[-1]

    async def come(self, *names: str) -> "list[asyncio.Task[None]]":
        tasks = [asyncio.create_task(self._begin(name)) for name in names]
        await settle_down()
        return tasks

    async def leave(self) -> None:
        self.turnstile.leave()
        await settle_down()

    async def run_out(self, number: int) -> None:
        self.words[number].run_out()
        await settle_down()

    async def _begin(self, name: str) -> None:
        await self.turnstile.enter(lambda: self.ms)
        self.begun.append(name)


async def test_one_after_the_other_in_the_order_in_which_they_came() -> None:
    streams = Streams()
    await streams.come("a", "b", "c")
    assert streams.begun == ["a"]
    await streams.leave()
    assert streams.begun == ["a", "b"]
    await streams.leave()
    assert streams.begun == ["a", "b", "c"]


async def test_nobody_waits_where_nobody_begins() -> None:
    streams = Streams()
    await streams.come("a")
    await streams.leave()
    await streams.come("b")
    assert streams.begun == ["a", "b"]
    assert streams.words == []


async def test_one_who_comes_while_the_turn_is_handed_on_waits() -> None:
    streams = Streams()
    await streams.come("a", "b")
    streams.turnstile.leave()
    await streams.come("c")
    assert streams.begun == ["a", "b"]


async def test_each_waits_for_the_turns_before_its_own_and_not_for_long() -> None:
    streams = Streams()
    await streams.come("a")
    streams.ms += 2
    await streams.come("b", "c", "d", "e", "f")
    left_ms = TURN_MS - 2
    limits_ms = [left_ms, left_ms + TURN_MS, left_ms + 2 * TURN_MS, left_ms + 3 * TURN_MS, MAX_WAIT_MS]
    assert [word.limit_ms for word in streams.words] == limits_ms


async def test_one_whose_time_is_over_is_not_waited_for() -> None:
    streams = Streams()
    await streams.come("a", "b")
    streams.ms += TURN_MS
    await streams.run_out(0)
    assert streams.begun == ["a", "b"]


async def test_one_that_came_later_still_waits_for_the_turn_that_began_in_the_meantime() -> None:
    streams = Streams()
    await streams.come("a", "b")
    streams.ms += TURN_MS
    await streams.run_out(0)
    await streams.come("c")
    assert streams.begun == ["a", "b"]
    await streams.leave()
    assert streams.begun == ["a", "b", "c"]


async def test_a_turn_that_was_never_given_back_ends_by_itself() -> None:
    streams = Streams()
    await streams.come("a")
    streams.ms += TURN_MS
    await streams.come("b")
    assert streams.begun == ["a", "b"]


@pytest.mark.parametrize("is_told_first", [True, False])
async def test_one_who_gives_up_is_passed_over(is_told_first: bool) -> None:
    streams = Streams()
    await streams.come("a")
    [task] = await streams.come("b")
    await streams.come("c")
    task.cancel()
    if not is_told_first:
        await settle_down()
    await streams.leave()
    assert streams.begun == ["a", "c"]


async def test_nobody_waits_where_beginnings_wait_for_those_who_are_far_away() -> None:
    streams = Streams(*[SHORT_MS + 1] * REMEMBERED)
    await streams.come("a", "b", "c")
    assert streams.begun == ["a", "b", "c"]


async def test_one_short_beginning_among_the_last_tells_that_nothing_is_far_away() -> None:
    streams = Streams(SHORT_MS, *[SHORT_MS + 1] * (REMEMBERED - 1))
    await streams.come("a", "b")
    assert streams.begun == ["a"]


async def test_what_is_long_past_is_forgotten() -> None:
    streams = Streams(SHORT_MS, *[SHORT_MS + 1] * REMEMBERED)
    await streams.come("a", "b")
    assert streams.begun == ["a", "b"]


async def test_nobody_waits_before_it_is_known_how_long_a_beginning_takes() -> None:
    turnstile, entered = Turnstile(MemoryWord), []
    for name in ("a", "b"):
        await turnstile.enter(lambda: 1_000)
        entered.append(name)
    assert entered == ["a", "b"]
