"""A provider that is broken for long, or now and then: calls do not pay for it again and again, and none is lost."""

import pytest

from tests.e2e.faults import sound, status, text_of, usage_of
from tests.e2e.wall import Answer, Wall, cost_nano_usd

CALLS = 60
BROKEN = status(503, {"message": "The engine is overloaded", "code": "overloaded"})
# Good for two calls and broken for three, as often as the calls last.
FLAPPING = [sound, sound, BROKEN, BROKEN, BROKEN] * CALLS
FEW = 15
"""More than three failures and a probe every ten seconds, in the time that the calls take."""


def ask_many(wall: Wall, model: str) -> list[Answer]:
    return [wall.ask(model, stream=number % 2 == 0) for number in range(CALLS)]


@pytest.fixture(scope="module")
def flapping(wall: Wall) -> tuple[str, list[Answer]]:
    model = wall.take(first=FLAPPING, second=[sound])
    return model, ask_many(wall, model)


def test_a_flapping_provider_loses_no_call(flapping: tuple[str, list[Answer]]) -> None:
    _, answers = flapping

    assert {answer.status for answer in answers} == {200}
    for answer in answers:
        assert answer.text == text_of(answer.headers["x-haotokai-provider"])
        assert len(answer.attempts) <= 2


def test_a_flapping_provider_is_asked_less_once_it_has_failed(wall: Wall, flapping: tuple[str, list[Answer]]) -> None:
    model, answers = flapping
    failed = sum(outcome != "ok" for answer in answers for _, outcome in answer.attempts)

    assert failed == len(wall.server.asked("first", model)) + len(wall.server.asked("second", model)) - CALLS
    assert failed < FEW


def test_every_call_to_a_flapping_provider_is_billed_once(wall: Wall, flapping: tuple[str, list[Answer]]) -> None:
    _, answers = flapping
    records = wall.admin.records_of(wall.customer.id, [answer.request_id for answer in answers])

    assert len(records) == CALLS
    for answer in answers:
        provider = answer.headers["x-haotokai-provider"]
        assert records[answer.request_id]["cost_nano_usd"] == cost_nano_usd(usage_of(provider))
    assert wall.wallet().held_nano_usd == 0


def test_a_provider_that_stays_broken_is_soon_left_alone(wall: Wall) -> None:
    model = wall.take(first=[BROKEN], second=[sound])
    answers = ask_many(wall, model)

    assert {(answer.status, answer.text) for answer in answers} == {(200, text_of("second"))}
    assert len(wall.server.asked("first", model)) < FEW


def test_a_provider_that_is_well_again_is_asked_again(wall: Wall) -> None:
    model = wall.take("single", first=[BROKEN] * 4 + [sound])
    answers = [wall.ask(model) for _ in range(4)]

    # A call that has nobody else asks twice.
    assert [answer.status for answer in answers] == [503, 503, 200, 200]
    assert len(wall.server.asked("first", model)) == 6
