"""What each response carries, what never crosses the gateway, and whole answers."""

import json

import pytest

from gateway.credentials import make_api_key
from gateway.metering import openai_usage, usage_of
from gateway.money import NanoUsd
from gateway.records import KeyLimits
from tests.unit.gateway.catalogues import API_KEY, NOW_MS, key_record, whole_answer
from tests.unit.gateway.fakes import Answer, FakePorts, ask, chat, working_ports
from tests.unit.gateway.upstreams import Reply, json_reply

OTHER_KEY = make_api_key(bytes(32))
PROMPT, REPLY_TEXT = "a secret prompt", "a secret answer"


async def answers_of_every_kind() -> list[Answer]:
    ports = working_ports()
    return [
        await chat(ports),
        await chat(ports, model="nothing"),
        await ask(ports, "GET", "/v1/models"),
        await ask(ports, "GET", "/v1/credits"),
        await ask(ports, "GET", "/healthz", api_key=None),
        await ask(ports, "GET", "/nothing"),
        await ask(ports, "OPTIONS", "/v1/chat/completions", api_key=None),
        await ask(ports, "POST", "/internal/wallets/a/state"),
    ]


async def test_every_response_has_its_own_request_id_and_may_be_read_by_a_browser() -> None:
    answers = await answers_of_every_kind()

    ids = [answer.headers["x-request-id"] for answer in answers]
    assert len(set(ids)) == len(ids)
    assert all(name.startswith("req_") and len(name) == 36 for name in ids)
    assert {answer.headers["access-control-allow-origin"] for answer in answers} == {"*"}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/v1/models/kimi-k2", "/v1/credits"])
async def test_a_browser_may_ask_first_without_a_key(path: str) -> None:
    answer = await ask(FakePorts(), "OPTIONS", path, api_key=None)

    assert (answer.status, answer.text) == (204, "")
    assert "Authorization" in answer.headers["access-control-allow-headers"]
    assert "POST" in answer.headers["access-control-allow-methods"]


async def test_the_request_id_names_the_record_and_the_log() -> None:
    ports = working_ports()

    good, bad = await chat(ports), await chat(ports, model="nothing")

    assert ports.records()[0].request_id == good.headers["x-request-id"]
    assert ports.logs[-1]["request_id"] == bad.headers["x-request-id"]


CALLER_HEADERS = {
    "cookie": "session=1",
    "x-forwarded-for": "203.0.113.7",
    "cf-connecting-ip": "203.0.113.7",
    "connection": "keep-alive",
    "te": "trailers",
    "proxy-authorization": "Basic eA==",
    "openai-organization": "org-1",
    "user-agent": "a client",
}


async def test_no_header_of_the_caller_reaches_a_provider() -> None:
    for stream in (False, True):
        ports = working_ports()

        await chat(ports, stream=stream, headers=CALLER_HEADERS, max_tokens=9)

        _, call = ports.upstream.calls[0]
        assert dict(call.headers) == {
            "authorization": "Bearer sk-of-deepseek",
            "content-type": "application/json",
            "accept": "text/event-stream" if stream else "application/json",
        }
        assert call.url == "https://deepseek.example/v1/chat/completions"


async def test_no_header_of_a_provider_reaches_the_caller() -> None:
    theirs = {
        "set-cookie": "acw_tc=1",
        "x-ds-trace-id": "t",
        "x-request-id": "theirs",
        "server": "s",
        "content-encoding": "gzip",
        "x-ratelimit-limit-requests": "9",
    }
    for status in (200, 429, 500):
        ports = FakePorts()
        ports.upstream.answer("deepseek", json_reply(whole_answer(), status=status, headers=theirs))

        answer = await chat(ports)

        assert not {"set-cookie", "x-ds-trace-id", "server", "content-encoding"} & set(answer.headers)
        assert not [name for name in answer.headers if name.startswith("x-ratelimit")]
        assert answer.headers["x-request-id"] == f"req_{1:032x}"


async def test_no_prompt_answer_or_key_reaches_a_log_a_table_or_a_record() -> None:
    for reply in (json_reply(whole_answer(REPLY_TEXT)), Reply(status=500), json_reply({"error": {"message": PROMPT}})):
        ports = FakePorts()
        ports.upstream.answer("deepseek", reply)

        await chat(ports, messages=[{"role": "user", "content": PROMPT}], headers={"idempotency-key": "k"})

        kept = json.dumps(ports.logs) + repr(ports.store().dump())
        assert not [text for text in (PROMPT, REPLY_TEXT, API_KEY, "sk-of") if text in kept]


async def test_a_whole_answer_carries_its_cost_its_attempts_and_its_provider() -> None:
    ports = working_ports()

    answer = await chat(ports)

    [record] = ports.records()
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["x-haotokai-cost-usd"] == "0.000009"
    assert record.cost_nano_usd == 20 * 150 + 10 * 600
    assert answer.attempts() == [("deepseek", "ok")]
    assert answer.headers["x-haotokai-provider"] == "deepseek"
    assert answer.json() == whole_answer()


async def test_the_usage_that_the_caller_sees_is_the_usage_that_is_recorded() -> None:
    ports = working_ports()

    seen = (await chat(ports)).json()["usage"]

    [record] = ports.records()
    assert (record.usage.prompt_tokens, record.usage.completion_tokens) == (
        seen["prompt_tokens"],
        seen["completion_tokens"],
    )
    assert (record.state, record.model, record.served_model, record.price_row) == (
        "complete",
        "deepseek-chat",
        "deepseek-chat",
        "flat",
    )
    assert (record.stream, record.estimated) == (False, False)


@pytest.mark.parametrize("usage", [None, {"total_tokens": 13}])
async def test_a_whole_answer_without_token_counts_is_counted(usage: dict[str, int] | None) -> None:
    ports = FakePorts()
    ports.upstream.answer("deepseek", json_reply(whole_answer("x" * 38, usage=usage)))

    answer = await chat(ports)

    [record] = ports.records()
    assert (record.estimated, record.usage.completion_tokens) == (True, 10)
    assert record.cost_nano_usd > 0
    assert answer.headers["x-haotokai-cost-usd"] != "0.00"
    assert answer.json()["usage"] == openai_usage(record.usage)


async def test_usage_inside_a_choice_is_brought_to_its_place() -> None:
    ports = FakePorts()
    answered = whole_answer()
    usage = answered.pop("usage")
    answered["choices"][0]["usage"] = usage
    ports.upstream.answer("deepseek", json_reply(answered))

    answer = await chat(ports)

    [record] = ports.records()
    assert answer.json()["usage"] == usage
    assert (record.estimated, record.usage) == (False, usage_of(usage))


async def test_fields_that_a_provider_leaves_out_are_filled_in() -> None:
    ports = FakePorts()
    bare = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}}]}
    ports.upstream.answer("deepseek", json_reply(bare))

    answer = (await chat(ports)).json()

    assert answer["object"] == "chat.completion"
    assert answer["id"] == f"chatcmpl-{1:032x}"
    assert (answer["created"], answer["model"]) == (NOW_MS // 1_000, "deepseek-flash")


async def test_the_balance_falls_by_what_the_answer_cost() -> None:
    ports = working_ports()
    await chat(ports)

    credit = (await ask(ports, "GET", "/v1/credits")).json()

    assert credit == {
        "object": "credits",
        "balance_usd": "0.999991",
        "held_usd": "0.00",
        "available_usd": "0.999991",
        "spent_usd": "0.000009",
        "spend_cap": None,
    }


async def test_a_key_with_a_cap_is_told_how_much_of_it_is_used() -> None:
    ports = working_ports()
    limits = KeyLimits(spend_cap_nano_usd=NanoUsd(10**8), spend_cap_period="day")
    ports.add_key(API_KEY, key_record(limits=limits))
    await chat(ports)

    credit = (await ask(ports, "GET", "/v1/credits")).json()

    assert credit["spend_cap"] == {
        "period": "day",
        "cap_usd": "0.10",
        "spent_usd": "0.000009",
        "remaining_usd": "0.099991",
    }


async def test_the_worker_s_health_asks_nothing() -> None:
    ports = FakePorts()
    ports.kv_is_down = True

    answer = await ask(ports, "GET", "/healthz", api_key=None)

    assert (answer.status, answer.json()) == (200, {"status": "ok"})
