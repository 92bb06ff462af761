"""Faults before an answer has begun: the caller does not notice them, or hears of them once nobody is left to ask."""

from collections import Counter
from dataclasses import dataclass

import pytest

from tests.e2e import faults
from tests.e2e.fault_server import Act
from tests.e2e.faults import sound, status, text_of, usage_of
from tests.e2e.wall import FORMS, Case, Plans, Seen, Wall, cost_nano_usd

LIMIT_S = 15
"""Longer than a call takes in which the first provider used up all of its time."""

RATE_LIMIT = {"message": "Rate limit reached", "type": "rate_limit_error", "code": "rate_limit_exceeded"}
OVERLOADED = {"message": "The engine is overloaded", "type": "server_error", "code": "overloaded"}
FILTERED = {"message": "Filtered", "type": "invalid_request_error", "code": "content_filter"}
TOO_LONG = {"message": "Too long", "type": "invalid_request_error", "code": "context_length_exceeded"}
UNKNOWN = {"message": "No such parameter", "type": "invalid_request_error", "code": "unknown_parameter"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What the first provider does, how often it is asked, and what an attempt at it is called."""

    act: Act
    outcomes: frozenset[str]
    asked: int = 1
    forms: tuple[str, ...] = tuple(FORMS)


def fault(act: Act, *outcomes: str, asked: int = 1, forms: tuple[str, ...] = tuple(FORMS)) -> Fault:
    return Fault(act=act, outcomes=frozenset(outcomes), asked=asked, forms=forms)


STREAMED_TO_US, WHOLE = ("stream", "assembled"), ("in one piece",)
BEFORE = {
    "429 with Retry-After": fault(status(429, RATE_LIMIT, retry_after="1"), "rate_limit"),
    "429 without Retry-After": fault(status(429, RATE_LIMIT), "rate_limit"),
    "408": fault(status(408), "timeout"),
    "409": fault(status(409), "server_error"),
    "425": fault(status(425), "server_error"),
    "500 at every call": fault(status(500, "{"), "server_error", asked=2),
    "502 with a page": fault(status(502, "<html></html>"), "server_error"),
    "503": fault(status(503, OVERLOADED), "overloaded"),
    "504": fault(status(504), "timeout"),
    "529": fault(status(529, OVERLOADED), "overloaded"),
    "401 of our key": fault(status(401, {"message": "Incorrect API key", "code": "invalid_api_key"}), "unavailable"),
    "402 of our money": fault(status(402, {"message": "Insufficient balance"}), "unavailable"),
    "403 of our account": fault(status(403, {"message": "Forbidden"}), "unavailable"),
    "404 of the model": fault(status(404, {"message": "No model", "code": "model_not_found"}), "model_missing"),
    "reset before the head": fault(faults.reset_before_head, "connect_error"),
    "closed before the head": fault(faults.close_before_head, "connect_error"),
    "no response at all": fault(faults.no_response, "timeout"),
    "the head and then silence": fault(faults.head_alone, "timeout"),
    "keep-alive and no answer": fault(faults.comments_alone, "timeout"),
    "a role and then silence": fault(faults.role_alone, "timeout", forms=STREAMED_TO_US),
    "reset after the head": fault(faults.reset_after_head, "connect_error"),
    "an empty body": fault(faults.empty_body, "cut_stream", "malformed_answer"),
    "an end mark alone": fault(faults.done_alone, "empty_answer", forms=STREAMED_TO_US),
    "a finish without content": fault(faults.no_words, "empty_answer"),
    "a proxy's page": fault(faults.html_page, "cut_stream", "malformed_answer"),
    "broken JSON": fault(faults.broken_json, "malformed_answer"),
    "an error in a 200": fault(faults.error_in_200(OVERLOADED), "server_error", "overloaded"),
    "an error as the first event": fault(
        faults.after(0, faults.error_event(OVERLOADED)), "server_error", "overloaded", forms=STREAMED_TO_US
    ),
    "an error event by its name": fault(
        faults.after(0, faults.error_event(OVERLOADED, name="error")),
        "server_error",
        "overloaded",
        forms=STREAMED_TO_US,
    ),
    "an error behind the role": fault(
        faults.after(1, faults.error_event(OVERLOADED)), "server_error", "overloaded", forms=STREAMED_TO_US
    ),
    "a cut in the JSON": fault(faults.after(0, faults.cut), "connect_error", forms=WHOLE),
    "a reset in the JSON": fault(faults.after(0, faults.reset), "connect_error", forms=WHOLE),
    "a stall in the JSON": fault(faults.after(0, faults.stall), "timeout", forms=WHOLE),
}
EACH_BEFORE = [(name, form) for name, fault in BEFORE.items() for form in fault.forms]

Name = tuple[str, str]
"""A fault, and the form of the call."""


@pytest.fixture(scope="module")
def before(wall: Wall) -> dict[Name, Seen]:
    cases = {
        (name, form): Case(plans={"first": [BEFORE[name].act], "second": [sound]}, **FORMS[form])
        for name, form in EACH_BEFORE
    }
    return wall.run(cases)


@pytest.mark.parametrize("case", EACH_BEFORE, ids=str)
def test_the_next_target_answers_and_the_caller_notices_nothing(before: dict[Name, Seen], case: Name) -> None:
    answer = before[case].answer

    assert (answer.status, answer.text, answer.error) == (200, text_of("second"), None)
    assert answer.is_done is (case[1] == "stream")
    assert answer.headers["x-haotokai-provider"] == "second"
    assert answer.seconds < LIMIT_S


@pytest.mark.parametrize("case", EACH_BEFORE, ids=str)
def test_each_target_is_asked_once_but_for_a_500_which_is_tried_again(before: dict[Name, Seen], case: Name) -> None:
    fault = BEFORE[case[0]]
    *failed, last = before[case].answer.attempts

    assert before[case].asked_times == {"first": fault.asked, "second": 1}
    assert [provider for provider, _ in failed] == ["first"] * fault.asked
    assert {outcome for _, outcome in failed} <= fault.outcomes
    assert last == ("second", "ok")


@pytest.mark.parametrize("case", EACH_BEFORE, ids=str)
def test_only_the_target_that_answered_is_billed(before: dict[Name, Seen], case: Name) -> None:
    record, usage = before[case].record, usage_of("second")

    assert (record["state"], record["estimated"], record["provider"]) == ("complete", False, "second")
    assert (record["prompt_tokens"], record["completion_tokens"]) == (
        usage["prompt_tokens"],
        usage["completion_tokens"],
    )
    assert record["cost_nano_usd"] == cost_nano_usd(usage)
    assert len(record["attempts"]) == BEFORE[case[0]].asked + 1


def test_a_connection_that_is_refused_is_the_next_target_s_turn(wall: Wall) -> None:
    for stream in (False, True):
        answer = wall.ask(wall.take("closed", second=[sound]), stream=stream)

        assert (answer.status, answer.text) == (200, text_of("second"))
        assert answer.attempts == [("closed", "connect_error"), ("second", "ok")]


AGAIN: dict[str, Case] = {
    "500 once": Case(plans={"first": [status(500), sound], "second": [sound]}),
    "429 and a second to wait": Case(kind="single", plans={"first": [status(429, RATE_LIMIT, retry_after="1"), sound]}),
    "503 and a second to wait": Case(kind="single", plans={"first": [status(503, OVERLOADED, retry_after="1"), sound]}),
}


@pytest.fixture(scope="module")
def again(wall: Wall) -> dict[str, Seen]:
    return wall.run(AGAIN)


@pytest.mark.parametrize("name", AGAIN)
def test_the_same_target_is_asked_once_more_where_that_is_best(again: dict[str, Seen], name: str) -> None:
    seen = again[name]

    assert (seen.answer.status, seen.answer.text) == (200, text_of("first"))
    assert seen.asked_times == {"first": 2}
    assert [provider for provider, _ in seen.answer.attempts] == ["first", "first"]
    assert seen.record["cost_nano_usd"] == cost_nano_usd(usage_of("first"))
    assert seen.answer.seconds >= ("wait" in name)


@pytest.mark.parametrize("form", FORMS)
def test_nobody_waits_for_a_target_while_another_one_can_answer(before: dict[Name, Seen], form: str) -> None:
    lines = before["429 with Retry-After", form].record["attempts"]

    assert sum(line["ms"] for line in lines) < 1000


REFUSED = {
    "content filter": (status(400, FILTERED), 400, "content_filter"),
    "a parameter": (status(400, UNKNOWN), 400, "invalid_request"),
    "context length": (status(400, TOO_LONG), 400, "context_length_exceeded"),
}
EACH_REFUSED = [(name, form) for name in REFUSED for form in FORMS]


@pytest.fixture(scope="module")
def refused(wall: Wall) -> dict[Name, Seen]:
    cases = {
        (name, form): Case(plans={"first": [REFUSED[name][0]], "second": [sound]}, **FORMS[form])
        for name, form in EACH_REFUSED
    }
    return wall.run(cases)


@pytest.mark.parametrize("case", EACH_REFUSED, ids=str)
def test_what_the_request_itself_causes_is_told_and_not_routed_around(refused: dict[Name, Seen], case: Name) -> None:
    seen, (_, code, name) = refused[case], REFUSED[case[0]]

    assert (seen.answer.status, seen.answer.code) == (code, name)
    assert seen.asked_times == {"first": 1}
    assert (seen.record["state"], seen.record["cost_nano_usd"]) == ("failed", 0)


@pytest.mark.parametrize("form", FORMS)
def test_what_is_too_long_for_one_target_goes_to_a_larger_one_alone(wall: Wall, form: str) -> None:
    plans: Plans = {"first": [status(400, TOO_LONG)], "third": [sound], "second": [sound]}
    seen = wall.run({"": Case(kind="context", plans=plans, **FORMS[form])})[""]

    assert (seen.answer.status, seen.answer.text) == (200, text_of("second"))
    assert seen.asked_times == {"first": 1, "second": 1}


def nobody(act: Act) -> Plans:
    return {"first": [act], "second": [act]}


# The fault, what the caller is told, and how often the first and the second are asked: the last once more, where that
# may help and there is time left.
NOBODY: dict[str, tuple[Act, int, str, tuple[int, int]]] = {
    "all are overloaded": (status(503, OVERLOADED), 503, "upstream_overloaded", (1, 2)),
    "all limit our rate": (status(429, RATE_LIMIT, retry_after="30"), 503, "upstream_overloaded", (1, 1)),
    "none answers in time": (faults.no_response, 504, "upstream_timeout", (1, 2)),
    "all reset": (faults.reset_before_head, 502, "upstream_error", (1, 2)),
    "all err": (status(500), 502, "upstream_error", (2, 2)),
    "all say nothing": (faults.no_words, 502, "upstream_error", (1, 2)),
    "all refuse our key": (status(401, {"message": "Incorrect API key: sk-1"}), 502, "upstream_error", (1, 1)),
    "all want money of us": (status(402, {"message": "Insufficient balance of ours"}), 502, "upstream_error", (1, 1)),
    "all forbid us": (status(403, {"message": "Forbidden to us"}), 502, "upstream_error", (1, 1)),
}
EACH_NOBODY = [(name, form) for name in NOBODY for form in FORMS]


@pytest.fixture(scope="module")
def unanswered(wall: Wall) -> dict[Name, Seen]:
    return wall.run({(name, form): Case(plans=nobody(NOBODY[name][0]), **FORMS[form]) for name, form in EACH_NOBODY})


@pytest.mark.parametrize("case", EACH_NOBODY, ids=str)
def test_once_nobody_is_left_the_caller_hears_why_and_pays_nothing(unanswered: dict[Name, Seen], case: Name) -> None:
    seen, (_, status_code, code, asked) = unanswered[case], NOBODY[case[0]]
    attempts = Counter(provider for provider, _ in seen.answer.attempts)

    assert (seen.answer.status, seen.answer.code) == (status_code, code)
    assert attempts == seen.asked_times == dict(zip(("first", "second"), asked, strict=True))
    assert (seen.record["state"], seen.record["cost_nano_usd"]) == ("failed", 0)
    assert seen.answer.seconds < LIMIT_S


@pytest.mark.parametrize("form", FORMS)
def test_the_caller_hears_when_to_come_again(unanswered: dict[Name, Seen], form: str) -> None:
    assert unanswered["all limit our rate", form].answer.headers["retry-after"] == "30"


@pytest.mark.parametrize("case", EACH_NOBODY, ids=str)
def test_the_caller_never_hears_of_our_own_accounts(unanswered: dict[Name, Seen], case: Name) -> None:
    told = f"{unanswered[case].answer.error} {unanswered[case].answer.headers}"

    assert not any(text in told for text in ("sk-1", "of ours", "to us", "provider_key", "provider_balance"))


def test_no_fault_leaves_a_hold_and_all_books_say_the_same(
    wall: Wall,
    before: dict[Name, Seen],
    again: dict[str, Seen],
    refused: dict[Name, Seen],
    unanswered: dict[Name, Seen],
) -> None:
    wallet, records = wall.wallet(), wall.admin.usage(wall.customer.id)

    assert (wallet.held_nano_usd, wallet.open_holds) == (0, 0)
    assert wallet.settled_nano_usd == sum(record["cost_nano_usd"] for record in records)
    assert wall.admin.settled(wall.customer.id)["held_usd"] == "0.00"
