"""What stays on its side of the gateway: the caller's headers, the lab's headers, keys, prompts and answers."""

import uuid
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from openai import OpenAI

from tests.e2e.admin import Account, Admin
from tests.e2e.chat import ONE_OF_EACH_LAB, WEATHER, prompt
from tests.e2e.lab import Labs
from tests.e2e.stack import Stack

CALLERS_HEADERS = {
    "cookie": "session=caller",
    "x-forwarded-for": "203.0.113.7",
    "forwarded": "for=203.0.113.7",
    "x-real-ip": "203.0.113.7",
    "proxy-authorization": "Basic Y2FsbGVy",
    "te": "trailers",
    "keep-alive": "timeout=5",
    "connection": "keep-alive, x-caller-hop",
    "x-caller-hop": "caller",
    "openai-organization": "org-caller",
    "x-stainless-lang": "caller",
    "idempotency-key": "caller",
    "referer": "https://caller.example/",
    "user-agent": "caller",
}

LAB_MAY_SEE = {"host", "authorization", "content-type", "content-length", "accept", "accept-encoding", "cf-worker"}
"""Everything that a request to a lab is made of; the last is the runtime's own."""

CALLER_MAY_SEE = {
    "content-type",
    "content-length",
    "content-encoding",
    "transfer-encoding",
    "cache-control",
    "date",
    "vary",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "x-accel-buffering",
    "x-request-id",
    "x-haotokai-attempts",
    "x-haotokai-provider",
    "x-haotokai-model",
    "x-haotokai-cost-usd",
    "x-haotokai-max-tokens",
}


Call = Callable[..., httpx2.Response]


@pytest.fixture
def call(stack: Stack, customer: Account) -> Call:
    """Makes a call with the customer's key or another, and with these further headers."""

    def call(
        body: dict[str, Any], *, api_key: str = customer.api_key, headers: dict[str, str] | None = None
    ) -> httpx2.Response:
        url, own = f"{stack.base_url}/chat/completions", {"authorization": f"Bearer {api_key}"}
        return httpx2.post(url, json=body, headers={**(headers or {}), **own}, timeout=30)

    return call


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ONE_OF_EACH_LAB)
def test_no_header_of_the_caller_reaches_a_lab(call: Call, labs: Labs, model: str, stream: bool) -> None:
    entry_id = f"headers-{uuid.uuid4().hex}"
    headers = CALLERS_HEADERS | {"idempotency-key": entry_id}
    call(prompt(f"Hello [[lab id={entry_id}]]", model=model, stream=stream), headers=headers)
    received = dict(labs.request(entry_id)["headers"])

    assert received.keys() - LAB_MAY_SEE == set()
    assert received.items() & CALLERS_HEADERS.items() == set()


@pytest.mark.parametrize("model", ONE_OF_EACH_LAB)
def test_the_key_of_the_caller_does_not_reach_a_lab(call: Call, labs: Labs, customer: Account, model: str) -> None:
    entry_id = f"key-{uuid.uuid4().hex}"
    call(prompt(f"Hello [[lab id={entry_id}]]", model=model))
    received = labs.request(entry_id)
    [shown] = [value for name, value in received["headers"] if name == "authorization"]
    end = shown.removeprefix("Bearer ...")

    # Of a key the journal shows the end, and the launcher's stand-in for a lab's key ends in the lab's name.
    assert f"simulated-{received['lab']}".endswith(end)
    assert not customer.api_key.endswith(end)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ONE_OF_EACH_LAB)
def test_no_header_of_a_lab_reaches_the_caller(call: Call, model: str, stream: bool) -> None:
    answer = call(prompt(model=model, stream=stream))

    assert answer.status_code == 200
    assert answer.headers.keys() - CALLER_MAY_SEE == set()
    assert answer.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("model", ONE_OF_EACH_LAB)
def test_the_gateway_s_own_fields_do_not_reach_a_lab(client: OpenAI, labs: Labs, model: str) -> None:
    entry_id = f"fields-{uuid.uuid4().hex}"
    own = {"models": [model], "provider": {"sort": "price"}}
    client.chat.completions.create(**prompt(f"Hello [[lab id={entry_id}]]", model=model), extra_body=own)

    assert labs.request(entry_id)["parameters"].keys() & own.keys() == set()


def test_no_prompt_answer_or_key_is_kept_anywhere(stack: Stack, admin: Admin, call: Call) -> None:
    account = admin.open_account()
    secret_word = f"canary{uuid.uuid4().hex}"
    with OpenAI(base_url=stack.base_url, api_key=account.api_key, max_retries=0) as client:
        # The labs call a tool with the words of the prompt, so the answer says the secret word, too.
        body = prompt(secret_word, tools=[WEATHER])
        answer = client.chat.completions.create(**body).to_json()
        with client.chat.completions.create(stream=True, **body) as stream:
            list(stream)
    for fault in ("http-503", "context", "reset-mid at=5"):
        call(prompt(f"{secret_word} [[lab fault={fault}]]", stream=True), api_key=account.api_key)
    call(prompt(model=secret_word), api_key=account.api_key)
    assert secret_word in answer
    admin.settled(account.id)

    kept = [stack.log, *(file for file in stack.data.rglob("*") if file.is_file())]
    for secret in (secret_word.encode(), account.api_key.encode()):
        assert [file.name for file in kept if secret in file.read_bytes()] == []
