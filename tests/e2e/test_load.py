"""Many calls at once: each is answered, recorded and charged, once."""

import asyncio
from typing import Any

import httpx2

from tests.e2e.admin import Admin
from tests.e2e.chat import ONE_OF_EACH_LAB, prompt
from tests.e2e.stack import Stack

CALLS = 500
CONNECTIONS = 16


async def test_500_calls_at_16_connections_do_not_fail_and_each_has_one_record(stack: Stack, admin: Admin) -> None:
    account = admin.open_account(credit_usd="1000.00")
    bodies = [
        prompt(f"Call {number} [[lab tokens=5]]", model=model, stream=number % 2 == 1)
        for number in range(CALLS)
        for model in [ONE_OF_EACH_LAB[number % len(ONE_OF_EACH_LAB)]]
    ]
    answers = await post_all(stack, account.api_key, bodies)

    assert [answer.text for answer in answers if answer.status_code != 200] == []
    for body, answer in zip(bodies, answers, strict=True):
        assert answer.text.endswith("data: [DONE]\n\n") if body["stream"] else answer.json()["choices"]
    request_ids = {answer.headers["x-request-id"] for answer in answers}
    records = admin.records_of(account.id, request_ids)
    assert len(request_ids) == len(admin.usage(account.id)) == CALLS
    assert {record["state"] for record in records.values()} == {"complete"}
    assert admin.settled(account.id)["held_usd"] == "0.00"
    assert admin.reconciled()["difference_nano_usd"] == 0


async def post_all(stack: Stack, api_key: str, bodies: list[dict[str, Any]]) -> list[httpx2.Response]:
    """The answers in order, of calls that wait for a free connection."""
    limits = httpx2.Limits(max_connections=CONNECTIONS)
    headers = {"authorization": f"Bearer {api_key}"}
    async with httpx2.AsyncClient(headers=headers, limits=limits, timeout=60) as client:
        url = f"{stack.base_url}/chat/completions"
        return await asyncio.gather(*(client.post(url, json=body) for body in bodies))
