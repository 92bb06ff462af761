"""A stream whose provider is late: what its caller hears meanwhile, and what comes of it."""

import asyncio
import json
from typing import Any

import pytest

from gateway.app import serve
from gateway.lateness import COMMIT_WAIT_MS, HEARTBEAT, HEARTBEAT_MS
from gateway.ports import UpstreamCall, UpstreamReply
from tests.unit.gateway.catalogues import CHAT, two_targets
from tests.unit.gateway.fakes import FakePorts, chat, chat_request
from tests.unit.gateway.shapes import deepseek, events
from tests.unit.gateway.upstreams import Reply

USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
ANSWER = events(deepseek({"content": "Hello"}), deepseek({}, "stop", USAGE), "[DONE]")


def late_ports(*replies: Reply, times: int) -> FakePorts:
    ports = FakePorts()
    ports.upstream.answer("deepseek", *replies)
    ports.late_times = times
    return ports


def costs_nothing(ports: FakePorts) -> bool:
    """Whether the only record is of a failure, and nothing is held."""
    [record] = ports.records()
    return (record.state, record.cost_nano_usd, record.price_row) == ("failed", 0, None) and ports.open_holds() == 0


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


async def test_an_answer_that_is_not_late_has_no_comments_of_ours() -> None:
    answer = await chat(late_ports(Reply(pieces=[ANSWER]), times=0), stream=True)

    assert not [line for line in answer.text.splitlines() if line.startswith(":")]


async def test_a_refusal_that_comes_late_is_the_last_event_and_there_is_no_end_mark() -> None:
    ports = late_ports(Reply(status=503, headers={"retry-after": "9"}), times=1)

    answer = await chat(ports, stream=True)

    error = answer.events()[-1]["error"]
    assert error["code"] == "upstream_overloaded"
    assert [attempt["outcome"] for attempt in error["metadata"]["attempts"]] == ["overloaded"]
    assert "[DONE]" not in answer.text
    assert costs_nothing(ports)


async def test_a_fault_of_ours_that_comes_late_is_the_last_event_too() -> None:
    ports = late_ports(times=1)  # the provider has no reply: the stand-in raises what the gateway does not know

    answer = await chat(ports, stream=True)

    assert answer.events()[-1]["error"]["code"] == "internal_error"
    assert [line["event"] for line in ports.logs] == ["internal_error"]
    assert costs_nothing(ports)


class HangingPorts(FakePorts):
    """Its providers never answer, once they have no more replies."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.asked = asyncio.Event()
        self.given_up = 0

    async def send(self, call: UpstreamCall) -> UpstreamReply:
        if any(self.upstream.script.values()):
            return await super().send(call)
        self.asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        raise AssertionError("unreachable")


async def test_the_head_tells_what_was_tried_so_far() -> None:
    ports = HangingPorts(catalogue=two_targets("deepseek"))
    ports.upstream.answer("deepseek", Reply(status=503))
    ports.late_times, ports.caller_leaves = 1, True

    answer = await chat(ports, stream=True)

    assert answer.attempts() == [("deepseek", "overloaded")]
    assert [attempt.outcome for attempt in ports.records()[0].attempts] == ["overloaded"]


async def test_a_caller_who_leaves_while_waiting_ends_the_attempt_and_pays_nothing() -> None:
    ports = HangingPorts()
    ports.late_times, ports.caller_leaves = 1, True

    await chat(ports, stream=True)

    assert ports.given_up == 1
    assert costs_nothing(ports)


async def test_a_caller_who_leaves_just_when_the_answer_begins_is_charged_as_one_who_leaves_later() -> None:
    ports = late_ports(Reply(pieces=[ANSWER]), times=1)
    ports.caller_leaves = True

    await chat(ports, stream=True)

    assert [record.usage.prompt_tokens + record.usage.completion_tokens for record in ports.records()] == [7]
    assert ports.open_holds() == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_that_the_platform_gives_up_ends_the_attempt_and_pays_nothing(stream: bool) -> None:
    ports = HangingPorts()
    work = asyncio.ensure_future(serve(chat_request({**CHAT, "stream": stream}), ports))
    await ports.asked.wait()

    work.cancel()
    await asyncio.wait({work})
    await asyncio.sleep(0)
    await ports.finish()

    assert work.cancelled()
    assert ports.given_up == 1
    assert costs_nothing(ports)
