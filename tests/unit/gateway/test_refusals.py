"""Every refusal: its status, its code, and that nothing is spent or sent on."""

import json
from dataclasses import replace
from typing import Any

import pytest

from gateway.completion import MAX_BODY_BYTES, MAX_IDEMPOTENCY_KEY_CHARS
from gateway.credentials import make_api_key
from gateway.money import NanoUsd
from gateway.records import KeyLimits
from gateway.settling import SETTLE_TRIES
from gateway.wallet import grant, revoke
from tests.unit.gateway.catalogues import (
    ACCOUNT,
    API_KEY,
    CATALOGUE,
    CHAT,
    KEY_ID,
    NOW_MS,
    catalogue,
    key_record,
    model,
    target,
    whole_answer,
)
from tests.unit.gateway.fakes import Answer, FakePorts, ask, chat, working_ports
from tests.unit.gateway.upstreams import Reply, json_reply
from tests.unit.gateway.wallets import grant_of

OTHER_KEY = make_api_key(bytes(32))
PROMPT, REPLY_TEXT = "a secret prompt", "a secret answer"


def refused(answer: Answer) -> tuple[int, str, str, str | None]:
    """Status, code, type and param of an error, which has OpenAI's form."""
    error = answer.error()
    assert set(answer.json()) == {"error"}
    assert {"message", "type", "code", "param"} <= set(error) <= {"message", "type", "code", "param", "metadata"}
    assert error["message"]
    return answer.status, error["code"], error["type"], error["param"]


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Basic {API_KEY}",
        API_KEY,
        "Bearer sk-1",
        f"Bearer {API_KEY}x",
        "Bearer " + "h" * 9999,
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/chat/completions"), ("GET", "/v1/credits")])
async def test_a_call_without_a_well_formed_key_is_refused_without_a_look_up(
    header: str | None, method: str, path: str
) -> None:
    ports = FakePorts()
    ports.kv_is_down = True
    headers = {} if header is None else {"authorization": header}

    answer = await ask(ports, method, path, headers=headers, api_key=None)

    assert refused(answer) == (401, "invalid_api_key", "authentication_error", None)
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert API_KEY not in answer.text


async def test_an_unknown_key_is_refused() -> None:
    answer = await ask(FakePorts(), "GET", "/v1/credits", api_key=OTHER_KEY)

    assert refused(answer)[:2] == (401, "invalid_api_key")
    assert OTHER_KEY not in answer.text


async def test_a_key_that_kv_knows_as_revoked_is_refused() -> None:
    ports = FakePorts()
    ports.add_key(API_KEY, replace(key_record(), state="revoked"))

    assert refused(await chat(ports))[:2] == (401, "invalid_api_key")


async def test_a_key_that_only_its_wallet_knows_as_revoked_is_refused() -> None:
    ports = working_ports()
    revoke(ports.store(), [KEY_ID])

    assert refused(await chat(ports))[:2] == (401, "invalid_api_key")
    assert ports.upstream.calls == []


@pytest.mark.parametrize(("expires_in_ms", "status"), [(1, 200), (0, 401), (-1, 401)])
async def test_a_key_is_good_until_it_expires(expires_in_ms: int, status: int) -> None:
    ports = working_ports()
    ports.add_key(API_KEY, key_record(expires_at_ms=NOW_MS + expires_in_ms))

    assert (await chat(ports)).status == status


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_s_case_does_not_matter(scheme: str) -> None:
    headers = {"authorization": f"{scheme}  {API_KEY} "}

    assert (await ask(FakePorts(), "GET", "/v1/credits", headers=headers, api_key=None)).status == 200


async def test_a_model_outside_the_key_s_list_is_refused_even_if_it_does_not_exist() -> None:
    ports = working_ports()
    ports.add_key(API_KEY, key_record(models=("kimi-k2",)))

    assert refused(await chat(ports)) == (403, "model_not_allowed", "permission_error", "model")
    assert refused(await chat(ports, model="nothing"))[0] == 403


async def test_a_model_that_does_not_exist_is_refused() -> None:
    assert refused(await chat(FakePorts(), model="gpt-0")) == (404, "model_not_found", "invalid_request_error", "model")


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/", "/v1/models/", "/v1/nothing", "/internal/wallets/", "/healthz/x", ""]
)
async def test_there_is_nothing_at_other_paths(path: str) -> None:
    assert refused(await ask(FakePorts(), "GET", path))[:2] == (404, "not_found")
    assert (await ask(FakePorts(), "OPTIONS", path)).status == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/chat/completions", "OPTIONS, POST"),
        ("PUT", "/v1/chat/completions", "OPTIONS, POST"),
        ("POST", "/v1/models", "GET, OPTIONS"),
        ("DELETE", "/v1/models/kimi-k2", "GET, OPTIONS"),
        ("POST", "/v1/credits", "GET, OPTIONS"),
        ("GET", "/internal/wallets/a/state", "OPTIONS, POST"),
    ],
)
async def test_a_path_takes_its_methods_and_names_them(method: str, path: str, allowed: str) -> None:
    answer = await ask(FakePorts(), method, path)

    assert refused(answer)[:2] == (405, "method_not_allowed")
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize(("size", "status"), [(MAX_BODY_BYTES, 400), (MAX_BODY_BYTES + 1, 413)])
async def test_a_body_may_be_as_long_as_the_limit(size: int, status: int) -> None:
    answer = await ask(FakePorts(), "POST", "/v1/chat/completions", body=b" " * size)

    assert refused(answer)[:2] == (status, "request_too_large" if status == 413 else "invalid_request")


@pytest.mark.parametrize(
    ("media_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        ("text/plain", 415),
        ("multipart/form-data; boundary=x", 415),
    ],
)
async def test_a_body_is_json_or_refused(media_type: str, status: int) -> None:
    answer = await chat(working_ports(), headers={"content-type": media_type})

    assert answer.status == status
    if status == 415:
        assert refused(answer)[1] == "unsupported_media_type"


async def test_a_body_without_a_media_type_is_taken_as_json() -> None:
    answer = await ask(working_ports(), "POST", "/v1/chat/completions", body=json.dumps(CHAT).encode())

    assert answer.status == 200


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"text"', b"{}x", b"\xff"])
async def test_what_is_not_a_json_object_is_refused(body: bytes) -> None:
    answer = await ask(FakePorts(), "POST", "/v1/chat/completions", body=body)

    assert refused(answer) == (400, "invalid_request", "invalid_request_error", None)


@pytest.mark.parametrize(
    ("param", "values"),
    [
        ("model", [None, "", 7, ["m"], {}]),
        ("messages", [None, [], "text", {}, ["text"], [None]]),
        ("stream", [0, 1, "true", [], {}]),
        ("stream_options", ["x", [], 7, True]),
        ("max_tokens", [0, -1, 1.5, "7", True, [], {}]),
        ("max_completion_tokens", [0, -1, 1.5, "7", False]),
        ("n", [0, -1, 1.5, "1", True, 129]),
    ],
)
async def test_a_parameter_that_no_provider_could_take_is_refused_by_name(param: str, values: list[Any]) -> None:
    for value in values:
        ports = FakePorts()

        answer = await chat(ports, **{"stream": True, param: value})

        assert refused(answer) == (400, "invalid_request", "invalid_request_error", param), value
        assert ports.wallets[ACCOUNT].dump()["requests"] == []


@pytest.mark.parametrize("param", ["stream", "stream_options", "max_tokens", "max_completion_tokens", "n"])
async def test_a_parameter_that_is_null_counts_as_absent(param: str) -> None:
    assert (await chat(working_ports(), **{param: None})).status == 200


@pytest.mark.parametrize(
    ("length", "status"), [(0, 400), (1, 200), (MAX_IDEMPOTENCY_KEY_CHARS, 200), (MAX_IDEMPOTENCY_KEY_CHARS + 1, 400)]
)
async def test_an_idempotency_key_has_a_length(length: int, status: int) -> None:
    assert (await chat(working_ports(), headers={"idempotency-key": "k" * length})).status == status


async def test_a_request_that_was_answered_is_not_answered_or_charged_again() -> None:
    ports, headers = working_ports(), {"idempotency-key": "once"}
    first = await chat(ports, headers=headers)

    second = await chat(ports, headers=headers)

    assert refused(second)[:3] == (409, "duplicate_request", "invalid_request_error")
    assert second.error()["metadata"] == {
        "request_id": first.headers["x-request-id"],
        "cost_usd": first.headers["x-haotokai-cost-usd"],
    }
    assert len(ports.upstream.calls) == len(ports.records()) == 1


async def test_a_request_that_failed_can_be_sent_again_under_its_key() -> None:
    ports, headers = FakePorts(), {"idempotency-key": "once"}
    ports.upstream.answer("deepseek", Reply(status=404), json_reply(whole_answer()))

    statuses = [(await chat(ports, headers=headers)).status for _ in range(2)]

    assert statuses == [502, 200]


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        (KeyLimits(requests_per_minute=1), "requests per minute"),
        (KeyLimits(tokens_per_minute=1), "tokens per minute"),
    ],
)
async def test_a_key_over_its_rate_is_refused_and_told_when_to_come_back(limits: KeyLimits, name: str) -> None:
    ports = working_ports()
    ports.add_key(API_KEY, key_record(limits=limits))
    assert (await chat(ports)).status == 200
    ports.clock.advance(20_500)

    answer = await chat(ports)

    assert refused(answer)[:3] == (429, "rate_limit_exceeded", "rate_limit_error")
    assert name in answer.error()["message"]
    assert answer.headers["retry-after"] == "40"
    assert answer.headers[f"x-ratelimit-remaining-{name.partition(' ')[0]}"] == "0"
    ports.clock.advance(40_000)
    assert (await chat(ports)).status == 200


async def test_a_key_at_its_cap_is_refused() -> None:
    ports = working_ports()
    ports.add_key(API_KEY, key_record(limits=KeyLimits(spend_cap_nano_usd=NanoUsd(1), spend_cap_period="month")))

    answer = await chat(ports)

    assert refused(answer)[:3] == (402, "spend_cap_reached", "insufficient_quota")
    assert answer.error()["metadata"] == {"period": "month"}


async def test_an_empty_wallet_is_refused_before_any_provider_is_asked() -> None:
    ports = working_ports(balance_usd=0)

    assert refused(await chat(ports))[:3] == (402, "insufficient_balance", "insufficient_quota")
    assert ports.upstream.calls == []


async def test_a_negative_wallet_is_refused_and_says_how_much_is_missing() -> None:
    ports = working_ports(balance_usd=0)
    grant(ports.store(), [grant_of("back", -5 * 10**9, "reversal")])

    answer = await chat(ports)

    assert answer.error()["metadata"]["balance_usd"] == "-5.00"


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v1/chat/completions"), ("GET", "/v1/credits"), ("GET", "/v1/models")]
)
async def test_kv_that_does_not_answer_is_our_failure_and_not_an_unknown_key(method: str, path: str) -> None:
    ports = FakePorts()
    ports.kv_is_down = True

    answer = await ask(ports, method, path, body=json.dumps(CHAT).encode())

    assert refused(answer)[:3] == (503, "service_unavailable", "server_error")


async def test_a_catalogue_that_cannot_be_read_is_our_failure() -> None:
    ports = working_ports()
    ports.published = None

    assert refused(await chat(ports))[:2] == (503, "service_unavailable")
    assert refused(await ask(ports, "GET", "/v1/models/kimi-k2"))[:2] == (503, "service_unavailable")


async def test_a_wallet_that_does_not_answer_is_our_failure_and_no_provider_is_asked() -> None:
    ports = working_ports()
    ports.wallet_fails()

    assert refused(await chat(ports))[:2] == (503, "service_unavailable")
    assert ports.upstream.calls == []
    ports.wallet_fails()
    assert refused(await ask(ports, "GET", "/v1/credits"))[:2] == (503, "service_unavailable")


async def test_settling_is_tried_again_where_the_wallet_does_not_answer() -> None:
    ports = working_ports()
    ports.wallet_fails(after=1, times=2)

    answer = await chat(ports)

    assert answer.status == 200
    assert len(ports.records()) == 1
    assert ports.open_holds() == 0


async def test_a_charge_that_cannot_be_settled_is_logged_without_its_text() -> None:
    ports = working_ports()

    ports.wallet_fails(after=1, times=SETTLE_TRIES)

    await chat(ports)

    [line] = [line for line in ports.logs if line["event"] == "settle_failed"]
    assert line["request_id"] == f"req_{1:032x}"
    assert set(line) == {"event", "request_id", "cost_nano_usd"}
    assert ports.open_holds() == 1


async def test_a_model_without_a_price_in_force_is_not_served() -> None:
    later = replace(CATALOGUE.models["kimi-k2"].targets[0].prices[0], effective_from_ms=NOW_MS + 1)
    ports = FakePorts(catalogue=catalogue(model("deepseek-chat", target("deepseek", "d", later))))

    assert refused(await chat(ports))[:2] == (503, "service_unavailable")


async def test_an_error_of_ours_leaks_nothing_to_the_caller_or_the_log() -> None:
    ports = FakePorts()
    del ports.upstream.script  # whatever comes, the stand-in fails in a way that the gateway does not know

    answer = await chat(ports, messages=[{"role": "user", "content": PROMPT}])

    assert refused(answer) == (500, "internal_error", "server_error", None)
    [line] = [line for line in ports.logs if line["event"] == "internal_error"]
    assert line["error"] == "AttributeError"
    assert str(line["at"]).startswith("tests.unit.gateway.upstreams:")
    assert "script" not in answer.text + json.dumps(ports.logs)
