"""A caller who leaves is charged what the lab reports, and nothing of its hold stays behind."""

import asyncio
import uuid
from typing import Any

import httpx2
import pytest

from tests.e2e.admin import Admin
from tests.e2e.chat import ONE_OF_EACH_LAB, prompt
from tests.e2e.lab import Labs
from tests.e2e.stack import Stack

PIECES = 40


async def leave(client: httpx2.AsyncClient, url: str, body: dict[str, Any], *, after_events: int) -> str:
    """The id of a request whose caller left the stream after some of its events."""
    async with client.stream("POST", url, json=body) as answer:
        seen = 0
        async for line in answer.aiter_lines():
            seen += line.startswith("data:")
            if seen == after_events:
                break
    return answer.headers["x-request-id"]


@pytest.mark.parametrize("include_usage", [False, True])
async def test_a_stream_that_was_left_is_drained_and_charged_in_full(
    stack: Stack, admin: Admin, labs: Labs, include_usage: bool
) -> None:
    account = admin.open_account()
    entry_ids = {model: f"left-{uuid.uuid4().hex}" for model in ONE_OF_EACH_LAB}
    bodies = [
        prompt(
            f"Hello [[lab tokens={PIECES} reasoning=0 delay_ms=25 id={entry_ids[model]}]]",
            model=model,
            stream=True,
            stream_options={"include_usage": include_usage},
        )
        for model in ONE_OF_EACH_LAB
    ]
    headers = {"authorization": f"Bearer {account.api_key}"}
    async with httpx2.AsyncClient(headers=headers, timeout=30) as client:
        url = f"{stack.base_url}/chat/completions"
        request_ids = await asyncio.gather(*(leave(client, url, body, after_events=3) for body in bodies))
    records = admin.records_of(account.id, request_ids)

    for record in records.values():
        assert (record["state"], record["estimated"]) == ("complete", False)
        assert record["completion_tokens"] == PIECES
    assert {labs.ended(entry_id)["ended"] for entry_id in entry_ids.values()} == {"completed"}
    assert admin.settled(account.id)["held_usd"] == "0.00"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_that_was_left_before_its_answer_is_charged_once(
    stack: Stack, admin: Admin, labs: Labs, stream: bool
) -> None:
    account = admin.open_account()
    entry_ids = {model: f"gone-{uuid.uuid4().hex}" for model in ONE_OF_EACH_LAB}
    url, headers = f"{stack.base_url}/chat/completions", {"authorization": f"Bearer {account.api_key}"}
    async with httpx2.AsyncClient(headers=headers, timeout=30) as client:
        calls = [
            asyncio.create_task(client.post(url, json=prompt(text(entry_ids[model]), model=model, stream=stream)))
            for model in ONE_OF_EACH_LAB
        ]
        await asyncio.to_thread(lambda: [labs.arrived(entry_id) for entry_id in entry_ids.values()])
        for call in calls:
            call.cancel()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)

    records = admin.records(account.id, count=len(ONE_OF_EACH_LAB))

    assert {record["model"] for record in records} == set(ONE_OF_EACH_LAB)
    for record in records:
        assert (record["state"], record["estimated"]) == ("complete", False)
        assert record["completion_tokens"] == PIECES
    assert admin.settled(account.id)["held_usd"] == "0.00"


def text(entry_id: str) -> str:
    return f"Hello [[lab tokens={PIECES} reasoning=0 first_delay_ms=1500 id={entry_id}]]"


async def test_a_slow_caller_gets_all_of_a_stream_that_ended_long_before(
    stack: Stack, admin: Admin, labs: Labs
) -> None:
    account = admin.open_account()
    entry_id = f"slow-{uuid.uuid4().hex}"
    body = prompt(f"Hello [[lab tokens=5000 reasoning=0 id={entry_id}]]", model="deepseek-chat", stream=True)
    headers = {"authorization": f"Bearer {account.api_key}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as client,
        client.stream("POST", f"{stack.base_url}/chat/completions", json=body) as answer,
    ):
        lines = answer.aiter_lines()
        first = await anext(lines)
        assert (await asyncio.to_thread(labs.ended, entry_id))["ended"] == "completed"
        events = [first, *[line async for line in lines if line.startswith("data:")]]

    assert events[-1] == "data: [DONE]"
    assert len(events) > 5000
    record = await asyncio.to_thread(admin.record_of, account.id, answer.headers["x-request-id"])
    assert (record["state"], record["completion_tokens"]) == ("complete", 5000)
