"""Bodies of every size and form, up to the limit and not beyond."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.e2e.admin import Account
from tests.e2e.chat import prompt
from tests.e2e.lab import Labs
from tests.e2e.stack import Stack

MAX_BODY_BYTES = 20 * 2**20


@pytest.fixture(scope="module")
def wire(stack: Stack, customer: Account) -> Iterator[httpx2.Client]:
    headers = {"authorization": f"Bearer {customer.api_key}", "content-type": "application/json"}
    with httpx2.Client(base_url=stack.base_url, headers=headers, timeout=60) as client:
        yield client


def body_of(size_bytes: int, text: str = "") -> bytes:
    """A request of exactly this size. It goes to a model that is free, so that no balance is in its way."""
    empty = json.dumps(prompt(f" {text}", model="glm-4-flash")).encode()
    return json.dumps(prompt(f"{'x' * (size_bytes - len(empty))} {text}", model="glm-4-flash")).encode()


def test_a_prompt_of_a_megabyte_arrives_whole(wire: httpx2.Client, labs: Labs) -> None:
    answer = wire.post("/chat/completions", content=body_of(2**20))

    assert answer.status_code == 200
    assert answer.json()["usage"]["prompt_tokens"] > 2**20 // 4 - 100


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_large_prompt_is_sent_with_the_same_fields_as_a_small_one(
    wire: httpx2.Client, labs: Labs, stream: bool
) -> None:
    """They are held by different engines. There are fields to rename, to add, to take out and to leave as they are."""
    fields = {"max_completion_tokens": 50, "provider": {"sort": "price"}, "stop": ["\u4e2d\t"], "stream": stream}

    def sent(padding: str) -> dict[str, Any]:
        entry_id = f"size-{uuid.uuid4().hex}"
        text = f"{padding} [[lab id={entry_id} tokens=3]]"
        assert wire.post("/chat/completions", json=prompt(text, model="deepseek-chat", **fields)).status_code == 200
        entry = labs.request(entry_id)
        return {name: entry[name] for name in ("path", "body_keys", "parameters")}

    small, large = sent("x"), sent("x" * 20_000)

    assert small == large
    assert {"model", "max_tokens", "stop"} <= set(small["body_keys"])
    assert {"max_completion_tokens", "provider"}.isdisjoint(small["body_keys"])


def test_a_body_of_20_mib_is_answered(wire: httpx2.Client) -> None:
    assert wire.post("/chat/completions", content=body_of(MAX_BODY_BYTES)).status_code == 200


def test_a_body_of_one_byte_more_is_413_and_reaches_no_lab(wire: httpx2.Client, labs: Labs) -> None:
    entry_id = f"size-{uuid.uuid4().hex}"
    answer = wire.post("/chat/completions", content=body_of(MAX_BODY_BYTES + 1, f"[[lab id={entry_id}]]"))

    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "request_too_large"
    assert labs.requests(entry_id) == []


@pytest.mark.parametrize("size_bytes", [MAX_BODY_BYTES + 1, MAX_BODY_BYTES * 2])
def test_a_chunked_body_over_the_limit_is_413(wire: httpx2.Client, size_bytes: int) -> None:
    assert wire.post("/chat/completions", content=pieces(body_of(size_bytes), 2**18)).status_code == 413


@pytest.mark.parametrize("piece_bytes", [1, 7, 1000])
def test_a_chunked_body_is_answered(wire: httpx2.Client, piece_bytes: int) -> None:
    body = json.dumps(prompt("你好 [[lab tokens=3]]"), ensure_ascii=False).encode()
    answer = wire.post("/chat/completions", content=pieces(body, piece_bytes))

    assert answer.status_code == 200
    assert len(answer.json()["choices"][0]["message"]["content"].split()) == 3


NOT_OBJECTS = ["", "{", "null", "[]", '"text"', "1", '{"model": "kimi-k2"} trailing', "[" * 10_000, '{"a":' * 3_000]


@pytest.mark.parametrize("text", NOT_OBJECTS, ids=lambda text: text[:30])
def test_a_body_that_is_not_a_json_object_is_400(wire: httpx2.Client, text: str) -> None:
    answer = wire.post("/chat/completions", content=text.encode())

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_request"


def test_a_long_answer_arrives_whole(wire: httpx2.Client) -> None:
    body = prompt("Hello [[lab tokens=500 bytes=2000000]]", model="glm-4-flash")
    plain = wire.post("/chat/completions", json=body)
    streamed = wire.post("/chat/completions", json={**body, "stream": True})

    assert len(plain.json()["choices"][0]["message"]["content"].encode()) >= 2_000_000
    assert len(streamed.content) >= 2_000_000
    assert streamed.text.endswith("data: [DONE]\n\n")


def pieces(body: bytes, size_bytes: int) -> Iterator[bytes]:
    """A body of unknown length, so it is sent in chunks."""
    for start in range(0, len(body), size_bytes):
        yield body[start : start + size_bytes]
