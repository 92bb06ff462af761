"""A stream whose provider is late, and one that the caller wants whole."""

import asyncio
import json

import pytest

from gateway.lateness import COMMIT_WAIT_MS, HEARTBEAT, HEARTBEAT_MS
from gateway.ports import UpstreamCall, UpstreamFailed, UpstreamReply, UpstreamSilent
from tests.unit.gateway.catalogues import two_targets
from tests.unit.gateway.fakes import FakePorts, chat
from tests.unit.gateway.shapes import ERROR, deepseek, events
from tests.unit.gateway.upstreams import Piece, Reply

USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
ANSWER = events(deepseek({"content": "Hello"}), deepseek({}, "stop", USAGE), "[DONE]")
BEGUN = events(deepseek({"content": "He"}))


def late_ports(*replies: Reply, times: int) -> FakePorts:
    ports = FakePorts()
    ports.upstream.answer("deepseek", *replies)
    ports.late_times = times
    return ports


async def test_a_caller_who_waits_too_long_has_the_status_line_and_hears_from_us_until_the_answer_comes() -> None:
    ports = late_ports(Reply(pieces=[ANSWER]), times=3)
    began_ms = ports.clock.now_ms

    answer = await chat(ports, stream=True)

    assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert answer.text.count(HEARTBEAT.decode()) == 3
    assert ports.clock.now_ms - began_ms == COMMIT_WAIT_MS + 2 * HEARTBEAT_MS
    assert answer.events()[0]["choices"][0]["delta"] == {"content": "Hello"}
    assert answer.events()[-1] == "[DONE]"
    assert [record.state for record in ports.records()] == ["complete"]
    assert ports.open_holds() == 0


async def test_what_was_tried_is_told_in_a_comment_before_a_late_answer() -> None:
    answer = await chat(late_ports(Reply(pieces=[ANSWER]), times=1), stream=True)

    [line] = [line for line in answer.text.splitlines() if line.startswith(": attempts ")]
    assert [attempt["outcome"] for attempt in json.loads(line.removeprefix(": attempts "))] == ["ok"]


async def test_a_refusal_that_comes_late_is_the_last_event_and_there_is_no_end_mark() -> None:
    ports = late_ports(Reply(status=503), Reply(status=503), times=1)

    answer = await chat(ports, stream=True)

    assert answer.events()[-1]["error"]["code"] == "upstream_overloaded"
    assert "[DONE]" not in answer.text
    assert [(record.state, record.cost_nano_usd) for record in ports.records()] == [("failed", 0)]
    assert ports.open_holds() == 0


class HangingPorts(FakePorts):
    """Its provider never answers."""

    async def send(self, call: UpstreamCall) -> UpstreamReply:
        await asyncio.Event().wait()
        return await super().send(call)


async def test_a_caller_who_leaves_while_waiting_pays_nothing() -> None:
    ports = HangingPorts()
    ports.late_times, ports.caller_leaves = 1, True

    await chat(ports, stream=True)

    assert [(record.state, record.cost_nano_usd) for record in ports.records()] == [("failed", 0)]
    assert ports.open_holds() == 0


async def test_a_caller_who_leaves_just_when_the_answer_begins_is_charged_as_one_who_leaves_later() -> None:
    ports = late_ports(Reply(pieces=[ANSWER]), times=1)
    ports.caller_leaves = True

    await chat(ports, stream=True)

    assert [record.usage.prompt_tokens + record.usage.completion_tokens for record in ports.records()] == [7]
    assert ports.open_holds() == 0


async def ask_whole(
    *pieces: Piece, include_usage: bool = False
) -> tuple[FakePorts, list[object], list[tuple[str, str]]]:
    """A call that wants a whole answer, of which a mirror gives the next."""
    ports = FakePorts(catalogue=two_targets("deepseek"))
    ports.upstream.answer("deepseek", Reply(pieces=list(pieces)))
    ports.upstream.answer("mirror", Reply(pieces=[ANSWER]))
    options = {"stream_options": {"include_usage": True}} if include_usage else {}
    answer = await chat(ports, headers={"x-haotokai-delivery": "whole"}, stream=True, **options)
    return ports, answer.events(), answer.attempts()


@pytest.mark.parametrize(
    ("pieces", "cause"),
    [
        ([BEGUN], "cut_stream"),
        ([BEGUN, UpstreamFailed("reset")], "connect_error"),
        ([BEGUN, UpstreamSilent("late")], "timeout"),
        ([BEGUN, events("oops")], "malformed_answer"),
        ([BEGUN, events(ERROR)], "overloaded"),
        ([BEGUN, events(deepseek({}, "insufficient_system_resource"), "[DONE]")], "overloaded"),
    ],
)
async def test_a_whole_answer_is_asked_of_the_next_target_where_one_breaks(pieces: list[Piece], cause: str) -> None:
    ports, seen, attempts = await ask_whole(*pieces)

    contents = [event["choices"][0]["delta"].get("content") for event in seen if isinstance(event, dict)]
    assert [content for content in contents if content] == ["Hello"]
    assert seen[-1] == "[DONE]"
    assert attempts == [("deepseek", cause), ("mirror", "ok")]
    [record] = ports.records()
    assert (record.state, record.provider, record.usage.completion_tokens) == ("complete", "mirror", 2)
    assert ports.open_holds() == 0


async def test_a_whole_answer_brings_its_usage_where_it_is_asked_for() -> None:
    _, seen, _ = await ask_whole(ANSWER, include_usage=True)

    usages = [event["usage"] for event in seen if isinstance(event, dict) and event.get("usage")]
    assert [usage["total_tokens"] for usage in usages] == [7]
