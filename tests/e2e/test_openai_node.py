"""The openai package of npm gets what it would get from OpenAI, too."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local.node import node_executable
from tests.e2e.admin import Account, Admin
from tests.e2e.chat import ONE_OF_EACH_LAB, WEATHER, prompt
from tests.e2e.stack import Stack

NODE_CLIENT = Path(__file__).with_name("node_client.mjs")
UNKNOWN_KEY = "htk_t9Iwz3OazYZ027hhwvy0xKdySI4Pc1HZNO2ftdZqz2X3vh2Dj"

Run = Callable[..., Any]


@pytest.fixture
def run(stack: Stack, customer: Account) -> Run:
    """Runs one task of the Node client with the customer's key or another."""

    def run(task: str, body: dict[str, Any], *, api_key: str = customer.api_key) -> Any:
        own = {"HAOTOKAI_BASE_URL": stack.base_url, "HAOTOKAI_API_KEY": api_key}
        command = [node_executable(), str(NODE_CLIENT), task, json.dumps(body)]
        done = subprocess.run(command, env=os.environ | own, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_an_answer(run: Run) -> None:
    completion = run("plain", prompt("Hello [[lab tokens=5]]"))

    assert len(completion["choices"][0]["message"]["content"].split()) == 5
    assert completion["usage"]["completion_tokens"] == 5


@pytest.mark.parametrize("model", ONE_OF_EACH_LAB)
def test_a_stream_adds_up_to_the_answer(run: Run, model: str) -> None:
    body = prompt(model=model)
    plain, accumulated = run("plain", body), run("accumulated", body)

    assert accumulated["choices"][0]["message"]["content"] == plain["choices"][0]["message"]["content"]
    assert accumulated["choices"][0]["finish_reason"] == "stop"


def test_a_stream_comes_in_chunks_with_usage_in_the_last(run: Run) -> None:
    *chunks, last = run("stream", prompt("Hello [[lab tokens=5]]", stream_options={"include_usage": True}))

    assert sum(bool(chunk["choices"][0]["delta"].get("content")) for chunk in chunks) == 5
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 5


def test_tools_make_a_round_trip(run: Run) -> None:
    outcome = run("tools", prompt("Lisbon [[lab tools=2]]", tools=[WEATHER]))

    assert [message["role"] for message in outcome["messages"]] == ["user", "assistant", "tool", "tool", "assistant"]
    assert outcome["content"].count("22 degrees in Lisbon") == 2


@pytest.mark.parametrize("model", ONE_OF_EACH_LAB)
def test_parallel_tool_calls_of_a_stream_stay_apart(run: Run, model: str) -> None:
    accumulated = run("accumulated", prompt("Lisbon [[lab tools=2]]", model=model, tools=[WEATHER]))

    [choice] = accumulated["choices"]
    calls = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls"
    assert [json.loads(call["function"]["arguments"]) for call in calls] == [{"city": "Lisbon"}] * 2
    assert calls[0]["id"] != calls[1]["id"]


def test_json_mode_answers_with_an_object(run: Run) -> None:
    completion = run("plain", prompt("Answer in JSON", response_format={"type": "json_object"}))

    assert "reply" in json.loads(completion["choices"][0]["message"]["content"])


@pytest.mark.parametrize(
    ("body", "name", "code"),
    [
        (prompt(model="gpt-4o"), "NotFoundError", "model_not_found"),
        (prompt(max_tokens=0), "BadRequestError", "invalid_request"),
        (prompt("[[lab fault=context]]"), "BadRequestError", "context_length_exceeded"),
        (prompt("[[lab fault=http-500]]"), "InternalServerError", "upstream_error"),
    ],
)
def test_a_refusal_has_its_class(run: Run, body: dict[str, Any], name: str, code: str) -> None:
    error = run("error", body)

    assert (error["name"], error["code"]) == (name, code)
    assert error["requestId"].startswith("req_")


def test_an_unknown_key_is_an_authentication_error(run: Run) -> None:
    assert run("error", prompt(), api_key=UNKNOWN_KEY)["name"] == "AuthenticationError"


def test_a_model_outside_the_allow_list_is_a_permission_error(run: Run, admin: Admin, customer: Account) -> None:
    key = admin.make_key(customer.id, models=["kimi-k2"])

    assert run("error", prompt(), api_key=key["key"])["name"] == "PermissionDeniedError"


def test_a_key_over_its_limit_is_a_rate_limit_error(run: Run, admin: Admin, customer: Account) -> None:
    key = admin.make_key(customer.id, requests_per_minute=1)
    run("plain", prompt(), api_key=key["key"])

    assert run("error", prompt(), api_key=key["key"])["name"] == "RateLimitError"


def test_a_key_over_its_spend_cap_is_402(run: Run, admin: Admin, customer: Account) -> None:
    key = admin.make_key(customer.id, spend_cap_usd="0.000001")
    error = run("error", prompt(), api_key=key["key"])

    assert (error["status"], error["code"]) == (402, "spend_cap_reached")
