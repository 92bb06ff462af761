"""The meter sees the same facts at every cut, reads every place where usage stands, and is fooled by no text."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.metering import (
    StreamMeter,
    completed_usage,
    error_object,
    estimated_usage,
    openai_usage,
    usage_object,
    usage_of,
)
from gateway.ports import StreamFacts
from gateway.records import Usage
from tests.unit.gateway.examples import examples
from tests.unit.gateway.shapes import KIMI_TOKENS, SHAPES, Shape, deepseek, events, tool_call, usage
from tests.unit.gateway.slow import content_of, facts_of

MODEST = examples(150)

shapes = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)


def metered(*pieces: bytes) -> StreamFacts:
    meter = StreamMeter()
    for piece in pieces:
        meter.feed(piece)
    meter.end()
    return meter.facts()


@shapes
def test_the_facts_of_a_shape_are_what_was_seen_in_it(shape: Shape) -> None:
    facts = metered(shape.wire)

    assert usage_of(facts.usage) == shape.usage
    assert (facts.finish_reason, facts.done) == (shape.finish_reason, shape.done)
    assert (facts.error or {}).get("code") == shape.error
    assert content_of(shape.wire) == shape.content


@shapes
def test_the_facts_are_the_slow_reader_s_wherever_the_stream_is_cut(shape: Shape) -> None:
    facts = facts_of(shape.wire)

    assert all(metered(shape.wire[:cut], shape.wire[cut:]) == facts for cut in range(len(shape.wire) + 1))


@shapes
def test_the_facts_are_the_same_byte_by_byte(shape: Shape) -> None:
    assert metered(*(bytes([byte]) for byte in shape.wire)) == facts_of(shape.wire)


def test_a_stream_that_stops_within_an_event_says_nothing_of_that_event() -> None:
    meter = StreamMeter()

    meter.feed(events(deepseek({"content": "a"}, "stop", {"prompt_tokens": 1}))[:-1])

    assert meter.facts() == StreamFacts()


def test_silence_is_a_fact() -> None:
    assert StreamMeter().facts(silent=True).silent


def test_the_last_usage_that_is_not_null_counts_and_none_are_summed() -> None:
    texts = [
        deepseek({"content": "a"}, tokens={"prompt_tokens": 5, "completion_tokens": 1}),
        deepseek({"content": "b"}, tokens={"prompt_tokens": 5, "completion_tokens": 2}),
        deepseek({}, "stop"),
    ]

    assert usage_of(metered(events(*texts)).usage) == usage(5, 2)


NASTY = st.sampled_from(
    [
        '"usage":{"prompt_tokens":999999,"completion_tokens":9}',
        '{"choices":[],"usage":{"prompt_tokens":999999}}',
        "\n\ndata: [DONE]\n\n",
        "[DONE]",
        '"error":{"message":"x"}',
        '\n\ndata: {"error":{"code":"x"}}\n\n',
        "event: error",
        '"code":"BAD"',
        '"finish_reason":"stop"',
        '"content":"',
        '\\"usage\\":{',
        "\\",
        '"',
        "\r\n\r\n",
        "}]}",
        "\u4f60\u597d",
        "\U0001f600",
    ]
)
TEXT = st.lists(st.one_of(NASTY, st.text(max_size=8)), max_size=5).map("".join)
DELTA = st.one_of(
    st.builds(lambda text: {"content": text}, TEXT),
    st.builds(lambda text: {"content": None, "reasoning_content": text}, TEXT),
    st.builds(tool_call, TEXT),
    st.builds(lambda text: tool_call(json.dumps({"usage": {"prompt_tokens": 7}, "said": text})), TEXT),
)
COUNTS = st.builds(
    lambda prompt, completion: {"prompt_tokens": prompt, "completion_tokens": completion},
    st.integers(0, 10**6),
    st.integers(0, 10**6),
)


@st.composite
def streams(draw: st.DrawFn, *, ascii_only: bool) -> bytes:
    texts = [deepseek(delta) for delta in draw(st.lists(DELTA, min_size=1, max_size=5))]
    if draw(st.booleans()):
        texts.append(deepseek({}, draw(st.sampled_from(["stop", "length"])), draw(st.one_of(st.none(), COUNTS))))
    if ascii_only:
        texts = [json.dumps(json.loads(text)) for text in texts]
    if draw(st.booleans()):
        texts.append("[DONE]")
    return events(*texts, end=draw(st.sampled_from(["\n\n", "\r\n\r\n"])))


@MODEST
@given(st.data(), st.booleans())
def test_what_a_model_writes_never_fools_the_meter(data: st.DataObject, ascii_only: bool) -> None:
    wire = data.draw(streams(ascii_only=ascii_only))
    cut = data.draw(st.integers(0, len(wire)))

    assert metered(wire[:cut], wire[cut:]) == facts_of(wire, ascii_only=ascii_only)


@pytest.mark.parametrize(
    ("raw", "read"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 2}, usage(5, 2)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "prompt_cache_hit_tokens": 4}, usage(5, 2, cached=4)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "cached_tokens": 4}, usage(5, 2, cached=4)),
        (
            {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 3}},
            usage(5, 2, cached=3),
        ),
        ({"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": None}, usage(5, 2)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "cached_tokens": 9}, usage(5, 2, cached=5)),
        (
            {"prompt_tokens": 5, "completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": 9}},
            usage(5, 2, reasoning=2),
        ),
        ({"prompt_tokens": 5.0, "completion_tokens": 2.0}, usage(5, 2)),
        ({"prompt_tokens": 5}, usage(5, 0)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, usage(0, 0)),
        ({"completion_tokens": 2}, None),
        ({"prompt_tokens": -1, "completion_tokens": 2}, None),
        ({"prompt_tokens": True, "completion_tokens": 2}, None),
        ({"prompt_tokens": "5", "completion_tokens": 2}, None),
        ({"prompt_tokens": 5.5, "completion_tokens": 2}, None),
        ({}, None),
        (None, None),
    ],
)
def test_usage_is_read_from_every_form_and_refused_where_it_makes_no_sense(
    raw: dict[str, Any] | None, read: Usage | None
) -> None:
    assert usage_of(raw) == read


@pytest.mark.parametrize(
    ("chunk", "found"),
    [
        ({"usage": KIMI_TOKENS}, KIMI_TOKENS),
        ({"usage": None, "choices": [{"usage": KIMI_TOKENS}]}, KIMI_TOKENS),
        ({"usage": {}, "choices": []}, None),
        ({"choices": [{"delta": {"usage": KIMI_TOKENS}}]}, None),
        ({"usage": "5", "choices": 7}, None),
        ({"choices": [None, "x", {"usage": []}]}, None),
    ],
)
def test_usage_stands_at_the_top_or_inside_a_choice(chunk: dict[str, Any], found: dict[str, Any] | None) -> None:
    assert usage_object(chunk) == found


@pytest.mark.parametrize(
    ("chunk", "found"),
    [
        ({"error": {"message": "m"}}, {"message": "m"}),
        ({"error": "m"}, {"message": "m"}),
        ({"error": None, "choices": []}, None),
        ({"code": 11202, "message": "m"}, {"code": "11202", "message": "m"}),
        ({"code": 401, "msg": "m", "success": False}, {"code": "401", "message": "m"}),
        ({"code": "Arrearage"}, {"code": "Arrearage", "message": ""}),
        ({"code": 0, "message": "Success"}, None),
        ({"code": "0"}, None),
        ({"code": 200}, None),
        ({"code": None}, None),
        ({"code": 7, "choices": [{}]}, None),
    ],
)
def test_an_error_is_an_error_object_or_a_code_that_is_not_zero(
    chunk: dict[str, Any], found: dict[str, Any] | None
) -> None:
    assert error_object(chunk) == found


@pytest.mark.parametrize(("content_bytes", "tokens"), [(0, 0), (1, 1), (4, 1), (5, 2)])
def test_estimated_tokens_are_four_bytes_each_rounded_up(content_bytes: int, tokens: int) -> None:
    assert estimated_usage(input_tokens=3, content_bytes=content_bytes) == usage(3, tokens)


def test_usage_in_openai_s_form_is_read_back_unchanged() -> None:
    given_usage = usage(7, 5, cached=3, reasoning=2)

    assert usage_of(openai_usage(given_usage)) == given_usage
    assert openai_usage(given_usage)["total_tokens"] == 12


REPORTED = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}


@pytest.mark.parametrize(
    ("raw", "more"),
    [
        ({**REPORTED}, {}),
        ({**REPORTED, "cached_tokens": 7}, {"prompt_tokens_details": {"cached_tokens": 7}}),
        (
            {**REPORTED, "prompt_cache_hit_tokens": 7, "prompt_cache_miss_tokens": 2},
            {"prompt_tokens_details": {"cached_tokens": 7}},
        ),
        (
            {**REPORTED, "cached_tokens": 7, "prompt_tokens_details": {"cache_write_tokens": 1}},
            {"prompt_tokens_details": {"cache_write_tokens": 1, "cached_tokens": 7}},
        ),
        (
            {**REPORTED, "cached_tokens": 7, "prompt_tokens_details": None},
            {"prompt_tokens_details": {"cached_tokens": 7}},
        ),
        ({"prompt_tokens": 9, "completion_tokens": 4}, {"total_tokens": 13}),
    ],
)
def test_cached_tokens_stand_where_openai_s_clients_look_for_them(raw: dict[str, Any], more: dict[str, Any]) -> None:
    counted = usage_of(raw)
    assert counted is not None

    completed = completed_usage(raw, counted)

    assert completed == {**raw, **more}
    assert usage_of(completed) == counted
