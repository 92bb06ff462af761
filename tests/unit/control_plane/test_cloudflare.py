"""The KV client: what it sends, and what becomes of every kind of answer."""

import json
from collections.abc import AsyncIterator

import httpx2
import pytest
from pydantic import SecretStr

from control_plane.cloudflare import (
    BULK_DELETE_MAX_KEYS,
    BULK_GET_MAX_KEYS,
    BULK_WRITE_MAX_PAIRS,
    CloudflareKV,
    CloudflareRefused,
    CloudflareUnavailable,
)
from tests.contract.control_plane.stand_ins import API_TOKEN, FakeCloudflare, refusal, success


def client_of(transport: httpx2.AsyncBaseTransport, api_token: str = API_TOKEN) -> CloudflareKV:
    return CloudflareKV(
        base_url="https://cloudflare.test/client/v4/",
        account_id="account",
        namespace_id="namespace",
        api_token=SecretStr(api_token),
        transport=transport,
    )


@pytest.fixture
def namespace() -> FakeCloudflare:
    return FakeCloudflare()


@pytest.fixture
async def kv(namespace: FakeCloudflare) -> AsyncIterator[CloudflareKV]:
    kv = client_of(namespace.transport)
    yield kv
    await kv.close()


async def test_what_was_written_is_read_back(kv: CloudflareKV) -> None:
    failed = await kv.bulk_write({"a": "1", "b": "é\n"})

    assert failed == frozenset()
    assert await kv.bulk_get(["a", "b", "absent"]) == {"a": "1", "b": "é\n"}


async def test_names_that_failed_inside_a_200_are_returned(kv: CloudflareKV, namespace: FakeCloudflare) -> None:
    namespace.unwritable.add("b")

    assert await kv.bulk_write({"a": "1", "b": "2"}) == {"b"}
    assert await kv.bulk_delete(["a", "b"]) == {"b"}
    assert namespace.values == {}


async def test_a_list_is_read_to_its_last_page(kv: CloudflareKV, namespace: FakeCloudflare) -> None:
    namespace.page_size = 2
    namespace.values = dict.fromkeys(["key:a", "key:b", "key:c", "key:d", "catalogue"], "")

    assert [name async for name in kv.list_keys("key:")] == ["key:a", "key:b", "key:c", "key:d"]
    assert len([name async for name in kv.list_keys()]) == 5


@pytest.mark.parametrize("count", [0, BULK_WRITE_MAX_PAIRS + 1])
async def test_a_bulk_call_has_a_least_and_a_greatest_size(kv: CloudflareKV, count: int) -> None:
    keys = [str(number) for number in range(count)]

    with pytest.raises(ValueError, match="1 to 10000"):
        await kv.bulk_write(dict.fromkeys(keys, ""))
    with pytest.raises(ValueError, match="1 to 10000"):
        await kv.bulk_delete(keys)
    with pytest.raises(ValueError, match="1 to 100"):
        await kv.bulk_get(keys[: BULK_GET_MAX_KEYS + 1])


async def test_bulk_calls_of_the_greatest_size_are_made(kv: CloudflareKV) -> None:
    keys = [str(number) for number in range(BULK_WRITE_MAX_PAIRS)]

    assert await kv.bulk_write(dict.fromkeys(keys, "")) == frozenset()
    assert len(await kv.bulk_get(keys[:BULK_GET_MAX_KEYS])) == BULK_GET_MAX_KEYS
    assert await kv.bulk_delete(keys[:BULK_DELETE_MAX_KEYS]) == frozenset()


async def test_a_refusal_carries_its_status_and_code(kv: CloudflareKV, namespace: FakeCloudflare) -> None:
    namespace.failures.append(refusal(400, 10012))

    with pytest.raises(CloudflareRefused) as refused:
        await kv.bulk_write({"a": "1"})

    assert (refused.value.status, refused.value.code) == (400, 10012)


async def test_a_200_that_says_it_failed_is_a_refusal(kv: CloudflareKV, namespace: FakeCloudflare) -> None:
    namespace.failures.append(refusal(200, 10013))

    with pytest.raises(CloudflareRefused) as refused:
        await kv.bulk_write({"a": "1"})

    assert refused.value.code == 10013


@pytest.mark.parametrize("body", ["", "<html>", "[]", '{"success":false,"errors":[{"code":"x"}]}'])
async def test_a_refusal_without_a_readable_body_is_a_refusal_still(
    kv: CloudflareKV, namespace: FakeCloudflare, body: str
) -> None:
    namespace.failures.append(httpx2.Response(404, text=body))

    with pytest.raises(CloudflareRefused) as refused:
        await kv.bulk_write({"a": "1"})

    assert (refused.value.status, refused.value.code) == (404, None)


@pytest.mark.parametrize(
    "failure",
    [
        httpx2.Response(500),
        httpx2.Response(503, text="<html>"),
        httpx2.Response(200, text="<html>"),
        httpx2.Response(200, json=[]),
        httpx2.Response(200, json={}),
        success({"unsuccessful_keys": "a"}),
        httpx2.ConnectError("no route"),
        httpx2.ReadTimeout("slow"),
    ],
)
async def test_anything_that_is_no_answer_is_unavailability(
    kv: CloudflareKV, namespace: FakeCloudflare, failure: httpx2.Response | Exception
) -> None:
    namespace.failures.append(failure)

    with pytest.raises(CloudflareUnavailable):
        await kv.bulk_write({"a": "1"})


@pytest.mark.parametrize("answer", [success(None), success({}), success({"values": []})])
async def test_a_bulk_get_without_values_is_unavailability_and_not_emptiness(
    kv: CloudflareKV, namespace: FakeCloudflare, answer: httpx2.Response
) -> None:
    namespace.failures.append(answer)

    with pytest.raises(CloudflareUnavailable):
        await kv.bulk_get(["a"])


@pytest.mark.parametrize("answer", [success(None), success([{}]), success([], result_info={"cursor": 5})])
async def test_a_list_that_cannot_be_read_is_unavailability_and_not_emptiness(
    kv: CloudflareKV, namespace: FakeCloudflare, answer: httpx2.Response
) -> None:
    namespace.failures.append(answer)

    with pytest.raises(CloudflareUnavailable):
        [name async for name in kv.list_keys()]


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("", None), ("Tue, 24 Nov 2026 06:00:00 GMT", None)])
async def test_too_many_calls_say_when_to_return(
    kv: CloudflareKV, namespace: FakeCloudflare, header: str, seconds: float | None
) -> None:
    namespace.failures.append(httpx2.Response(429, headers={"retry-after": header}))

    with pytest.raises(CloudflareUnavailable) as unavailable:
        await kv.bulk_write({"a": "1"})

    assert unavailable.value.retry_after_s == seconds


async def test_the_token_is_in_no_error(namespace: FakeCloudflare) -> None:
    kv = client_of(namespace.transport, api_token="secret-token")

    with pytest.raises(CloudflareRefused) as refused:
        await kv.bulk_write({"a": "1"})
    await kv.close()

    assert "secret-token" not in json.dumps([repr(refused.value), str(refused.value), repr(kv)])
