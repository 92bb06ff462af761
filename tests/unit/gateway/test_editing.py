"""An edited stream is the same at every cut, shows what the provider wrote, and ends as the provider's did."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.charging import is_whole
from gateway.editing import StreamEditor, finish_event, usage_event
from gateway.guarding import Guard
from gateway.metering import StreamMeter, usage_object
from gateway.ports import StreamFacts
from gateway.providers import DIALECTS
from gateway.sse import MAX_EVENT_BYTES, Splitter
from tests.unit.gateway.fakes import read_events
from tests.unit.gateway.shapes import DEEPSEEK_TEXTS, SHAPES, SPARK_TEXTS, Shape, deepseek, events, shape
from tests.unit.gateway.slow import content_of
from tests.unit.gateway.test_metering import MODEST, streams

DEFAULTS = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "m"}
ERROR_EVENT, USAGE = b'data: {"error":{"message":"broken"}}\n\n', {"prompt_tokens": 1}

shapes = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)


def ending(facts: StreamFacts, defaults: dict[str, Any]) -> bytes:
    """What the gateway appends: an error, or a finish where there was none, the usage, and the end mark."""
    if not is_whole(facts):
        return ERROR_EVENT
    finish = b"" if facts.finish_reason else finish_event(defaults, "stop")
    return finish + usage_event(defaults, USAGE) + b"data: [DONE]\n\n"


def edited(dialect: str, *pieces: bytes) -> bytes:
    guard = guard_of(dialect)
    return b"".join(map(guard.feed, pieces)) + guard.end(silent=False)


def guard_of(dialect: str) -> Guard:
    """An editor where it stands: behind the guard, which gives it whole events."""
    return Guard(StreamEditor(DIALECTS[dialect], defaults=DEFAULTS, ending=ending))


@shapes
def test_the_edited_bytes_are_the_same_wherever_the_stream_is_cut(shape: Shape) -> None:
    whole = edited(shape.dialect, shape.wire)

    assert all(edited(shape.dialect, shape.wire[:cut], shape.wire[cut:]) == whole for cut in range(1, len(shape.wire)))


@shapes
def test_the_edited_bytes_are_the_same_byte_by_byte(shape: Shape) -> None:
    pieces = [bytes([byte]) for byte in shape.wire]

    assert edited(shape.dialect, *pieces) == edited(shape.dialect, shape.wire)


@shapes
def test_all_that_a_model_wrote_reaches_the_caller(shape: Shape) -> None:
    assert content_of(edited(shape.dialect, shape.wire)) == shape.content


@shapes
def test_a_whole_answer_ends_in_one_finish_one_usage_and_one_end_mark(shape: Shape) -> None:
    if not shape.ends:
        return

    said = read_events(edited(shape.dialect, shape.wire).decode())

    chunks, end_marks = [item for item in said if item != "[DONE]"], said.count("[DONE]")
    finishes = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"] if choice["finish_reason"]]
    assert (end_marks, said[-1]) == (1, "[DONE]")
    assert len(finishes) == 1
    assert [usage_object(chunk) for chunk in chunks if usage_object(chunk)] == [USAGE]
    assert usage_object(chunks[-1]) == USAGE


@shapes
def test_a_broken_answer_ends_in_one_error_and_no_end_mark(shape: Shape) -> None:
    if shape.ends:
        return

    said = read_events(edited(shape.dialect, shape.wire).decode())

    assert said[-1] == {"error": {"message": "broken"}}
    assert "[DONE]" not in said
    assert sum("error" in item for item in said) == 1


@shapes
def test_every_chunk_has_the_fields_that_openai_s_clients_rely_on(shape: Shape) -> None:
    chunks = [item for item in read_events(edited(shape.dialect, shape.wire).decode()) if isinstance(item, dict)]

    assert all(DEFAULTS.keys() <= chunk.keys() for chunk in chunks if "error" not in chunk)
    assert all("code" not in chunk and "sid" not in chunk for chunk in chunks if "error" not in chunk)


@shapes
def test_what_is_added_at_the_end_has_the_id_that_the_provider_gave(shape: Shape) -> None:
    given = {item.get("id") for item in read_events(shape.wire.decode()) if isinstance(item, dict)} - {None}
    chunks = [item for item in read_events(edited(shape.dialect, shape.wire).decode()) if isinstance(item, dict)]

    assert {chunk["id"] for chunk in chunks if "error" not in chunk} <= (given or {DEFAULTS["id"]})


@shapes
def test_a_plain_event_of_a_plain_stream_passes_byte_for_byte(shape: Shape) -> None:
    if DIALECTS[shape.dialect].repairs_all:
        return
    mark = DIALECTS[shape.dialect].mark_of_chunk
    plain = [raw for raw in Splitter().feed(shape.wire) if mark in raw and not any(word in raw for word in TELLING)]

    output = edited(shape.dialect, shape.wire)

    assert all(raw in output for raw in plain)


TELLING = (b'usage":{', b'finish_reason":"', b'tool_calls":', b"[DONE]", b'"error"', b'"code"')


@pytest.mark.parametrize("name", ["deepseek-text", "spark-text", "glm-usage-without-choices", "qwen-reasoning"])
def test_a_stream_cut_at_any_byte_before_its_finish_is_never_passed_off_as_whole(name: str) -> None:
    cut_shape = shape(name)
    end = cut_shape.wire.find(b'"finish_reason":"' if cut_shape.finish_reason else b"[DONE]")

    for cut in range(end):
        said = read_events(edited(cut_shape.dialect, cut_shape.wire[:cut]).decode())

        assert said[-1] == {"error": {"message": "broken"}}
        assert "[DONE]" not in said


def test_a_stream_cut_within_the_event_after_its_finish_shows_no_half_event() -> None:
    wire = events(deepseek({"content": "a"}), deepseek({}, "stop")) + b'data: {"id":"1","cho'

    said = read_events(edited("deepseek", wire).decode())

    assert [item.get("error") for item in said[:-1]] == [None] * 3
    assert said[-1] == "[DONE]"


@shapes
def test_what_a_client_joins_of_a_stream_is_what_the_provider_meant(shape: Shape) -> None:
    said = [item for item in read_events(edited(shape.dialect, shape.wire).decode()) if isinstance(item, dict)]
    deltas = [choice["delta"] for chunk in said if "error" not in chunk for choice in chunk["choices"]]
    parts = [part for delta in deltas for part in delta.get("tool_calls") or []]

    joined: dict[int, dict[str, str]] = {}
    for part in parts:
        call = joined.setdefault(part["index"], {"id": "", "type": "", "name": ""})
        for name in ("id", "type"):
            call[name] += part.get(name, "")
        call["name"] += part["function"].get("name", "")
    assert sum("role" in delta for delta in deltas) <= 1
    assert [call for call in joined.values() if call != {**call, "type": "function", "name": "weather"}] == []
    assert len({call["id"] for call in joined.values()} - {""}) == len(joined)
    assert list(joined) == list(range(len(joined)))


ROLES_EVERYWHERE = ["glm-usage-without-choices", "glm-usage-on-last-chunk-and-no-object", "spark-text"]


@pytest.mark.parametrize("name", ROLES_EVERYWHERE)
def test_the_role_comes_once_at_the_beginning(name: str) -> None:
    said = read_events(edited(shape(name).dialect, shape(name).wire).decode())

    deltas = [choice["delta"] for chunk in said[:-1] for choice in chunk["choices"]]
    assert [delta.get("role") for delta in deltas if delta] == [
        "assistant",
        *[None] * (len([d for d in deltas if d]) - 1),
    ]


@pytest.mark.parametrize("name", ["deepseek-insufficient-system-resource", "glm-network-error"])
def test_a_failure_that_is_said_as_a_finish_is_never_passed_off_as_one(name: str) -> None:
    failed = shape(name)

    said = read_events(edited(failed.dialect, failed.wire).decode())

    assert said[-1] == {"error": {"message": "broken"}}
    assert [
        choice["finish_reason"] for chunk in said[:-1] for choice in chunk["choices"] if choice["finish_reason"]
    ] == []


def test_the_editor_knows_that_it_stopped_before_the_provider_did() -> None:
    for texts, broken in ((SPARK_TEXTS, False), (["oops", *SPARK_TEXTS], True), (["[" * 500, *SPARK_TEXTS], True)):
        editor = StreamEditor(DIALECTS["spark"], defaults=DEFAULTS, ending=ending)

        for text in (*texts, "[DONE]"):
            editor.edit(events(text))

        assert editor.broken is broken


def test_an_event_that_is_not_json_ends_the_stream_in_an_error() -> None:
    wire = events(SPARK_TEXTS[0], "oops", *SPARK_TEXTS, "[DONE]")

    said = read_events(edited("spark", wire).decode())

    assert said[-1] == {"error": {"message": "broken"}}
    assert "[DONE]" not in said
    assert len(said) == 2


def test_an_event_that_is_too_long_ends_the_stream_in_an_error() -> None:
    wire = events(*SPARK_TEXTS) + b"data: " + b"x" * MAX_EVENT_BYTES

    said = read_events(edited("spark", wire, events("", "[DONE]")).decode())

    assert said[-1] == {"error": {"message": "broken"}}
    assert "[DONE]" not in said


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "chunk",
    [
        {"choices": 5},
        {"choices": [1, None, "x"]},
        {"choices": {"index": 0}},
        {"choices": [{"delta": None}], "usage": {"prompt_tokens": 1}},
        {"choices": [{"finish_reason": []}]},
        {},
    ],
    ids=str,
)
def test_a_chunk_of_an_odd_form_breaks_nothing(dialect: str, chunk: dict[str, Any]) -> None:
    wire = events(json.dumps(chunk), deepseek({"content": "after"}, "stop"), "[DONE]")

    output = edited(dialect, wire)

    assert b"after" in output
    assert output.endswith(b"data: [DONE]\n\n")


@MODEST
@given(st.data(), st.sampled_from(["deepseek", "zai"]), st.booleans())
def test_what_a_model_writes_never_fools_the_editor(data: st.DataObject, dialect: str, ascii_only: bool) -> None:
    wire = data.draw(streams(ascii_only=ascii_only))
    cut = data.draw(st.integers(0, len(wire)))

    output = edited(dialect, wire[:cut], wire[cut:])

    assert content_of(output) == content_of(wire)
    assert output == edited(dialect, wire)
    said = read_events(output.decode())
    assert [usage_object(item) for item in said[:-1] if usage_object(item)] in ([USAGE], [])
    assert (said[-1] == "[DONE]") == is_whole(meter_of(wire))


def meter_of(wire: bytes) -> StreamFacts:
    meter = StreamMeter()
    meter.feed(wire)
    meter.end()
    return meter.facts()


def test_comments_pass() -> None:
    assert edited("zai", b": keep-alive\n\n").startswith(b": keep-alive\n\n")


def test_the_usage_event_has_no_choices_and_the_defaults() -> None:
    assert read_events(usage_event(DEFAULTS, USAGE).decode()) == [{**DEFAULTS, "choices": [], "usage": USAGE}]


def test_usage_on_a_chunk_with_choices_is_taken_off_and_the_chunk_stays() -> None:
    said = read_events(edited("deepseek", events(*DEEPSEEK_TEXTS, "[DONE]")).decode())

    assert said[-3]["choices"][0]["finish_reason"] == "length"
    assert "usage" not in said[-3]


def test_half_of_a_surrogate_pair_passes_as_the_escape_that_it_was() -> None:
    wire = events('{"choices":[{"index":0,"delta":{"content":"\\ud83d"}}]}', "[DONE]")

    assert read_events(edited("zai", wire).decode())[0]["choices"][0]["delta"]["content"] == "\ud83d"
