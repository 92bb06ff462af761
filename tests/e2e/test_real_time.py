"""An event reaches the caller before the lab sends the next one."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from tests.e2e.admin import Account
from tests.e2e.chat import prompt
from tests.e2e.stack import Stack

DELAY_MS = 1000
"""Between two events of a lab. What takes time here is only to ask the journal, once for each event."""

PIECES = 4
TARGETS = {
    "deepseek-chat": ("deepseek", "deepseek-flash"),
    "kimi-k2": ("moonshot/v1", "kimi-k2.6"),
    "qwen3-max": ("dashscope/compatible-mode/v1", "qwen3-max"),
    "glm-4-flash": ("zai/api/paas/v4", "glm-4.7-flash"),
    "spark-4.0-ultra": ("spark/v1", "4.0Ultra"),
}
"""For one model of each lab: the lab's base path, and its own id of the model."""


async def contents(answer: httpx2.Response) -> AsyncIterator[tuple[int, str]]:
    """The pieces of content with the number of the event that each came in."""
    number = 0
    async for line in answer.aiter_lines():
        if not line.startswith("data:") or "[DONE]" in line:
            continue
        number += 1
        chunk = json.loads(line.removeprefix("data:"))
        for choice in chunk["choices"]:
            if content := choice["delta"].get("content"):
                yield number, content


async def places_at_the_lab(client: httpx2.AsyncClient, stack: Stack, model: str) -> list[int]:
    """As which of its events the lab sends each piece of content, from the lab itself."""
    path, own_model = TARGETS[model]
    body = prompt(f"Hello [[lab tokens={PIECES}]]", model=own_model, stream=True, thinking={"type": "disabled"})
    headers = {"authorization": "Bearer simulated"}
    async with client.stream("POST", f"{stack.labs_url}/{path}/chat/completions", json=body, headers=headers) as answer:
        return [number async for number, _ in contents(answer)]


async def sent_at_arrivals(client: httpx2.AsyncClient, stack: Stack, api_key: str, body: dict[str, Any]) -> list[int]:
    """How many events the lab had sent when each piece of content arrived."""
    entry_id = f"live-{uuid.uuid4().hex}"
    [message] = body["messages"]
    text = f"Hello [[lab tokens={PIECES} delay_ms={DELAY_MS} id={entry_id}]]"
    live = {**body, "messages": [{**message, "content": text}]}
    url, headers = f"{stack.base_url}/chat/completions", {"authorization": f"Bearer {api_key}"}
    sent = []
    async with client.stream("POST", url, json=live, headers=headers) as answer:
        async for _ in contents(answer):
            journal = await client.get(f"{stack.labs_url}/journal", params={"id": entry_id})
            sent.append(journal.json()["requests"][0]["events"])
    return sent


@pytest.mark.parametrize("include_usage", [False, True])
async def test_no_event_waits_for_the_next(stack: Stack, customer: Account, include_usage: bool) -> None:
    options = {"include_usage": include_usage}
    bodies = [prompt(model=model, stream=True, stream_options=options) for model in TARGETS]
    async with httpx2.AsyncClient(timeout=60) as client:
        places = [await places_at_the_lab(client, stack, model) for model in TARGETS]
        sent = await asyncio.gather(*(sent_at_arrivals(client, stack, customer.api_key, body) for body in bodies))

    assert [len(of_one) for of_one in places] == [PIECES] * len(TARGETS)
    assert dict(zip(TARGETS, sent, strict=True)) == dict(zip(TARGETS, places, strict=True))


async def test_a_stream_does_not_wait_for_another(stack: Stack, customer: Account) -> None:
    """Many slow streams at once: each piece of each arrives before the next is sent."""
    body = prompt(stream=True)
    async with httpx2.AsyncClient(timeout=60, limits=httpx2.Limits(max_connections=64)) as client:
        places = await places_at_the_lab(client, stack, "deepseek-chat")
        calls = (sent_at_arrivals(client, stack, customer.api_key, body) for _ in range(16))
        sent = await asyncio.gather(*calls)

    assert sent == [places] * 16
