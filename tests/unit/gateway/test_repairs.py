"""An answer of any provider becomes what OpenAI's clients expect: finishes, roles, tool calls."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.documents import PlainDocument
from gateway.repairs import OPENAI_FINISHES, StreamRepair, openai_finish, repair_answer
from tests.unit.gateway.test_metering import MODEST


def repaired(**answer: Any) -> dict[str, Any]:
    document = PlainDocument(answer)
    repair_answer(document)
    return document.values


def repaired_message(**message: Any) -> dict[str, Any]:
    [choice] = repaired(choices=[{"index": 0, "message": message, "finish_reason": "stop"}])["choices"]
    found: dict[str, Any] = choice["message"]
    return found


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        *((reason, reason) for reason in sorted(OPENAI_FINISHES)),
        ("sensitive", "content_filter"),
        ("model_context_window_exceeded", "length"),
        ("max_tokens", "length"),
        ("something new", "stop"),
        ("", None),
        (None, None),
        (["stop"], None),
    ],
)
def test_a_finish_is_told_in_openai_s_words(reason: Any, told: str | None) -> None:
    assert openai_finish(reason) == told


def test_a_whole_answer_that_says_no_reason_ended_well() -> None:
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]

    answer = repaired(choices=[{"message": {"content": "a"}}, {"message": {"tool_calls": calls}}])

    assert [(choice["index"], choice["finish_reason"]) for choice in answer["choices"]] == [
        (0, "stop"),
        (1, "tool_calls"),
    ]
    assert answer["object"] == "chat.completion"


def test_an_answer_in_openai_s_form_is_not_written_to() -> None:
    class ReadOnly(PlainDocument):
        def write(self, name: str, value: Any) -> None:
            raise AssertionError(name)

    message = {"role": "assistant", "content": "a", "refusal": None, "tool_calls": None}
    choice = {"index": 0, "message": message, "finish_reason": "length"}

    repair_answer(ReadOnly({"object": "chat.completion", "choices": [choice]}))


def test_a_message_gets_its_role_and_its_content() -> None:
    assert repaired_message(reasoning_content="why") == {
        "role": "assistant",
        "content": None,
        "reasoning_content": "why",
    }


def test_a_tool_call_in_place_of_a_list_is_the_only_one() -> None:
    call = {"type": "function", "function": {"arguments": '{"a":1}', "name": "f"}, "id": "c"}

    assert repaired_message(content="", tool_calls=call)["tool_calls"] == [call]


def test_a_tool_call_gets_an_id_a_type_and_arguments_as_a_text() -> None:
    calls: list[dict[str, Any]] = [
        {"function": {"name": "f", "arguments": {"a": "\u4f60"}}},
        {"id": "", "function": {"name": "g", "arguments": None}},
    ]

    assert repaired_message(tool_calls=calls)["tool_calls"] == [
        {"id": "call_0", "type": "function", "function": {"name": "f", "arguments": '{"a": "\u4f60"}'}},
        {"id": "call_1", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]


def streamed(*chunks: dict[str, Any], sees_all: bool = True) -> list[dict[str, Any]]:
    """The chunks' first choices once they are repaired, one after the other."""
    repair = StreamRepair(sees_all=sees_all)
    for chunk in chunks:
        assert repair.repair(chunk)
    return [chunk["choices"][0] for chunk in chunks]


def said(delta: Any, **choice: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, **choice}]}


def parts_of(*deltas: Any) -> list[dict[str, Any]]:
    choices = streamed(*(said({"tool_calls": calls}) for calls in deltas))
    return [part for choice in choices for part in choice["delta"]["tool_calls"]]


def test_the_first_delta_has_the_role_and_no_other() -> None:
    role = {"role": "assistant"}

    choices = streamed(said({**role, "content": "a"}), said({**role, "content": "b"}), said({"content": "c"}))

    assert [choice["delta"] for choice in choices] == [{**role, "content": "a"}, {"content": "b"}, {"content": "c"}]


def test_each_choice_has_its_role_once() -> None:
    chunk: dict[str, Any] = {
        "choices": [{"index": 0, "delta": {"content": "a"}}, {"index": 1, "delta": {"content": "b"}}]
    }

    StreamRepair(sees_all=True).repair(chunk)

    assert [choice["delta"]["role"] for choice in chunk["choices"]] == ["assistant", "assistant"]


def test_a_role_is_left_alone_where_not_all_chunks_are_seen() -> None:
    choices = streamed(said({"content": "a"}), said({"role": "assistant"}), sees_all=False)

    assert [choice["delta"] for choice in choices] == [{"content": "a"}, {"role": "assistant"}]


def test_a_choice_without_index_delta_or_finish_gets_them() -> None:
    [choice] = streamed({"choices": [{"delta": None}]}, sees_all=False)

    assert choice == {"index": 0, "delta": {}, "finish_reason": None}


@pytest.mark.parametrize("reason", ["insufficient_system_resource", "aborted", "network_error"])
def test_a_failure_is_told_apart_and_never_shown_as_a_finish(reason: str) -> None:
    chunk = said({"content": "a"}, finish_reason=reason)

    assert not StreamRepair(sees_all=True).repair(chunk)
    assert chunk["choices"][0]["finish_reason"] is None


def test_what_a_call_is_named_comes_once() -> None:
    first = {"index": 0, "id": "call_a", "type": "function", "function": {"name": "f", "arguments": ""}}
    again = {"index": 0, "id": "call_a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    empty = {"index": 0, "id": "", "type": "function", "function": {"name": "", "arguments": "[]"}}

    assert parts_of([first], [again], [empty]) == [
        first,
        {"index": 0, "function": {"arguments": "{}"}},
        {"index": 0, "function": {"arguments": "[]"}},
    ]


def test_calls_without_an_index_are_told_apart_by_their_ids_and_names() -> None:
    whole = [{"id": "a", "function": {"name": "f", "arguments": "{}"}}, {"id": "b", "function": {"name": "f"}}]
    more = [{"function": {"arguments": "1"}}]
    of_first = [{"id": "a", "function": {"arguments": "2"}}]
    nameless = [{"function": {"name": "g", "arguments": ""}}]

    parts = parts_of(whole, more, of_first, nameless)

    assert [(part["index"], part.get("id")) for part in parts] == [
        (0, "a"),
        (1, "b"),
        (1, None),
        (0, None),
        (2, "call_2"),
    ]
    assert all(part["function"]["arguments"] is not None for part in parts)


def test_a_call_in_place_of_a_list_is_the_only_one_of_a_delta() -> None:
    call = {"type": "function", "id": "c", "function": {"name": "f", "arguments": "{}"}}

    assert parts_of(call) == [{**call, "index": 0}]


CALLS = st.lists(st.tuples(st.text("abc", min_size=1), st.lists(st.text("{}"), max_size=3)), max_size=4)


@MODEST
@given(CALLS, st.booleans(), st.booleans())
def test_parallel_calls_are_joined_to_what_the_provider_meant(
    calls: list[tuple[str, list[str]]], has_index: bool, repeats_id: bool
) -> None:
    deltas: list[Any] = []
    for place, (name, pieces) in enumerate(calls):
        index, call_id = ({"index": place} if has_index else {}), f"call_{name}_{place}"
        deltas.append([{**index, "id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}])
        deltas += [[{**index, "id": call_id * repeats_id, "function": {"arguments": piece}}] for piece in pieces]

    joined: dict[int, list[str]] = {}
    for part in parts_of(*deltas):
        call = joined.setdefault(part["index"], ["", "", ""])
        for position, text in enumerate(
            (part.get("id", ""), part["function"].get("name", ""), part["function"]["arguments"])
        ):
            call[position] += text
    assert list(joined.values()) == [
        [f"call_{name}_{place}", name, "".join(pieces)] for place, (name, pieces) in enumerate(calls)
    ]


@pytest.mark.parametrize("calls", [None, 5, "x", [], [None, 1], [{}], [{"function": None}], {"function": 7}])
def test_tool_calls_of_an_odd_form_break_nothing(calls: Any) -> None:
    streamed(said({"tool_calls": calls}))
    repaired_message(tool_calls=calls)
