"""Trouble with our own accounts at the labs, as each words it: the caller is answered, and the operator told."""

from typing import Any

import pytest

from gateway.causes import Cause
from tests.e2e import faults
from tests.e2e.faults import sound, status, text_of, usage_of
from tests.e2e.waiting import eventually
from tests.e2e.wall import LABS, Case, Plans, Seen, Wall, cost_nano_usd
from tests.unit.gateway.provider_errors import WORDED, Worded

OURS = [error for error in WORDED if error.cause in (Cause.OUR_KEY, Cause.OUR_BALANCE)]
EACH = [(error.name, stream) for error in OURS for stream in (False, True)]
ALERTS = {Cause.OUR_KEY: "provider_key", Cause.OUR_BALANCE: "provider_balance"}
OVERLOADED = status(503, {"message": "The engine is overloaded"})

Name = tuple[str, bool]


def worded(name: str) -> Worded:
    return next(error for error in OURS if error.name == name)


@pytest.fixture(scope="module")
def refused(wall: Wall) -> dict[Name, Seen]:
    """By the error and whether the call is a stream; the second target answers."""
    cases = {
        (error.name, stream): Case(
            kind=error.provider,
            plans={f"{error.provider}_wall": [faults.body(error.status, error.body)], "second": [sound]},
            stream=stream,
        )
        for error in OURS
        for stream in (False, True)
    }
    return wall.run(cases)


@pytest.fixture(scope="module")
def alone(wall: Wall) -> dict[str, Seen]:
    """The same where nobody else answers either."""
    cases = {
        error.name: Case(
            kind=error.provider,
            plans={f"{error.provider}_wall": [faults.body(error.status, error.body)], "second": [OVERLOADED]},
        )
        for error in OURS
    }
    return wall.run(cases)


def test_the_errors_cover_both_our_key_and_our_money_at_each_lab_that_tells_them_apart() -> None:
    known = {(error.provider, error.cause) for error in OURS}

    assert known >= {(lab, Cause.OUR_KEY) for lab in LABS}
    assert known >= {(lab, Cause.OUR_BALANCE) for lab in ("deepseek", "moonshot", "dashscope", "zai")}


@pytest.mark.parametrize("case", EACH, ids=str)
def test_the_next_target_answers(refused: dict[Name, Seen], case: Name) -> None:
    seen, lab = refused[case], f"{worded(case[0]).provider}_wall"

    assert (seen.answer.status, seen.answer.text) == (200, text_of("second"))
    assert seen.asked_times == {lab: 1, "second": 1}
    assert seen.answer.attempts == [(lab, "unavailable"), ("second", "ok")]
    assert seen.record["cost_nano_usd"] == cost_nano_usd(usage_of("second"))


@pytest.mark.parametrize("case", EACH, ids=str)
def test_the_operator_s_record_names_the_cause_that_the_caller_does_not_hear(
    refused: dict[Name, Seen], case: Name
) -> None:
    seen, error = refused[case], worded(case[0])

    assert seen.record["attempts"][0]["outcome"] == error.cause
    assert error.message not in f"{seen.answer.headers}"


@pytest.mark.parametrize("name", [error.name for error in OURS])
def test_the_caller_never_gets_401_402_or_403_for_our_account(alone: dict[str, Seen], name: str) -> None:
    seen = alone[name]

    assert (seen.answer.status, seen.answer.code) == (503, "upstream_overloaded")
    assert worded(name).message not in f"{seen.answer.error}"
    assert (seen.record["state"], seen.record["cost_nano_usd"]) == ("failed", 0)


@pytest.mark.parametrize("error", OURS, ids=lambda error: error.name)
def test_the_operator_is_alerted(wall: Wall, refused: dict[Name, Seen], error: Worded) -> None:
    def alerts() -> list[dict[str, Any]]:
        return wall.admin.alerts()

    wanted = (ALERTS[error.cause], f"{error.provider}_wall")

    eventually(alerts, lambda found: wanted in {(alert["kind"], alert["provider"]) for alert in found})


def test_a_target_that_refuses_our_account_is_left_alone_at_once(wall: Wall) -> None:
    error = OURS[0]
    lab = f"{error.provider}_wall"
    plans: Plans = {lab: [faults.body(error.status, error.body)], "second": [sound]}
    model = wall.take(error.provider, **plans)
    answers = [wall.ask(model) for _ in range(5)]

    assert {(answer.status, answer.text) for answer in answers} == {(200, text_of("second"))}
    assert len(wall.server.asked(lab, model)) == 1


def test_a_key_that_is_refused_rests_while_the_provider_s_other_key_answers(wall: Wall) -> None:
    refusal = status(401, {"message": "Incorrect API key", "code": "invalid_api_key"})
    model = wall.take("pooled", pooled=[refusal, sound], second=[sound])
    answers = [wall.ask(model) for _ in range(4)]
    first, second, *others = [call.api_key for call in wall.server.asked("pooled", model)]

    assert {answer.text for answer in answers} == {text_of("pooled")}
    assert {first, second} == {"pooled-one", "pooled-two"}
    assert others == [second] * 3
