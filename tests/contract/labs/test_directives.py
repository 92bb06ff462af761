"""Directives are read from the last user message, for all labs or for one; what no lab understands is loud."""

import json

import pytest

from local.labs.directives import FAULTS, DirectiveError, Directives, strip
from local.labs.wire import Cutter, Filler, Head, Pause
from tests.contract.labs.calls import MODELS, ask, call, response, steps, user


def test_keys_are_read_from_every_directive_of_the_text() -> None:
    read = Directives.parse("a [[lab tokens=200 unicode]] b [[lab finish=length]]", "zai")

    assert (read.tokens, read.unicode, read.finish) == (200, True, "length")


def test_a_key_with_a_lab_before_it_acts_on_that_lab_alone_and_wins_there() -> None:
    text = "[[lab deepseek.tokens=1 tokens=2 deepseek.fault=http-503]]"

    assert Directives.parse(text, "deepseek").tokens == 1
    assert Directives.parse(text, "deepseek").fault == "http-503"
    assert Directives.parse(text, "moonshot").tokens == 2
    assert Directives.parse(text, "moonshot").fault is None


@pytest.mark.parametrize(
    "directive",
    [
        "colour=red",
        "fault=flood",
        "tokens=many",
        "tokens=-1",
        "tokens",
        "words=0",
        "cut_bytes=0",
        "id=",
        "times=1",
        "at=",
    ],
)
def test_a_directive_that_no_lab_understands_is_refused(directive: str) -> None:
    with pytest.raises(DirectiveError):
        Directives.parse(f"[[lab {directive}]]", "deepseek")


@pytest.mark.parametrize("lab", MODELS)
@pytest.mark.parametrize("directive", ["colour=red", "usage=nowhere", "error=none-such"])
def test_the_lab_says_which_directive_it_does_not_understand(lab: str, directive: str) -> None:
    status, body = ask(lab, f"hello [[lab {directive}]]")

    assert status == 400
    assert "lab directive" in body["error"]["message"]


def test_only_the_last_user_message_directs() -> None:
    messages = [
        user("[[lab tokens=3]]"),
        {"role": "assistant", "content": "[[lab tokens=4]]"},
        user("[[lab tokens=5]]"),
    ]

    assert call("spark", messages=messages).directives.tokens == 5
    assert call("spark", messages=[*messages, {"role": "tool", "content": "x"}]).directives.tokens == 5


def test_directives_are_found_in_parts_of_a_message() -> None:
    parts = [{"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "[[lab tokens=5]]"}]

    assert call("dashscope", messages=[{"role": "user", "content": parts}]).directives.tokens == 5


def test_a_text_can_be_stripped_of_its_directives() -> None:
    assert strip("a[[lab tokens=1]]b [lab] [[labour]]") == "ab [lab] [[labour]]"


@pytest.mark.parametrize("lab", MODELS)
@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_every_fault_has_a_script_at_every_lab_in_both_forms(lab: str, fault: str) -> None:
    for stream in (True, False):
        assert steps(call(lab, f"hello [[lab fault={fault}]]", stream=stream), lab)


def test_the_first_event_and_each_after_it_wait_as_long_as_asked() -> None:
    head, first, *rest = steps(
        call("spark", "hello [[lab tokens=2 first_delay_ms=50 delay_ms=2]]", stream=True), "spark"
    )

    assert isinstance(head, Head)
    assert first == Pause(0.05)
    assert rest[1::2] == [Pause(0.002)] * 3
    assert all(isinstance(event, bytes) for event in rest[::2])


def test_a_json_answer_takes_as_long_as_its_stream_before_its_head() -> None:
    first, second, head, *_ = steps(call("spark", "hello [[lab tokens=5 first_delay_ms=50 delay_ms=2]]"), "spark")

    assert (first, second) == (Pause(0.05), Pause(0.01))
    assert isinstance(head, Head)


def test_comments_hold_a_stream_open_before_its_first_event() -> None:
    played = steps(call("deepseek", "hello [[lab keepalive=2 first_delay_ms=50]]", stream=True), "deepseek")

    assert played[1:5] == [Filler(b": keep-alive\n\n"), Pause(0.025)] * 2


def test_blank_lines_hold_a_json_answer_open_before_its_body() -> None:
    head, *played = steps(call("deepseek", "hello [[lab keepalive=2 first_delay_ms=50]]"), "deepseek")

    assert isinstance(head, Head)
    assert played[:4] == [Filler(b"\n"), Pause(0.025)] * 2
    assert json.loads(b"\n\n" + b"".join(step for step in played if isinstance(step, bytes)))


def test_a_stream_without_delay_has_no_pause_between_events() -> None:
    played = steps(call("zai", "hello [[lab tokens=50]]", stream=True), "zai")

    assert [step for step in played if isinstance(step, Pause)] == [Pause(0)]


@pytest.mark.parametrize("size", range(1, 12))
def test_a_cutter_changes_no_byte(size: int) -> None:
    events = [b"data: {}\n\n", b"", b"x", "data: 字\n\n".encode()]
    cutter = Cutter(size)

    pieces = [piece for event in events for piece in cutter.feed(event)]
    rest = list(cutter.flush())

    assert b"".join(pieces + rest) == b"".join(events)
    assert {len(piece) for piece in pieces} <= {size}
    assert list(cutter.flush()) == []


def test_one_lab_can_fail_while_the_others_answer() -> None:
    text = "hello [[lab moonshot.fault=overloaded]]"

    assert {lab: response(call(lab, text), lab)[0].status for lab in MODELS} == {
        "deepseek": 200,
        "moonshot": 429,
        "dashscope": 200,
        "zai": 200,
        "spark": 200,
    }
