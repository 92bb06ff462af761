"""A stream whose provider is late: after ten seconds its caller has a status line and heartbeats."""

import json
import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import OpenAI

from local.node import node_executable
from tests.e2e.chat import prompt, said
from tests.e2e.faults import late, late_refusal, no_response, sound, text_of, usage_of
from tests.e2e.waiting import eventually
from tests.e2e.wall import Case, Seen, Wall, cost_nano_usd

NODE_CLIENT = Path(__file__).with_name("node_client.mjs")
LATE_S = 10.5
"""Later than the status line waits."""

LIMIT_S = 20

CASES = {
    "late": Case(kind="patient", plans={"patient": [late(LATE_S)]}, stream=True),
    "late and then another": Case(
        kind="late", plans={"patient": [late_refusal(LATE_S, 503)], "second": [sound]}, stream=True
    ),
    "late and then none": Case(
        kind="late", plans={"patient": [late_refusal(LATE_S, 503)], "second": [late_refusal(0, 503)]}, stream=True
    ),
    "late and whole": Case(
        kind="patient",
        plans={"patient": [late(LATE_S)]},
        stream=True,
        headers={"x-haotokai-delivery": "whole"},
        fields={"stream_options": {"include_usage": True}},
    ),
}


def ask_from_python(wall: Wall, model: str) -> str:
    with (
        OpenAI(base_url=wall.stack.base_url, api_key=wall.customer.api_key, max_retries=0, timeout=30) as client,
        client.chat.completions.create(**prompt(model=model), stream=True) as stream,
    ):
        return said(stream)


def ask_from_node(wall: Wall, model: str) -> str:
    own = {"HAOTOKAI_BASE_URL": wall.stack.base_url, "HAOTOKAI_API_KEY": wall.customer.api_key}
    command = [node_executable(), str(NODE_CLIENT), "accumulated", json.dumps(prompt(model=model))]
    done = subprocess.run(command, env=os.environ | own, capture_output=True, text=True, timeout=60, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    text: str = answer["choices"][0]["message"]["content"]
    return text


def leave(wall: Wall, model: str) -> str:
    """The id of a stream's call whose caller left at the first heartbeat. No attempt has ended by then."""
    headers = {"authorization": f"Bearer {wall.customer.api_key}"}
    body = prompt(model=model, stream=True)
    url = f"{wall.stack.base_url}/chat/completions"
    with httpx2.stream("POST", url, json=body, headers=headers, timeout=30) as answer:
        assert answer.headers["x-haotokai-attempts"] == "[]"
        next(answer.iter_raw())
    return answer.headers["x-request-id"]


CLIENTS: dict[str, Callable[[Wall, str], str]] = {"python": ask_from_python, "node": ask_from_node}


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """The cases as seen, what each client was told, and the call that was left: its model and its id."""

    seen: dict[str, Seen]
    told: dict[str, str]
    left: tuple[str, str]


@pytest.fixture(scope="module")
def waits(wall: Wall) -> Waits:
    """All at once, because each takes ten seconds."""
    models = {name: wall.take("patient", patient=[late(LATE_S)]) for name in CLIENTS}
    abandoned = wall.take("patient", patient=[no_response])
    with ThreadPoolExecutor(len(CLIENTS) + 1) as pool:
        told = {name: pool.submit(ask, wall, models[name]) for name, ask in CLIENTS.items()}
        left = pool.submit(leave, wall, abandoned)
        seen = wall.run(CASES)
    told_by = {name: future.result() for name, future in told.items()}
    return Waits(seen=seen, told=told_by, left=(abandoned, left.result()))


@pytest.fixture(scope="module")
def seen(waits: Waits) -> dict[str, Seen]:
    return waits.seen


@pytest.mark.parametrize("name", CLIENTS)
def test_the_openai_packages_live_through_heartbeats(waits: Waits, name: str) -> None:
    assert waits.told[name] == text_of("patient")


def test_a_caller_who_leaves_before_anything_came_pays_nothing_and_the_provider_is_left(
    wall: Wall, waits: Waits
) -> None:
    model, request_id = waits.left
    record = wall.admin.record_of(wall.customer.id, request_id)

    assert (record["state"], record["cost_nano_usd"]) == ("failed", 0)
    eventually(lambda: wall.server.was_left(model), lambda was_left: was_left)


@pytest.mark.parametrize("name", ["late", "late and whole"])
def test_a_late_answer_comes_whole_behind_heartbeats(seen: dict[str, Seen], name: str) -> None:
    answer = seen[name].answer

    assert (answer.status, answer.text, answer.error, answer.is_done) == (200, text_of("patient"), None, True)
    *beats, attempts = answer.comments
    assert beats
    assert [line["outcome"] for line in json.loads(attempts.removeprefix(": attempts "))] == ["ok"]
    assert LATE_S <= answer.seconds < LIMIT_S
    assert seen[name].record["cost_nano_usd"] == cost_nano_usd(usage_of("patient"))


def test_failover_goes_on_behind_the_status_line(seen: dict[str, Seen]) -> None:
    answer, record = seen["late and then another"].answer, seen["late and then another"].record

    assert (answer.status, answer.text, answer.is_done) == (200, text_of("second"), True)
    assert answer.comments
    assert [line["outcome"] for line in record["attempts"]] == ["overloaded", "ok"]
    assert record["cost_nano_usd"] == cost_nano_usd(usage_of("second"))


def test_a_refusal_behind_the_status_line_is_the_last_event(seen: dict[str, Seen]) -> None:
    answer, record = seen["late and then none"].answer, seen["late and then none"].record

    assert (answer.status, answer.code, answer.is_done) == (200, "upstream_overloaded", False)
    assert seen["late and then none"].asked_times == {"patient": 1, "second": 2}
    assert (record["state"], record["cost_nano_usd"]) == ("failed", 0)


def test_no_wait_leaves_a_hold(wall: Wall, seen: dict[str, Seen]) -> None:
    assert wall.wallet().held_nano_usd == 0
