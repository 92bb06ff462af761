"""Every answered call has one record, and caller, header, record and books say the same of it."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionChunk

from local.labs.app import LABS
from tests.e2e.admin import Account, Admin, Record
from tests.e2e.chat import MODELS, prompt
from tests.e2e.stack import Stack

NANO_PER_USD = 10**9
MODEL_OF_LAB = {
    "deepseek": "deepseek-chat",
    "moonshot": "kimi-k2",
    "dashscope": "qwen3-max",
    "zai": "glm-4.6",
    "spark": "spark-4.0-ultra",
}
USAGE_PLACES = [(lab.name, place) for lab in LABS for place in lab.usage_places]


def nano_usd(text: str) -> int:
    return int(Decimal(text) * NANO_PER_USD)


def seen(client: OpenAI, model: str, *, stream: bool) -> tuple[str, dict[str, Any]]:
    """A call's id, and what its record must say by what the caller saw."""
    body = prompt("Hello [[lab cached=1]]", model=model)
    if stream:
        with client.chat.completions.create(stream=True, stream_options={"include_usage": True}, **body) as events:
            request_id, usage = events.response.headers["x-request-id"], list(events)[-1].usage
        cost_nano_usd = nano_usd(f"{(usage.model_extra or {})['cost']:.9f}") if usage else None
    else:
        response = client.chat.completions.with_raw_response.create(**body)
        request_id, usage = response.headers["x-request-id"], response.parse().usage
        cost_nano_usd = nano_usd(response.headers["x-haotokai-cost-usd"])
    assert usage is not None
    return request_id, {
        "model": model,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cost_nano_usd": cost_nano_usd,
        "stream": stream,
        "state": "complete",
        "estimated": False,
    }


def test_records_say_what_the_callers_saw_and_the_books_agree(stack: Stack, admin: Admin) -> None:
    account = admin.open_account()
    with OpenAI(base_url=stack.base_url, api_key=account.api_key, max_retries=0) as client:
        expected = dict(seen(client, model, stream=stream) for model in MODELS for stream in (False, True))

    records = admin.records_of(account.id, expected)
    spent_nano_usd = nano_usd(admin.settled(account.id)["spent_usd"])

    assert len(admin.usage(account.id)) == len(expected)
    for request_id, record in records.items():
        assert record | expected[request_id] == record
        assert [attempt["outcome"] for attempt in record["attempts"]] == ["ok"]
        assert record["provider"] == record["attempts"][0]["provider"]
        assert 0 <= record["first_event_ms"] <= record["total_ms"]
    assert spent_nano_usd == sum(record["cost_nano_usd"] for record in records.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed:
    """A stream as the caller saw it, and its record."""

    chunks: list[ChatCompletionChunk]
    record: Record


@pytest.fixture(scope="module")
def streams(admin: Admin, customer: Account, client: OpenAI) -> dict[tuple[str, str, bool], Streamed]:
    """One stream for each place of usage, not asked for it and asked for it; all are awaited at once."""
    chunks, request_ids = {}, {}
    for lab, place in USAGE_PLACES:
        for include_usage in (False, True):
            body = prompt(f"Hello [[lab tokens=9 reasoning=0 usage={place}]]", model=MODEL_OF_LAB[lab])
            body["stream_options"] = {"include_usage": include_usage}
            with client.chat.completions.create(stream=True, **body) as stream:
                request_ids[lab, place, include_usage] = stream.response.headers["x-request-id"]
                chunks[lab, place, include_usage] = list(stream)
    records = admin.records_of(customer.id, request_ids.values())
    return {case: Streamed(chunks=chunks[case], record=records[request_ids[case]]) for case in request_ids}


@pytest.mark.parametrize("include_usage", [False, True])
@pytest.mark.parametrize(("lab", "place"), USAGE_PLACES)
def test_usage_is_found_wherever_a_lab_puts_it(
    streams: dict[tuple[str, str, bool], Streamed], lab: str, place: str, include_usage: bool
) -> None:
    streamed = streams[lab, place, include_usage]

    assert (streamed.record["state"], streamed.record["estimated"]) == ("complete", False)
    assert streamed.record["completion_tokens"] == 9
    assert [chunk for chunk in streamed.chunks if not chunk.choices] == streamed.chunks[-1:] * include_usage


def test_what_a_lab_does_not_report_is_counted_and_marked_as_estimated(
    admin: Admin, customer: Account, client: OpenAI
) -> None:
    body = prompt("Hello [[lab tokens=9 usage=none]]")
    with client.chat.completions.create(stream=True, **body) as stream:
        request_id, chunks = stream.response.headers["x-request-id"], list(stream)
    record = admin.record_of(customer.id, request_id)

    assert chunks
    assert (record["state"], record["estimated"]) == ("complete", True)
    assert record["completion_tokens"] > 0


def test_a_call_that_failed_has_a_record_of_no_cost(stack: Stack, admin: Admin, customer: Account) -> None:
    headers = {"authorization": f"Bearer {customer.api_key}"}
    answer = httpx2.post(
        f"{stack.base_url}/chat/completions", json=prompt("[[lab fault=http-503]]"), headers=headers, timeout=30
    )
    record = admin.record_of(customer.id, answer.headers["x-request-id"])

    assert answer.status_code == 503
    assert (record["state"], record["cost_nano_usd"]) == ("failed", 0)
    assert {(attempt["provider"], attempt["status"]) for attempt in record["attempts"]} == {
        ("deepseek", 503),
        ("dashscope", 503),
    }
