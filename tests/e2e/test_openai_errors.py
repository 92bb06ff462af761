"""Every refusal reaches the OpenAI package as the exception that its users catch, with the documented code."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import openai
import pytest
from openai import APIStatusError, OpenAI

from tests.e2e.admin import Account, Admin
from tests.e2e.chat import prompt
from tests.e2e.stack import Stack
from tests.e2e.waiting import eventually

MAX_BODY_BYTES = 20 * 2**20
UNKNOWN_KEY = "htk_t9Iwz3OazYZ027hhwvy0xKdySI4Pc1HZNO2ftdZqz2X3vh2Dj"

ClientOf = Callable[[str], OpenAI]


@pytest.fixture
def client_of(stack: Stack) -> ClientOf:
    """A client that holds the given key."""
    return lambda api_key: OpenAI(base_url=stack.base_url, api_key=api_key, max_retries=0, timeout=30)


def refusal(client: OpenAI, kind: type[APIStatusError], **options: Any) -> APIStatusError:
    """The exception of a request that must be refused, which is OpenAI's envelope whatever the reason."""
    body = options.pop("body", prompt())
    with pytest.raises(kind) as caught:
        client.chat.completions.create(**body, **options)
    error = caught.value
    assert type(error) is kind
    assert error.request_id
    assert error.body.keys() >= {"message", "type", "code", "param"}  # type: ignore[attr-defined] # parsed JSON
    return error


def test_a_request_without_a_key_is_401(client: OpenAI) -> None:
    error = refusal(client, openai.AuthenticationError, extra_headers={"Authorization": openai.Omit()})

    assert error.code == "invalid_api_key"


@pytest.mark.parametrize("api_key", [UNKNOWN_KEY, "sk-malformed", "htk_short", "htk_ключ"])
def test_a_key_that_is_malformed_or_not_known_is_401(client: OpenAI, api_key: str) -> None:
    headers = {"Authorization": f"Bearer {api_key}".encode()}
    error = refusal(client, openai.AuthenticationError, extra_headers=headers)

    assert error.code == "invalid_api_key"
    assert api_key not in error.message


def test_a_revoked_key_is_401_from_the_next_call_on(admin: Admin, customer: Account, client_of: ClientOf) -> None:
    key = admin.make_key(customer.id)
    with client_of(key["key"]) as client:
        client.chat.completions.create(**prompt())
        admin.revoke_key(key["id"])

        assert refusal(client, openai.AuthenticationError).code == "invalid_api_key"


def test_a_rotated_key_is_401_and_the_new_one_is_answered(admin: Admin, customer: Account, client_of: ClientOf) -> None:
    old = admin.make_key(customer.id)
    new = admin.rotate_key(old["id"])

    with client_of(new["key"]) as client:
        client.chat.completions.create(**prompt())
    with client_of(old["key"]) as client:
        assert refusal(client, openai.AuthenticationError).code == "invalid_api_key"


def test_an_expired_key_is_401(admin: Admin, customer: Account, client_of: ClientOf) -> None:
    expires_at = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    key = admin.make_key(customer.id, expires_at=expires_at)

    with client_of(key["key"]) as client:
        eventually(lambda: status(client), lambda seen: seen == 401)
        assert "expired" in refusal(client, openai.AuthenticationError).message


def status(client: OpenAI) -> int:
    try:
        client.chat.completions.create(**prompt())
    except APIStatusError as error:
        return error.status_code
    return 200


def test_a_model_that_does_not_exist_is_404(client: OpenAI) -> None:
    error = refusal(client, openai.NotFoundError, body=prompt(model="gpt-4o"))

    assert (error.code, error.param) == ("model_not_found", "model")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": "kimi-k2", "messages": []}, "messages"),
        (prompt(model=""), "model"),
        (prompt(max_tokens=0), "max_tokens"),
        (prompt(n="two"), "n"),
    ],
)
def test_a_request_that_no_lab_could_take_is_400_and_names_the_parameter(
    client: OpenAI, body: dict[str, Any], param: str
) -> None:
    error = refusal(client, openai.BadRequestError, body=body)

    assert (error.code, error.param) == ("invalid_request", param)


def test_a_request_that_the_lab_refuses_is_400(client: OpenAI) -> None:
    body = {**prompt(), "messages": [{"role": "oracle", "content": "Hello"}]}

    error = refusal(client, openai.BadRequestError, body=body)

    assert error.code == "invalid_request"


def test_a_parameter_that_no_target_can_obey_is_400_and_named(client: OpenAI) -> None:
    error = refusal(client, openai.BadRequestError, body=prompt(temperature=99))

    assert (error.code, error.param) == ("unsupported_parameter", "temperature")


@pytest.mark.parametrize(
    ("fault", "code"), [("context", "context_length_exceeded"), ("content-filter", "content_filter")]
)
def test_what_the_request_itself_caused_is_400_with_its_code(client: OpenAI, fault: str, code: str) -> None:
    assert refusal(client, openai.BadRequestError, body=prompt(f"[[lab fault={fault}]]")).code == code


def test_a_model_outside_the_key_s_allow_list_is_403(admin: Admin, customer: Account, client_of: ClientOf) -> None:
    key = admin.make_key(customer.id, models=["kimi-k2"])

    with client_of(key["key"]) as client:
        client.chat.completions.create(**prompt(model="kimi-k2"))
        assert refusal(client, openai.PermissionDeniedError).code == "model_not_allowed"


def test_a_key_over_its_requests_per_minute_is_429(admin: Admin, customer: Account, client_of: ClientOf) -> None:
    key = admin.make_key(customer.id, requests_per_minute=1)

    with client_of(key["key"]) as client:
        client.chat.completions.create(**prompt())
        error = refusal(client, openai.RateLimitError)

    assert error.code == "rate_limit_exceeded"
    assert 1 <= int(error.response.headers["retry-after"]) <= 60
    assert error.response.headers["x-ratelimit-remaining-requests"] == "0"


def test_a_balance_that_cannot_pay_is_402(admin: Admin, client_of: ClientOf) -> None:
    account = admin.open_account(credit_usd="0.01")

    with client_of(account.api_key) as client:
        error = refusal(client, APIStatusError, body=prompt("word " * 250_000, model="spark-max-32k"))

    assert (error.status_code, error.code) == (402, "insufficient_balance")
    assert admin.usage(account.id) == []


def test_a_key_over_its_spend_cap_is_402(admin: Admin, customer: Account, client_of: ClientOf) -> None:
    key = admin.make_key(customer.id, spend_cap_usd="0.000001")

    with client_of(key["key"]) as client:
        error = refusal(client, APIStatusError)

    assert (error.status_code, error.code) == (402, "spend_cap_reached")


def test_a_body_over_20_mib_is_413(client: OpenAI) -> None:
    error = refusal(client, APIStatusError, body=prompt("x" * MAX_BODY_BYTES))

    assert (error.status_code, error.code) == (413, "request_too_large")


def test_a_body_that_is_not_called_json_is_415(client: OpenAI) -> None:
    error = refusal(client, APIStatusError, extra_headers={"content-type": "text/plain"})

    assert (error.status_code, error.code) == (415, "unsupported_media_type")


def test_a_method_that_the_route_does_not_take_is_405(client: OpenAI) -> None:
    with pytest.raises(APIStatusError) as caught:
        client.get("/chat/completions", cast_to=object)

    assert (caught.value.status_code, caught.value.code) == (405, "method_not_allowed")
    assert caught.value.response.headers["allow"] == "OPTIONS, POST"


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        ("http-500", openai.InternalServerError, "upstream_error"),
        ("auth", openai.InternalServerError, "upstream_error"),
        ("balance", openai.InternalServerError, "upstream_error"),
        ("429", openai.InternalServerError, "upstream_overloaded"),
        ("error-200 error=server-error", openai.InternalServerError, "upstream_error"),
        ("reset", openai.InternalServerError, "upstream_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_failed_at_the_lab_is_never_told_as_the_caller_s_fault(
    client: OpenAI, fault: str, kind: type[APIStatusError], code: str, stream: bool
) -> None:
    error = refusal(client, kind, body=prompt(f"[[lab fault={fault}]]", stream=stream))

    assert error.code == code


def test_a_stream_that_breaks_ends_in_an_exception_and_never_as_if_whole(client: OpenAI) -> None:
    body = prompt("Hello [[lab tokens=20 fault=reset-mid at=6]]", stream=True)
    chunks = []
    with pytest.raises(openai.APIError) as caught, client.chat.completions.create(**body) as stream:
        chunks.extend(stream)

    assert len(chunks) == 6
    assert caught.value.code == "upstream_error"
