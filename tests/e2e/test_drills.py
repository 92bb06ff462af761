"""Drill models do on the running stack what the README promises, for whoever has a key and not a cent."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from gateway.drills import WORDS
from tests.e2e.wall import CALLS_AT_ONCE, Answer, Wall

# Of each drill the outcomes of its attempts; of those that are refused, the status and code too.
MOVES_ON = {
    "ok": ["ok"],
    "429-then-ok": ["rate_limit", "ok"],
    "429-once": ["rate_limit", "ok"],
    "500-once": ["server_error", "ok"],
    "timeout": ["timeout", "ok"],
    "slow-first-token": ["timeout", "ok"],
    "empty": ["empty_answer", "ok"],
    "malformed": ["malformed_answer", "ok"],
    "error-in-200": ["server_error", "ok"],
    "error-event": ["server_error", "ok"],
    "context-length": ["context_length", "ok"],
}
REFUSED = {
    "503": (["overloaded", "overloaded", "overloaded"], 503, "upstream_overloaded"),
    "content-filter": (["content_filter"], 400, "content_filter"),
}
WITHIN = {
    "malformed-mid-stream": "upstream_error",
    "error-mid-stream": "upstream_error",
    "cut-mid-stream": "upstream_error",
    "stall": "upstream_timeout",
}
LATE = "heartbeat"
WHOLE = {"x-haotokai-delivery": "whole"}
SAID = "".join(WORDS)

Drilled = dict[tuple[str, bool, bool], Answer]


@pytest.fixture(scope="module")
def poor(wall: Wall) -> Wall:
    """A customer who has never paid anything, and got nothing."""
    return replace(wall, customer=wall.admin.open_account(credit_usd=None))


@pytest.fixture(scope="module")
def drilled(poor: Wall) -> Drilled:
    """By the drill, whether as a stream, and whether delivered whole."""
    calls = [(name, stream, False) for name in (*MOVES_ON, *REFUSED, *WITHIN) for stream in (False, True)]
    calls += [(name, True, True) for name in WITHIN] + [(LATE, True, False)]
    with ThreadPoolExecutor(CALLS_AT_ONCE) as pool:
        asking = {
            call: pool.submit(poor.ask, f"drill/{call[0]}", stream=call[1], headers=WHOLE if call[2] else None)
            for call in calls
        }
    return {call: future.result() for call, future in asking.items()}


def outcomes(answer: Answer) -> list[str]:
    return [outcome for _, outcome in answer.attempts]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", MOVES_ON)
def test_a_drill_that_can_be_answered_is(drilled: Drilled, name: str, stream: bool) -> None:
    answer = drilled[name, stream, False]

    assert (answer.status, answer.text, answer.error) == (200, SAID, None)
    assert outcomes(answer) == MOVES_ON[name]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", REFUSED)
def test_a_drill_that_nobody_answers_is_told(drilled: Drilled, name: str, stream: bool) -> None:
    answer = drilled[name, stream, False]

    assert (outcomes(answer), answer.status, answer.code) == REFUSED[name]


@pytest.mark.parametrize("name", WITHIN)
def test_a_drill_that_breaks_within_a_stream_ends_it_in_an_error(drilled: Drilled, name: str) -> None:
    answer = drilled[name, True, False]

    assert SAID.startswith(answer.text)
    assert 0 < len(answer.text) < len(SAID)
    assert (answer.status, answer.code, answer.is_done) == (200, WITHIN[name], False)


@pytest.mark.parametrize("name", WITHIN)
def test_a_drill_that_breaks_within_an_answer_is_the_spare_s_turn_where_none_of_it_has_gone_out(
    drilled: Drilled, name: str
) -> None:
    for answer in (drilled[name, True, True], drilled[name, False, False]):
        assert (answer.status, answer.text, answer.error) == (200, SAID, None)
        assert answer.attempts[1:] == [("drill_spare", "ok")]


def test_a_late_drill_comes_behind_a_heartbeat(drilled: Drilled) -> None:
    answer = drilled[LATE, True, False]

    assert (answer.text, answer.error, answer.is_done) == (SAID, None, True)
    assert answer.comments


def test_drills_cost_nothing_and_leave_no_hold(poor: Wall, drilled: Drilled) -> None:
    records = poor.admin.records_of(poor.customer.id, [answer.request_id for answer in drilled.values()])

    assert {record["cost_nano_usd"] for record in records.values()} == {0}
    assert poor.wallet().held_nano_usd == 0


def test_a_drill_is_shown_as_what_it_is(poor: Wall) -> None:
    shown: dict[str, Any] = httpx2.get(f"{poor.stack.base_url}/models/drill/503").raise_for_status().json()

    assert (shown["id"], shown["owned_by"]) == ("drill/503", "drill")
    assert {target["price"]["output"] for target in shown["targets"]} == {"0.00"}
