"""A caller whose provider is late gets the status line, hears comments, and the SDKs pass over them."""

import asyncio
import json
import os
import uuid
from typing import Any

import httpx2
from openai import AsyncOpenAI

from local.node import node_executable
from tests.e2e.admin import Account, Admin
from tests.e2e.chat import prompt
from tests.e2e.lab import Labs
from tests.e2e.stack import Stack
from tests.e2e.test_openai_node import NODE_CLIENT
from tests.e2e.waiting import eventually

LATE = "Hello [[lab tokens=5 first_delay_ms=12000]]"
"""Later than the status line waits, and within the limit of a first event."""


async def raw(stack: Stack, account: Account) -> list[str]:
    headers = {"authorization": f"Bearer {account.api_key}"}
    body = prompt(LATE, model="kimi-k2", stream=True)
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as client,
        client.stream("POST", f"{stack.base_url}/chat/completions", json=body) as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["x-haotokai-attempts"] == "[]"
        return [line async for line in answer.aiter_lines() if line]


async def with_python(stack: Stack, account: Account) -> str:
    client = AsyncOpenAI(base_url=stack.base_url, api_key=account.api_key, max_retries=0)
    async with client:
        chunks = await client.chat.completions.create(**prompt(LATE, model="kimi-k2", stream=True))
        return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])


async def with_node(stack: Stack, account: Account) -> dict[str, Any]:
    own = {"HAOTOKAI_BASE_URL": stack.base_url, "HAOTOKAI_API_KEY": account.api_key}
    command = [node_executable(), str(NODE_CLIENT), "accumulated", json.dumps(prompt(LATE, model="kimi-k2"))]
    process = await asyncio.create_subprocess_exec(
        *command, env=os.environ | own, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors
    completion: dict[str, Any] = json.loads(output)
    return completion


async def test_comments_come_until_the_answer_does_and_no_sdk_minds_them(stack: Stack, admin: Admin) -> None:
    account = admin.open_account()

    lines, said, completion = await asyncio.gather(
        raw(stack, account), with_python(stack, account), with_node(stack, account)
    )

    comments = [line for line in lines if line.startswith(":")]
    assert len(comments) >= 2
    assert json.loads(comments[-1].removeprefix(": attempts "))[0]["outcome"] == "ok"
    assert lines[-1] == "data: [DONE]"
    assert len(said.split()) == 5
    assert completion["choices"][0]["message"]["content"] == said
    assert admin.settled(account.id)["held_usd"] == "0.00"


async def test_a_caller_who_leaves_while_waiting_pays_nothing_and_the_provider_is_left(
    stack: Stack, admin: Admin, labs: Labs
) -> None:
    account = admin.open_account()
    entry_id = f"late-{uuid.uuid4().hex}"
    body = prompt(f"Hello [[lab fault=hang id={entry_id}]]", model="kimi-k2", stream=True)
    headers = {"authorization": f"Bearer {account.api_key}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as client,
        client.stream("POST", f"{stack.base_url}/chat/completions", json=body) as answer,
    ):
        request_id = answer.headers["x-request-id"]

    record = await asyncio.to_thread(admin.record_of, account.id, request_id)
    assert (record["state"], record["cost_nano_usd"]) == ("failed", 0)
    eventually(
        lambda: {entry["ended"] for entry in labs.requests(entry_id)}, lambda endings: endings == {"client left"}
    )
    assert admin.settled(account.id)["held_usd"] == "0.00"
