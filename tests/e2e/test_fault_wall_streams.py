"""Faults within an answer: the caller hears of them by a typed error, or of none at all where the answer is whole."""

import math
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import httpx2
import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionChunk

from tests.e2e import faults
from tests.e2e.chat import prompt, said
from tests.e2e.fault_server import Act, Exchange
from tests.e2e.faults import LAST_WORD_BEFORE, flood, sound, text_of, usage_of, without
from tests.e2e.waiting import eventually
from tests.e2e.wall import COMPLETION_NANO_USD, IDLE_MS, Case, Plans, Seen, Wall, cost_nano_usd

LIMIT_S = 15
BYTES_PER_ESTIMATED_TOKEN = 4
TOO_LONG_S = (2 * IDLE_MS + 800) / 1000
"""A silence is noticed within two idle limits; the limit of the whole call comes later."""

OVERLOADED = {"message": "The engine is overloaded", "type": "server_error", "code": "overloaded"}

Then = Callable[[Exchange], Awaitable[None]]

# What happens in place of the tenth event, and what the caller is told of it.
WITHIN: dict[str, tuple[Then, str]] = {
    "cut": (faults.cut, "upstream_error"),
    "reset": (faults.reset, "upstream_error"),
    "stall": (faults.stall, "upstream_timeout"),
    "a silence too long": (faults.resume(TOO_LONG_S), "upstream_timeout"),
    "malformed chunk": (faults.malformed_chunk, "upstream_error"),
    "error as the tenth event": (faults.error_event(OVERLOADED), "upstream_error"),
    "error event by its name": (faults.error_event(OVERLOADED, name="error"), "upstream_error"),
    "an end without finish": (faults.end, "upstream_error"),
}
SAID_BEFORE = text_of("first").partition(LAST_WORD_BEFORE)[0] + LAST_WORD_BEFORE + " "
USAGE = {"stream_options": {"include_usage": True}}
EACH_WITHIN = [(name, asks_usage) for name in WITHIN for asks_usage in (False, True)]

Name = tuple[str, bool]


def fault(name: str) -> Act:
    return faults.within(WITHIN[name][0])


def listen(stream: Iterable[ChatCompletionChunk], chunks: list[ChatCompletionChunk], tell: Callable[[], None]) -> None:
    """Gather the chunks, and tell as soon as all words before the fault are there."""
    for chunk in stream:
        chunks.append(chunk)
        if said(chunks) == SAID_BEFORE:
            tell()


@pytest.fixture(scope="module")
def within(wall: Wall) -> dict[Name, Seen]:
    """By the fault, and whether the caller asks for usage, which decides how a stream is passed on."""
    cases = {
        (name, asks_usage): Case(
            plans={"first": [fault(name)], "second": [sound]}, stream=True, fields=USAGE if asks_usage else {}
        )
        for name, asks_usage in EACH_WITHIN
    }
    return wall.run(cases)


@pytest.mark.parametrize("case", EACH_WITHIN, ids=str)
def test_a_stream_that_breaks_ends_in_an_error_and_never_as_if_whole(within: dict[Name, Seen], case: Name) -> None:
    answer = within[case].answer

    assert (answer.status, answer.text) == (200, SAID_BEFORE)
    assert answer.code == WITHIN[case[0]][1]
    assert '"error"' in answer.events[-1]
    assert answer.is_readable
    assert answer.seconds < LIMIT_S


@pytest.mark.parametrize("case", EACH_WITHIN, ids=str)
def test_nobody_else_is_asked_once_the_caller_has_content(within: dict[Name, Seen], case: Name) -> None:
    assert within[case].asked_times == {"first": 1}
    assert within[case].answer.attempts == [("first", "ok")]


@pytest.mark.parametrize("case", EACH_WITHIN, ids=str)
def test_what_came_of_a_broken_stream_is_billed_as_counted(within: dict[Name, Seen], case: Name) -> None:
    record = within[case].record

    assert (record["state"], record["estimated"], record["provider"]) == ("partial", True, "first")
    assert record["completion_tokens"] == math.ceil(len(SAID_BEFORE) / BYTES_PER_ESTIMATED_TOKEN)
    assert record["cost_nano_usd"] >= record["completion_tokens"] * COMPLETION_NANO_USD


@pytest.mark.parametrize("name", WITHIN)
def test_the_openai_package_raises_the_error(wall: Wall, name: str) -> None:
    model = wall.take(first=[fault(name)], second=[sound])
    chunks: list[ChatCompletionChunk] = []
    with (
        OpenAI(base_url=wall.stack.base_url, api_key=wall.customer.api_key, max_retries=0, timeout=30) as client,
        pytest.raises(openai.APIError) as caught,
        client.chat.completions.create(**prompt(model=model), stream=True) as stream,
    ):
        listen(stream, chunks, lambda: wall.server.heard(model))

    assert said(chunks) == SAID_BEFORE
    assert caught.value.code == WITHIN[name][1]


@pytest.fixture(scope="module")
def whole(wall: Wall) -> dict[Name, Seen]:
    cases = {
        (name, asks_usage): Case(
            plans={"first": [fault(name)], "second": [sound]},
            stream=True,
            headers={"x-haotokai-delivery": "whole"},
            fields=USAGE if asks_usage else {},
        )
        for name, asks_usage in EACH_WITHIN
    }
    return wall.run(cases)


@pytest.mark.parametrize("case", EACH_WITHIN, ids=str)
def test_delivered_whole_a_broken_stream_is_started_again_elsewhere(whole: dict[Name, Seen], case: Name) -> None:
    seen = whole[case]
    (provider, outcome), last = seen.answer.attempts

    assert (seen.answer.status, seen.answer.text, seen.answer.error) == (200, text_of("second"), None)
    assert seen.answer.is_done
    assert (provider, last) == ("first", ("second", "ok"))
    assert outcome != "ok"
    assert seen.asked_times == {"first": 1, "second": 1}
    assert seen.answer.seconds < LIMIT_S


@pytest.mark.parametrize("case", EACH_WITHIN, ids=str)
def test_delivered_whole_only_the_whole_answer_is_billed(whole: dict[Name, Seen], case: Name) -> None:
    record = whole[case].record

    assert (record["state"], record["estimated"], record["provider"]) == ("complete", False, "second")
    assert record["cost_nano_usd"] == cost_nano_usd(usage_of("second"))


# An answer that is all there in spite of what its end lacks.
COMPLETE = {"without [DONE]": without(done=True), "without finish": without(finish=True)}


@pytest.mark.parametrize("asks_usage", [False, True])
@pytest.mark.parametrize("delivery", [{}, {"x-haotokai-delivery": "whole"}], ids=["as it comes", "whole"])
@pytest.mark.parametrize("name", COMPLETE)
def test_a_whole_answer_is_ended_as_openai_ends_it(
    wall: Wall, name: str, delivery: dict[str, str], asks_usage: bool
) -> None:
    plans: Plans = {"first": [COMPLETE[name]], "second": [sound]}
    case = Case(plans=plans, stream=True, headers=delivery, fields=USAGE if asks_usage else {})
    seen = wall.run({name: case})[name]

    assert (seen.answer.text, seen.answer.error, seen.answer.is_done) == (text_of("first"), None, True)
    assert seen.asked_times == {"first": 1}
    assert (seen.record["state"], seen.record["cost_nano_usd"]) == ("complete", cost_nano_usd(usage_of("first")))


def test_a_stream_whose_caller_is_behind_and_leaves_is_read_to_its_end(wall: Wall) -> None:
    model = wall.take(first=[flood], second=[sound])
    headers = {"authorization": f"Bearer {wall.customer.api_key}"}
    url, body = f"{wall.stack.base_url}/chat/completions", prompt(model=model, stream=True)
    with httpx2.stream("POST", url, json=body, headers=headers, timeout=30) as answer:
        pieces = answer.iter_raw()  # once nobody holds it, the connection is closed
        next(pieces)
        eventually(lambda: wall.server.is_full(model), lambda is_full: is_full)

    record = wall.admin.record_of(wall.customer.id, answer.headers["x-request-id"])

    assert (record["state"], record["estimated"]) == ("complete", False)
    assert record["cost_nano_usd"] == cost_nano_usd(usage_of("first"))


def test_what_comes_in_one_piece_once_a_caller_has_left_is_charged(wall: Wall) -> None:
    """That he has left shows when something is sent to him, so how many pieces come before decides what is lost."""
    acts = [faults.within(faults.rest_after(words)) for words in range(faults.WORDS_AFTER + 1)]
    models = [wall.take("patient", patient=[act]) for act in acts]
    with ThreadPoolExecutor(len(models)) as pool:
        request_ids = list(pool.map(lambda model: leave(wall, model), models))
    records = wall.admin.records_of(wall.customer.id, request_ids)

    for record in records.values():
        assert (record["state"], record["estimated"]) == ("complete", False)
        assert record["cost_nano_usd"] == cost_nano_usd(usage_of("patient"))


def leave(wall: Wall, model: str) -> str:
    """The id of a call whose caller left once all words before the fault had come, which only then goes on."""
    headers = {"authorization": f"Bearer {wall.customer.api_key}"}
    url, body = f"{wall.stack.base_url}/chat/completions", prompt(model=model, stream=True)
    with httpx2.stream("POST", url, json=body, headers=headers, timeout=30) as answer:
        content = b""
        for piece in answer.iter_raw():
            content += piece
            if LAST_WORD_BEFORE.encode() in content:
                break
    wall.server.heard(model)
    return answer.headers["x-request-id"]


# What a parser of another language than JSON would take for its own.
TEXTS = (
    "<plaintext>",
    "</plaintext>",
    "<script>let a = 1 < 2 && '</script>'",
    "<!-- -->",
    "<![CDATA[ ]]>",
    '<p title="',
    "&amp; &lt; &#65;",
    "<",
    "\ufeff",
    "\ufffd",
    "\u2028 \u0085 \x7f",
    "\U0001f600 \u4f60\u597d e\u0301",
    '\x00 \x1b \\ " \r\n',
    "<b>" * 2000,
    "\u6f22" * 2000,
)


@pytest.mark.parametrize("asks_usage", [False, True])
@pytest.mark.parametrize("piece_bytes", [1, 7, 1000, 2**20])
def test_any_text_comes_as_it_was_sent(wall: Wall, piece_bytes: int, asks_usage: bool) -> None:
    plans: Plans = {"patient": [faults.saying(TEXTS, piece_bytes=piece_bytes)]}
    case = Case(plans=plans, kind="patient", stream=True, fields=USAGE if asks_usage else {})
    seen = wall.run({"texts": case})["texts"]

    assert (seen.answer.text, seen.answer.error, seen.answer.is_done) == ("".join(TEXTS), None, True)
    assert (seen.record["state"], seen.record["cost_nano_usd"]) == ("complete", cost_nano_usd(usage_of("patient")))


def test_no_broken_stream_leaves_a_hold(wall: Wall, within: dict[Name, Seen], whole: dict[Name, Seen]) -> None:
    wallet = wall.wallet()

    assert (wallet.held_nano_usd, wallet.open_holds) == (0, 0)
    assert wall.admin.settled(wall.customer.id)["held_usd"] == "0.00"
