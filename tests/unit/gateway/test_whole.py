"""Answers that are read to their end before the caller has any of them: those that are wanted whole, and those of a
model that thinks, where the caller wants no stream."""

from typing import Any

import pytest

from gateway.circuits import Circuits
from gateway.lateness import HEARTBEAT
from gateway.ports import UpstreamFailed, UpstreamSilent
from gateway.routing import Candidate
from tests.unit.gateway.catalogues import catalogue, model, target, two_targets, whole_answer
from tests.unit.gateway.fakes import Answer, FakePorts, chat
from tests.unit.gateway.shapes import DEEPSEEK_TOKENS, ERROR, deepseek, events, glm, tool_call
from tests.unit.gateway.upstreams import Pause, Piece, Reply, json_reply

WHOLE = {"x-haotokai-delivery": "whole"}
USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
BEGUN = events(deepseek({"role": "assistant", "content": "He"}))
ANSWER = events(
    deepseek({"role": "assistant", "content": None, "reasoning_content": "Hm"}),
    deepseek({"reasoning_content": "."}),
    deepseek({"content": "Hel"}),
    deepseek({"content": "lo"}),
    deepseek({}, "stop", USAGE),
    "[DONE]",
)
BREAKS: list[tuple[list[Piece], str]] = [
    ([BEGUN], "cut_stream"),
    ([BEGUN, UpstreamFailed("reset")], "connect_error"),
    ([BEGUN, UpstreamSilent("late")], "timeout"),
    ([BEGUN, Pause(20_001), ANSWER], "timeout"),
    ([BEGUN, events("oops"), ANSWER], "malformed_answer"),
    ([BEGUN, events("oops")[:-2]], "cut_stream"),
    ([BEGUN, events(ERROR)], "overloaded"),
    ([BEGUN, events(deepseek({}, "insufficient_system_resource"), "[DONE]")], "overloaded"),
]

breaking = pytest.mark.parametrize(("pieces", "cause"), BREAKS)


async def ask(*pieces: Piece, headers: dict[str, str] | None = None, **fields: Any) -> tuple[Answer, FakePorts]:
    """A call whose first target gives this stream, and whose second the whole answer."""
    ports = FakePorts(catalogue=two_targets("deepseek"))
    ports.upstream.answer("deepseek", Reply(pieces=list(pieces)))
    ports.upstream.answer("mirror", Reply(pieces=[ANSWER]) if headers or fields.get("stream") else json_reply(JSON))
    return await chat(ports, headers=headers, **fields), ports


MESSAGE = {"role": "assistant", "content": "Hello", "reasoning_content": "Hm."}
JSON = whole_answer(
    choices=[{"index": 0, "message": MESSAGE, "finish_reason": "stop"}],
    usage=USAGE,
)


def said(answer: Answer, field: str) -> str:
    chunks = [event for event in answer.events() if event != "[DONE]"]
    return "".join(choice["delta"].get(field) or "" for chunk in chunks for choice in chunk["choices"])


@breaking
async def test_a_stream_that_is_wanted_whole_is_asked_of_the_next_target_where_one_breaks(
    pieces: list[Piece], cause: str
) -> None:
    answer, ports = await ask(*pieces, headers=WHOLE, stream=True)

    assert (said(answer, "reasoning_content"), said(answer, "content")) == ("Hm.", "Hello")
    assert answer.events()[-1] == "[DONE]"
    assert answer.attempts() == [("deepseek", cause), ("mirror", "ok")]
    [record] = ports.records()
    assert (record.state, record.provider, record.usage.completion_tokens) == ("complete", "mirror", 2)
    assert ports.open_holds() == 0


@breaking
async def test_an_answer_of_a_model_that_thinks_is_asked_of_the_next_target_where_one_breaks(
    pieces: list[Piece], cause: str
) -> None:
    answer, ports = await ask(*pieces)

    assert answer.json()["choices"][0]["message"] == MESSAGE
    assert answer.attempts() == [("deepseek", cause), ("mirror", "ok")]
    assert [(record.state, record.provider) for record in ports.records()] == [("complete", "mirror")]
    assert ports.open_holds() == 0


@pytest.mark.parametrize("headers", [WHOLE, None], ids=["whole", "thinking"])
async def test_an_answer_that_is_wanted_without_streaming_is_put_together(headers: dict[str, str] | None) -> None:
    answer, ports = await ask(ANSWER[:60], ANSWER[60:], headers=headers)

    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert (body["id"], body["object"], body["model"]) == ("f6117a0b", "chat.completion", "deepseek-chat")
    assert body["choices"] == [{"index": 0, "message": MESSAGE, "logprobs": None, "finish_reason": "stop"}]
    assert body["usage"]["total_tokens"] == 7
    assert float(answer.headers["x-haotokai-cost-usd"]) > 0
    [record] = ports.records()
    assert (record.stream, record.state, record.usage.completion_tokens) == (False, "complete", 2)


async def test_it_is_streamed_upstream_with_its_usage() -> None:
    _, ports = await ask(ANSWER)

    [(_, sent)] = ports.upstream.calls
    assert ports.upstream.documents()[0]["stream"] is True
    assert (sent.headers["accept"], sent.headers_timeout_ms) == ("text/event-stream", 15_000)


async def test_a_short_answer_of_a_model_that_does_not_think_is_asked_for_as_json() -> None:
    ports = FakePorts(catalogue=two_targets("deepseek"))
    ports.upstream.answer("deepseek", json_reply(JSON))

    await chat(ports, thinking={"type": "disabled"}, max_tokens=9)

    assert "stream" not in ports.upstream.documents()[0]


async def test_an_answer_that_thinks_may_take_longer_than_the_idle_limit_as_long_as_it_says_something() -> None:
    slow = [Pause(19_000), *(piece for _ in range(10) for piece in (BEGUN, Pause(19_000))), ANSWER]

    answer, ports = await ask(BEGUN, *slow)

    assert answer.attempts() == [("deepseek", "ok")]
    assert ports.records()[0].total_ms > 200_000


async def test_a_provider_that_answers_with_json_in_place_of_a_stream_is_understood() -> None:
    ports = FakePorts(catalogue=two_targets("deepseek"))
    ports.upstream.answer("deepseek", json_reply(JSON))

    answer = await chat(ports)

    assert answer.json()["choices"][0]["message"] == MESSAGE
    assert ports.records()[0].state == "complete"


async def test_a_whole_stream_brings_its_usage_and_cost_where_they_are_asked_for() -> None:
    for asked in (True, False):
        answer, ports = await ask(ANSWER, headers=WHOLE, stream=True, stream_options={"include_usage": asked})

        usages = [event["usage"] for event in answer.events() if isinstance(event, dict) and event.get("usage")]
        assert [usage["total_tokens"] for usage in usages] == ([7] if asked else [])
        assert [usage["cost"] > 0 for usage in usages] == ([True] if asked else [])
        assert ports.records()[0].cost_nano_usd > 0


async def test_the_chunks_of_a_whole_stream_have_what_clients_rely_on() -> None:
    ports = FakePorts(catalogue=catalogue(model("glm-4.6", target("zai", "glm-4.6"))))
    wire = events(glm("Hel"), glm("lo"), glm("", finish_reason="stop"), "[DONE]")
    ports.upstream.answer("zai", Reply(pieces=[wire]))

    answer = await chat(ports, model="glm-4.6", headers=WHOLE, stream=True)

    *chunks, last = answer.events()
    assert said(answer, "content") == "Hello"
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks][-1] == "stop"
    assert {(chunk["object"], chunk["model"]) for chunk in chunks} == {("chat.completion.chunk", "glm-4.6")}
    assert last == "[DONE]"


async def test_parallel_tool_calls_are_put_together() -> None:
    wire = events(
        deepseek(tool_call("", id="call_a", type="function")),
        deepseek(tool_call('{"city":')),
        deepseek(tool_call('"Bern"}')),
        deepseek({}, "tool_calls", DEEPSEEK_TOKENS),
        "[DONE]",
    )

    answer, _ = await ask(wire)

    [choice] = answer.json()["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"] == [
        {"id": "call_a", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bern"}'}}
    ]
    assert answer.json()["usage"]["prompt_tokens_details"] == {"cached_tokens": 8}


async def test_a_caller_hears_from_us_while_a_whole_answer_is_read() -> None:
    ports = FakePorts(catalogue=two_targets("deepseek"))
    ports.upstream.answer("deepseek", Reply(pieces=[BEGUN]))
    ports.upstream.answer("mirror", Reply(pieces=[ANSWER]))
    ports.late_times = 2

    answer = await chat(ports, headers=WHOLE, stream=True)

    assert answer.text.count(HEARTBEAT.decode()) == 2
    assert said(answer, "content") == "Hello"
    assert answer.events()[-1] == "[DONE]"


async def test_a_whole_answer_that_breaks_everywhere_costs_nothing() -> None:
    ports = FakePorts()
    ports.upstream.answer("deepseek", Reply(pieces=[BEGUN]), Reply(pieces=[BEGUN]))

    answer = await chat(ports, headers=WHOLE, stream=True)

    assert (answer.status, answer.error()["code"]) == (502, "upstream_error")
    assert [(record.state, record.cost_nano_usd) for record in ports.records()] == [("failed", 0)]
    assert ports.open_holds() == 0


async def test_an_answer_without_usage_is_counted() -> None:
    answer, ports = await ask(events(deepseek({"content": "12345678"}), deepseek({}, "stop"), "[DONE]"))

    [record] = ports.records()
    assert (record.estimated, record.usage.completion_tokens) == (True, 2)
    assert answer.json()["usage"]["completion_tokens"] == 2


async def test_a_header_that_says_anything_else_is_refused() -> None:
    answer, _ = await ask(ANSWER, headers={"x-haotokai-delivery": "half"})

    assert (answer.status, answer.error()["param"]) == (400, "x-haotokai-delivery")


class BrokenCircuits(Circuits):
    def succeeded(self, candidate: Candidate) -> None:
        raise RuntimeError(candidate.target.model)


async def test_a_fault_of_ours_after_the_answer_came_costs_nothing() -> None:
    ports = FakePorts()
    ports.circuits = BrokenCircuits()
    ports.upstream.answer("deepseek", json_reply(JSON))

    answer = await chat(ports, thinking={"type": "disabled"})

    assert answer.status == 500
    assert [(record.state, record.cost_nano_usd) for record in ports.records()] == [("failed", 0)]
    assert ports.open_holds() == 0
