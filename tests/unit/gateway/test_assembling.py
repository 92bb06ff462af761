"""An answer put together from a stream is the answer that would have come without one."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import assembling
from gateway.assembling import PART_CHARS, AnswerTooLarge, Assembly, chunks_of
from tests.unit.gateway.examples import examples
from tests.unit.gateway.shapes import compact, events

HEAD = {"id": "c-1", "object": "chat.completion.chunk", "created": 7, "model": "m-1", "system_fingerprint": "fp"}


def chunk(delta: dict[str, Any], *, index: int = 0, **more: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None, **more}
    return {**HEAD, "choices": [choice]}


def assembled(*chunks: dict[str, Any]) -> dict[str, Any]:
    assembly = Assembly()
    for each in chunks:
        assembly.feed(events(compact(each)))
    return assembly.answer()


def message_of(*deltas: dict[str, Any]) -> dict[str, Any]:
    [choice] = assembled(*map(chunk, deltas))["choices"]
    message: dict[str, Any] = choice["message"]
    return message


def call(index: int, arguments: str, **first: str) -> dict[str, Any]:
    named = {"name": first.pop("name")} if "name" in first else {}
    return {"tool_calls": [{"index": index, **first, "function": {**named, "arguments": arguments}}]}


def test_the_first_chunk_s_fields_are_the_answer_s() -> None:
    answer = assembled(chunk({"content": "a"}), {**chunk({"content": "b"}), "id": "c-2", "service_tier": "x"})

    assert answer == {
        **HEAD,
        "object": "chat.completion",
        "service_tier": "x",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "ab"},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
    }


def test_reasoning_and_content_are_joined_apart() -> None:
    message = message_of(
        {"role": "assistant", "content": None, "reasoning_content": "Hm"},
        {"content": None, "reasoning_content": ", so"},
        {"content": "It", "reasoning_content": None},
        {"content": " is"},
    )

    assert message == {"role": "assistant", "content": "It is", "reasoning_content": "Hm, so"}


def test_tool_calls_are_joined_by_their_index() -> None:
    message = message_of(
        {"role": "assistant", "content": ""},
        call(0, "", id="call_a", type="function", name="weather"),
        call(0, '{"city":'),
        call(1, "", id="call_b", type="function", name="time"),
        call(0, '"Bern"}'),
        call(1, "{}", id=""),
    )

    assert message["content"] is None
    assert message["tool_calls"] == [
        {"id": "call_a", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bern"}'}},
        {"id": "call_b", "type": "function", "function": {"name": "time", "arguments": "{}"}},
    ]


def test_several_choices_stay_apart() -> None:
    answer = assembled(
        chunk({"content": "b"}, index=1),
        chunk({"content": "a"}, index=0),
        chunk({"content": "b"}, index=1, finish_reason="length"),
        chunk({}, index=0, finish_reason="stop"),
    )

    said = [(each["index"], each["message"]["content"], each["finish_reason"]) for each in answer["choices"]]
    assert said == [(0, "a", "stop"), (1, "bb", "length")]


def test_log_probabilities_are_joined() -> None:
    token = {"token": "a", "logprob": -1, "top_logprobs": []}
    answer = assembled(*[chunk({"content": "a"}, logprobs={"content": [token], "refusal": None})] * 3)

    assert answer["choices"][0]["logprobs"] == {"content": [token] * 3}
    assert answer["choices"][0]["message"]["content"] == "aaa"


def test_comments_and_chunks_without_choices_say_nothing() -> None:
    assembly = Assembly()

    assembly.feed(b": keep-alive\n\n" + events(compact({**HEAD, "choices": []}), "[DONE]"))

    assert assembly.answer() == {**HEAD, "object": "chat.completion", "choices": []}


def test_a_surrogate_pair_in_two_deltas_is_one_character() -> None:
    [first, second] = [
        f'{{"choices":[{{"index":0,"delta":{{"content":"{half}"}}}}]}}' for half in (r"\ud83d", r"\ude42")
    ]
    for repeats in (1, 3):
        assembly = Assembly()

        assembly.feed(events(*[first, second] * repeats))

        assert assembly.answer()["choices"][0]["message"]["content"] == "\U0001f642" * repeats


def test_an_answer_that_is_too_long_is_given_up() -> None:
    part = "x" * 2**20
    most = assembling.MAX_ASSEMBLED_BYTES // 2**20
    assembly = Assembly()
    for _ in range(most):
        assembly.feed(events(compact(chunk({"content": part}))))

    with pytest.raises(AnswerTooLarge):
        assembly.feed(events(compact(chunk({"content": "x"}))))


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
MESSAGES = st.fixed_dictionaries(
    {"content": TEXTS, "reasoning_content": TEXTS},
    optional={"tool_calls": st.lists(st.tuples(st.text(min_size=1, max_size=5), TEXTS), min_size=1, max_size=3)},
)


def whole(message: dict[str, Any]) -> dict[str, Any]:
    """The message of an answer that says this."""
    calls = [
        {"id": f"call_{place}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for place, (name, arguments) in enumerate(message.get("tool_calls", []))
    ]
    said = {name: message[name] for name in ("reasoning_content",) if message[name]}
    content = message["content"] or (None if calls else "")
    return {"role": "assistant", "content": content, **said, **({"tool_calls": calls} if calls else {})}


def deltas_of(message: dict[str, Any], data: st.DataObject) -> list[dict[str, Any]]:
    """The message in deltas, cut wherever ``data`` says."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    for name in ("reasoning_content", "content"):
        deltas += [{name: part} for part in cut(message[name], data)]
    for place, (name, arguments) in enumerate(message.get("tool_calls", [])):
        first, *rest = [*cut(arguments, data), ""]
        deltas.append(call(place, first, id=f"call_{place}", type="function", name=name))
        deltas += [call(place, part) for part in rest]
    return deltas


def cut(text: str, data: st.DataObject) -> list[str]:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@examples(100)
@given(message=MESSAGES, data=st.data(), ascii_only=st.booleans())
def test_any_way_to_cut_an_answer_into_deltas_gives_the_same(
    message: dict[str, Any], data: st.DataObject, ascii_only: bool
) -> None:
    deltas = deltas_of(message, data)
    chunks = [chunk(delta) for delta in deltas] + [chunk({}, finish_reason="stop")]
    wire = events(*(json.dumps(each, ensure_ascii=ascii_only) for each in chunks))
    assembly = Assembly()
    position = 0
    while position < len(wire):
        size = data.draw(st.integers(1, len(wire)))
        assembly.feed(wire[position : position + size])
        position += size

    [choice] = assembly.answer()["choices"]
    assert choice["message"] == whole(message)
    assert choice["finish_reason"] == "stop"


@examples(100)
@given(message=MESSAGES)
def test_an_answer_that_is_streamed_again_is_the_same_answer(message: dict[str, Any]) -> None:
    choices = [
        {"index": index, "message": whole(message), "logprobs": None, "finish_reason": reason}
        for index, reason in enumerate(("stop", "length"))
    ]
    answer = {**HEAD, "object": "chat.completion", "choices": choices}

    chunks = list(chunks_of(answer))

    assert assembled(*chunks) == answer
    assert all(each["object"] == "chat.completion.chunk" for each in chunks)


def test_a_long_text_is_streamed_in_lines_that_every_client_can_read() -> None:
    text = "\u597d" * (3 * PART_CHARS + 1)
    message = {"role": "assistant", "content": text, "tool_calls": [whole_call(text)]}
    answer = {**HEAD, "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}]}

    lines = [compact(each) for each in chunks_of(answer)]

    assert max(len(line) for line in lines) < PART_CHARS + 1_000
    assert assembled(*map(json.loads, lines))["choices"][0]["message"] == message


def whole_call(arguments: str) -> dict[str, Any]:
    return {"id": "call_0", "type": "function", "function": {"name": "f", "arguments": arguments}}
