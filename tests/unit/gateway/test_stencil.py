"""Which events are alike but for their text, told without parsing."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.stencil import Stencil
from tests.unit.gateway.shapes import compact, deepseek, events, tool_call

HELLO = events(deepseek({"content": "Hello"}))
ALIKE = Stencil.of(HELLO)

texts = st.text(st.characters(exclude_categories=["Cs"]))


def event(text: str) -> bytes:
    return events(deepseek({"content": text}))


@given(st.lists(texts, min_size=1, max_size=5))
def test_events_with_other_texts_are_alike_and_their_texts_are_found(said: list[str]) -> None:
    assert ALIKE is not None
    wire = b"".join(map(event, said))
    found = ALIKE.texts_of(wire)

    assert found is not None
    assert [json.loads(b'"' + text + b'"') for text in found] == said
    assert ALIKE.text_bytes_of(wire) == sum(map(len, found))
    assert ALIKE.fill(found) == wire


@pytest.mark.parametrize(
    "other",
    [
        events(deepseek({"reasoning_content": "Hello"})),
        events(deepseek({"content": "Hello"}, "stop")),
        events(deepseek({"role": "assistant", "content": "Hello"})),
        events(compact({"error": {"message": "Hello"}})),
        HELLO + events("[DONE]") + HELLO,
        HELLO + events(deepseek({})) + HELLO,
        HELLO + HELLO[:-1],
        HELLO + HELLO[1:],
        HELLO[:-1],
        HELLO[1:],
        b"",
        HELLO.replace(b"Hello", b'Hello","role":"x'),
        HELLO.replace(b'Hello"', b""),
        HELLO.replace(b"Hello", b"\\"),
        HELLO.replace(b"Hello", b"\\x"),
        HELLO.replace(b"Hello", b"\\u12"),
        HELLO.replace(b"Hello", b"\\u12") + HELLO.replace(b"Hello", b"34"),
        HELLO.replace(b"Hello", b"\\") + HELLO.replace(b"Hello", b"n"),
        HELLO.replace(b"Hello", b"a\nb"),
    ],
)
def test_any_others_are_not(other: bytes) -> None:
    assert ALIKE is not None

    assert ALIKE.texts_of(other) is None
    assert ALIKE.text_bytes_of(other) is None


@pytest.mark.parametrize(
    "bare",
    [
        b": keep-alive\n\n",
        events("[DONE]"),
        events(deepseek({})),
        events(deepseek({"content": None})),
        events(deepseek({"content": "a", "reasoning_content": "b"})),
        events(compact({"content": ["a"]})),
    ],
)
def test_an_event_without_a_text_or_with_several_has_no_stencil(bare: bytes) -> None:
    assert Stencil.of(bare) is None


def test_the_arguments_of_a_tool_call_are_a_text() -> None:
    stencil = Stencil.of(events(deepseek(tool_call('{"city'))))

    assert stencil is not None
    assert stencil.texts_of(events(deepseek(tool_call('": "Bern"}')))) == [b'\\": \\"Bern\\"}']
    assert stencil.texts_of(events(deepseek(tool_call("{}", id="call_1", type="function")))) is None
