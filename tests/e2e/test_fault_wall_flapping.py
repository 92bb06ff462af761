"""A provider that is broken for long, or now and then: calls do not pay for it again and again, and none is lost."""

import asyncio
import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.fault_server import Act, Exchange
from tests.e2e.faults import sound, status, text_of, usage_of
from tests.e2e.wall import Answer, Wall, cost_nano_usd

MINUTE_S = 60
TURN_S = 7
"""How long the flapping provider is good, and then broken. Shorter than the ten seconds for which it is left alone, so
that it is good again when it is tried."""

LATENCY_S = 0.2

CALLS = 60
BROKEN = status(503, {"message": "The engine is overloaded", "code": "overloaded"})
FEW = 15
"""More than three failures and a probe every ten seconds, in the time that the calls take."""


async def slow(exchange: Exchange) -> None:
    await asyncio.sleep(LATENCY_S)
    await sound(exchange)


def flap_from(began_s: float) -> Act:
    """Good at first, so that what follows does not hang on when the test began."""

    async def flap(exchange: Exchange) -> None:
        is_good = int((asyncio.get_running_loop().time() - began_s) / TURN_S) % 2 == 0
        await (slow if is_good else BROKEN)(exchange)

    return flap


@pytest.fixture(scope="module")
def flapping(wall: Wall) -> tuple[str, list[Answer]]:
    """A minute of calls, a stream and a whole answer at a time."""
    model, until_s = wall.take(first=[flap_from(time.monotonic())], second=[slow]), time.monotonic() + MINUTE_S
    answers: list[Answer] = []
    with ThreadPoolExecutor(2) as pool:
        while time.monotonic() < until_s:
            answers += pool.map(lambda stream: wall.ask(model, stream=stream), (True, False))
    return model, answers


def test_a_flapping_provider_loses_no_call(flapping: tuple[str, list[Answer]]) -> None:
    _, answers = flapping

    assert {answer.status for answer in answers} == {200}
    for answer in answers:
        assert answer.text == text_of(answer.headers["x-haotokai-provider"])
        assert len(answer.attempts) <= 2


def test_a_flapping_provider_is_soon_left_alone_and_tried_again(wall: Wall, flapping: tuple[str, list[Answer]]) -> None:
    model, answers = flapping
    providers = [
        provider for provider, _ in itertools.groupby(answer.headers["x-haotokai-provider"] for answer in answers)
    ]
    failed = sum(outcome != "ok" for answer in answers for _, outcome in answer.attempts)

    assert failed == len(wall.server.asked("first", model)) + len(wall.server.asked("second", model)) - len(answers)
    assert 0 < failed < len(answers) / 10
    assert providers.count("first") > 1


def test_every_call_to_a_flapping_provider_is_billed_once(wall: Wall, flapping: tuple[str, list[Answer]]) -> None:
    _, answers = flapping
    records = wall.admin.records_of(wall.customer.id, [answer.request_id for answer in answers])

    assert len(records) == len(answers)
    for answer in answers:
        provider = answer.headers["x-haotokai-provider"]
        assert records[answer.request_id]["cost_nano_usd"] == cost_nano_usd(usage_of(provider))
    assert wall.wallet().held_nano_usd == 0


def test_a_provider_that_stays_broken_is_soon_left_alone(wall: Wall) -> None:
    model = wall.take(first=[BROKEN], second=[sound])
    answers = [wall.ask(model, stream=number % 2 == 0) for number in range(CALLS)]

    assert {(answer.status, answer.text) for answer in answers} == {(200, text_of("second"))}
    assert len(wall.server.asked("first", model)) < FEW


def test_a_provider_that_is_well_again_is_asked_again(wall: Wall) -> None:
    model = wall.take("single", first=[BROKEN] * 4 + [sound])
    answers = [wall.ask(model) for _ in range(4)]

    # A call that has nobody else asks twice.
    assert [answer.status for answer in answers] == [503, 503, 200, 200]
    assert len(wall.server.asked("first", model)) == 6
