"""What of a stream reaches its caller after the commit point, whatever its pieces and however it ends."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.charging import is_whole
from gateway.editing import StreamEditor
from gateway.guarding import MAX_UNMETERED_BYTES, Guard
from gateway.ports import StreamFacts
from gateway.providers import DIALECTS
from gateway.sse import MAX_EVENT_BYTES
from tests.unit.gateway.examples import examples
from tests.unit.gateway.shapes import DEEPSEEK_TOKENS, ERROR, SHAPES, deepseek, events, glm, tool_call
from tests.unit.gateway.slow import content_of, facts_of

OURS = b"data: ours\n\n"
BEGUN = events(deepseek({"content": "a"}))
ENDED = events(deepseek({}, "stop", DEEPSEEK_TOKENS), "[DONE]")


class Ending:
    """The end that an editor gives; it remembers the facts that it was given for."""

    def __init__(self) -> None:
        self.facts: list[StreamFacts] = []

    def __call__(self, facts: StreamFacts, _: dict[str, Any]) -> bytes:
        self.facts.append(facts)
        return OURS


def guard_of(dialect: str = "deepseek", ending: Ending | None = None) -> Guard:
    return Guard(StreamEditor(DIALECTS[dialect], defaults={}, ending=ending or Ending()))


def passed(*pieces: bytes, dialect: str = "deepseek", silent: bool = False) -> tuple[bytes, Guard]:
    guard = guard_of(dialect)
    given = b"".join(map(guard.feed, pieces))
    return given + guard.end(silent=silent), guard


FAILING = [
    pytest.param(events(ERROR), id="error"),
    pytest.param(events("oops"), id="no json"),
    pytest.param(events("[1]"), id="no object"),
    pytest.param(BEGUN[: len(BEGUN) // 2] + b"\n\n", id="half a chunk"),
    pytest.param(BEGUN.replace(b'"a"', b'"a'), id="open text"),
    pytest.param(events("[" * 500 + "]" * 500), id="deep"),
    pytest.param(b"data: " + b"x" * (MAX_EVENT_BYTES + 1), id="endless"),
    pytest.param(events(deepseek({}, "insufficient_system_resource")), id="failed finish"),
    pytest.param(b"event: error\n" + events(ERROR), id="error event"),
]


@pytest.mark.parametrize("failing", FAILING)
@pytest.mark.parametrize("begun", [BEGUN, BEGUN * 5], ids=["at once", "after alike ones"])
def test_nothing_of_a_failing_event_passes_and_the_last_event_is_ours(failing: bytes, begun: bytes) -> None:
    given, guard = passed(begun, failing, ENDED)

    said, _, rest = given.removeprefix(begun).partition(OURS)
    assert rest == b""
    assert b"busy" not in said
    assert b"[DONE]" not in said
    assert guard.is_over
    assert not is_whole(guard.facts())


@pytest.mark.parametrize("failing", FAILING)
def test_the_end_comes_with_the_failing_event_and_not_later(failing: bytes) -> None:
    ending = Ending()
    guard = guard_of(ending=ending)
    guard.feed(BEGUN)

    assert guard.feed(failing).endswith(OURS)
    assert guard.feed(BEGUN) == guard.end(silent=True) == b""
    assert len(ending.facts) == 1
    assert guard.facts().usage is None


def test_the_end_mark_ends_the_stream_though_more_would_come() -> None:
    guard = guard_of()
    guard.feed(BEGUN)

    assert guard.feed(ENDED).endswith(OURS)
    assert guard.is_over
    assert guard.feed(events(ERROR)) == guard.end(silent=True) == b""
    assert is_whole(guard.facts())


@pytest.mark.parametrize(
    ("pieces", "silent", "whole"),
    [
        ([BEGUN], False, False),
        ([BEGUN], True, False),
        ([BEGUN, BEGUN[:-9]], False, False),
        ([BEGUN, events(deepseek({}, "stop"))], False, True),
        ([BEGUN, events(deepseek({}, "stop"))], True, False),
        ([BEGUN, events(deepseek({}, "stop"))[:-2]], False, True),
        ([BEGUN, b"data: [DONE]"], False, True),
    ],
)
def test_a_stream_without_an_end_mark_is_told_apart_at_its_end(pieces: list[bytes], silent: bool, whole: bool) -> None:
    given, guard = passed(*pieces, silent=silent)

    assert given.endswith(OURS)
    assert is_whole(guard.facts()) == whole
    assert guard.facts().silent == silent


def test_half_an_event_at_the_end_does_not_reach_the_caller() -> None:
    given, _ = passed(BEGUN, BEGUN[:-9])

    assert given == BEGUN + OURS


def test_alike_events_pass_as_the_very_same_bytes() -> None:
    guard = guard_of()
    pieces = [events(deepseek({"content": text})) for text in ("a", "b", "\u597d", '"', "")]

    given = [guard.feed(piece) for piece in pieces]

    assert given == pieces
    assert all(one is other for one, other in zip(given[2:], pieces[2:], strict=True))


def test_alike_events_are_edited_as_the_first_ones_were() -> None:
    texts = ["a", "b", "c\u597d", 'd"', "e"]

    given, _ = passed(*(events(glm(text)) for text in texts), dialect="zai")

    chunks = content_of(given.removesuffix(OURS))
    assert chunks == "".join(texts).replace('"', '"')
    assert given.count(b'"role"') == 1


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
@examples(25)
@given(data=st.data())
def test_pieces_change_nothing(shape: Any, data: st.DataObject) -> None:
    wire = shape.wire
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=12)))
    pieces = [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]

    given, guard = passed(*pieces, dialect=shape.dialect)
    whole, expected = passed(wire, dialect=shape.dialect)

    assert given == whole
    assert guard.facts() == expected.facts()


def test_a_long_stream_is_metered_as_a_short_one_is() -> None:
    texts = ["x" * 50] * (MAX_UNMETERED_BYTES // 100)
    calls = [tool_call("{}" * 20)] * 200
    wires = [events(deepseek({"content": text})) for text in texts] + [events(deepseek(call)) for call in calls]

    _, guard = passed(*wires, ENDED)

    assert guard.facts() == facts_of(b"".join(wires) + ENDED)
