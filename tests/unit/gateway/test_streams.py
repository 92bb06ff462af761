"""A streamed answer end to end: what the caller sees, what is recorded, and what becomes of the hold."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from gateway.guarding import Guard
from gateway.metering import usage_object, usage_of
from gateway.money import format_usd
from gateway.ports import UpstreamFailed
from gateway.pricing import charge
from gateway.records import UsageRecord
from tests.unit.gateway.catalogues import FLAT, TIERED
from tests.unit.gateway.fakes import Answer, FakePorts, chat
from tests.unit.gateway.shapes import DEEPSEEK_TEXTS, SHAPES, Shape, deepseek, events, qwen, shape, usage
from tests.unit.gateway.slow import content_of, facts_of
from tests.unit.gateway.upstreams import Pause, Piece, Reply

MODELS = {
    "deepseek": "deepseek-chat",
    "moonshot": "kimi-k2",
    "dashscope": "qwen3-max",
    "zai": "glm-4.6",
    "spark": "spark-max",
    "mirror": "open",
}
WHOLE = [shape for shape in SHAPES if shape.ends]
CUT = UpstreamFailed("reset")

whole_shapes = pytest.mark.parametrize("shape", WHOLE, ids=lambda shape: shape.name)
asked = pytest.mark.parametrize("include_usage", [True, False], ids=["usage asked", "usage not asked"])


async def stream(
    dialect: str, *pieces: Piece, include_usage: bool = False, **more: Any
) -> tuple[Answer, UsageRecord, FakePorts]:
    """The answer to a streamed call, and its one record."""
    ports = FakePorts()
    ports.upstream.answer(dialect, Reply(pieces=pieces))
    options: dict[str, Any] = {"stream_options": {"include_usage": True}} if include_usage else {}
    answer = await chat(ports, model=MODELS[dialect], stream=True, **options, **more)
    [record] = ports.records()
    return answer, record, ports


def in_pieces(wire: bytes, *cuts: int) -> Sequence[bytes]:
    return [wire[start:end] for start, end in pairwise((0, *cuts, len(wire)))]


@whole_shapes
@asked
async def test_an_answer_is_streamed_recorded_and_settled_once(shape: Shape, include_usage: bool) -> None:
    answer, record, ports = await stream(shape.dialect, shape.wire, include_usage=include_usage)

    assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert content_of(answer.text.encode()) == shape.content
    assert answer.events()[-1] == "[DONE]"
    assert (record.state, record.usage, record.estimated) == ("complete", shape.usage, False)
    assert (record.stream, record.provider) == (True, shape.dialect)
    assert ports.open_holds() == 0


async def test_streams_take_turns_once_one_has_begun_which_a_refused_one_has_not() -> None:
    ports = FakePorts(balance_usd=0)
    assert (await chat(ports, stream=True)).status == 402
    assert not ports.turnstile.takes_turns

    _, _, ports = await stream("deepseek", shape("deepseek-text").wire)
    assert ports.turnstile.takes_turns


@whole_shapes
async def test_the_usage_that_the_caller_sees_is_the_usage_that_is_recorded(shape: Shape) -> None:
    answer, record, _ = await stream(shape.dialect, shape.wire, include_usage=True)

    [seen] = [item["usage"] for item in answer.events() if item != "[DONE]" and usage_object(item)]
    row = TIERED if shape.dialect == "dashscope" else FLAT
    assert usage_of(seen) == record.usage
    assert record.cost_nano_usd == charge(row, record.usage, at_ms=record.started_at_ms) > 0
    assert seen["cost"] == float(format_usd(record.cost_nano_usd))
    assert seen["total_tokens"] == record.usage.prompt_tokens + record.usage.completion_tokens


@pytest.mark.parametrize("name", ["qwen-reasoning", "glm-usage-without-choices"])
async def test_no_usage_chunk_is_sent_to_a_caller_who_did_not_ask(name: str) -> None:
    asked_shape = shape(name)

    answer, _, _ = await stream(asked_shape.dialect, asked_shape.wire)

    chunks = [item for item in answer.events() if item != "[DONE]"]
    assert not [chunk for chunk in chunks if usage_object(chunk)]
    assert all(chunk["choices"] for chunk in chunks)


@pytest.mark.parametrize("name", ["deepseek-text", "qwen-reasoning", "glm-usage-without-choices", "spark-text"])
async def test_a_stream_answers_and_costs_the_same_wherever_it_is_cut(name: str) -> None:
    cut_shape = shape(name)
    whole, expected, _ = await stream(cut_shape.dialect, cut_shape.wire)

    for cut in range(1, len(cut_shape.wire), 7):
        answer, record, _ = await stream(cut_shape.dialect, *in_pieces(cut_shape.wire, cut))

        assert answer.text == whole.text
        assert (record.usage, record.cost_nano_usd) == (expected.usage, expected.cost_nano_usd)


@pytest.mark.parametrize(
    "name",
    [
        "deepseek-without-end-mark",
        "deepseek-without-end-mark-or-last-blank-line",
        "deepseek-without-end-mark-and-half-a-blank-line",
    ],
)
@asked
async def test_a_finished_answer_without_an_end_mark_gets_one(name: str, include_usage: bool) -> None:
    answer, record, _ = await stream("deepseek", shape(name).wire, include_usage=include_usage)

    said = answer.events()
    assert [item["choices"][0]["finish_reason"] for item in said[:4]] == [None, None, None, "length"]
    assert said[-1] == "[DONE]"
    assert record.state == "complete"


@pytest.mark.parametrize("dialect", ["deepseek", "dashscope"])
@pytest.mark.parametrize("ends", [[], [CUT]], ids=["closed", "reset"])
async def test_a_stream_that_is_cut_at_any_byte_ends_in_an_error_and_no_end_mark(
    dialect: str, ends: list[Piece]
) -> None:
    wire = events(deepseek({"content": "first"}), deepseek({"content": "second"}), deepseek({}, "stop"), "[DONE]")
    first, finish = wire.index(b"\n\n") + 2, wire.index(b'"finish_reason":"stop"')

    for cut in range(first, finish, 11):
        answer, record, ports = await stream(dialect, wire[:cut], *ends)

        assert error_at_the_end(answer) == ("upstream_error", "upstream_error")
        assert record.state == "partial"
        assert ports.open_holds() == 0


async def test_a_stream_that_falls_silent_ends_in_a_timeout() -> None:
    for dialect in ("deepseek", "zai"):
        answer, record, _ = await stream(dialect, events(DEEPSEEK_TEXTS[1]), Pause(20_001), events("[DONE]"))

        assert error_at_the_end(answer) == ("upstream_error", "upstream_timeout")
        assert record.state == "partial"


async def test_a_stream_may_pause_for_as_long_as_its_idle_limit() -> None:
    for dialect in ("deepseek", "zai"):
        answer, record, _ = await stream(dialect, events(DEEPSEEK_TEXTS[1]), Pause(20_000), events("[DONE]"))

        assert answer.events()[-1] == "[DONE]"
        assert record.state == "complete"


async def test_what_was_read_is_charged_where_a_fault_of_ours_breaks_the_stream_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(guard: Guard, *, silent: bool) -> bytes:
        del guard, silent
        raise ZeroDivisionError

    monkeypatch.setattr(Guard, "end", fail)
    ports = FakePorts()
    ports.upstream.answer("deepseek", Reply(pieces=[events(deepseek({"content": "a fault"}))]))

    with pytest.raises(ZeroDivisionError):
        await chat(ports, model="deepseek-chat", stream=True)

    [record] = ports.records()
    assert (record.state, record.usage.completion_tokens, ports.open_holds()) == ("partial", 2, 0)
    assert record.cost_nano_usd > 0


@pytest.mark.parametrize("name", ["deepseek-error-tenth", "qwen-native-error-frame", "spark-code-mid-stream"])
@asked
async def test_an_error_in_the_middle_of_a_stream_ends_it_in_a_typed_error(name: str, include_usage: bool) -> None:
    broken = shape(name)
    first = broken.wire.index(b"\n\n") + 2

    answer, record, _ = await stream(broken.dialect, *in_pieces(broken.wire, first), include_usage=include_usage)

    assert error_at_the_end(answer) == ("upstream_error", "upstream_error")
    assert content_of(answer.text.encode()) == broken.content
    assert record.state == "partial"


async def test_content_without_usage_is_counted_and_the_record_says_so() -> None:
    wire = events(deepseek({"content": "\u4f60\u597d, you"}), deepseek({}, "stop"), "[DONE]")

    for dialect in ("deepseek", "zai"):
        answer, record, ports = await stream(dialect, wire)

        prompt = -(-record_size(ports) // 4)
        assert record.estimated
        assert record.usage == usage(prompt, 3)
        assert record.cost_nano_usd == charge(FLAT, record.usage, at_ms=record.started_at_ms) > 0
        assert answer.events()[-1] == "[DONE]"


async def test_content_in_an_event_that_comes_in_two_pieces_is_counted_whole() -> None:
    texts = [deepseek({"content": "ab"}), deepseek({"content": "c" * 40})]
    wire = events(*texts)

    for dialect in ("deepseek", "zai"):
        _, record, _ = await stream(dialect, *in_pieces(wire, len(wire) - 10))

        assert record.usage.completion_tokens == -(-facts_of(wire).content_bytes // 4)


async def test_the_first_event_s_time_is_measured_from_the_beginning_of_the_call() -> None:
    _, record, _ = await stream("deepseek", Pause(300), shape("deepseek-text").wire)

    assert (record.first_event_ms, record.total_ms) == (300, 300)


async def test_comments_before_the_answer_reach_the_caller() -> None:
    answer, _, _ = await stream("deepseek", shape("deepseek-keep-alive").wire)

    assert answer.text.startswith(": keep-alive\n\n: keep-alive\n\ndata: ")


async def test_what_needs_no_change_reaches_the_caller_byte_for_byte() -> None:
    for name in ("deepseek-text", "deepseek-tool-call", "deepseek-crlf"):
        native = shape(name)
        unchanged = native.wire[: native.wire.index(b'"usage":{')].rpartition(b"data:")[0]

        answer, _, _ = await stream(native.dialect, *in_pieces(native.wire, 40, 300))

        assert answer.text.encode().startswith(unchanged)


async def test_the_attempts_stand_in_a_stream_s_headers() -> None:
    answer, _, _ = await stream("dashscope", events(qwen({"content": "a"}, "stop"), "[DONE]"))

    assert answer.attempts() == [("dashscope", "ok")]
    assert answer.headers["x-haotokai-provider"] == "dashscope"
    assert answer.headers["cache-control"] == "no-cache"


def error_at_the_end(answer: Answer) -> tuple[str, str]:
    """Type and code of the error that a stream ends with."""
    said = answer.text.replace("\r\n", "\n").rstrip("\n").split("\n\n")
    assert "[DONE]" not in answer.text
    [last] = Answer(status=200, headers={}, text=said[-1]).events()
    assert set(last) == {"error"}
    return last["error"]["type"], last["error"]["code"]


def record_size(ports: FakePorts) -> int:
    """The bytes of the call that ``stream`` makes."""
    model = {"deepseek-flash": "deepseek-chat"}.get(ports.upstream.documents()[0]["model"], "glm-4.6")
    return len('{"model": "", "messages": [{"role": "user", "content": "Hello"}], "stream": true}' + model)
