"""The stand-in for Cloudflare's KV REST endpoints answers, and refuses, as Cloudflare does."""

import base64
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from tests.runtime.edge_process import ACCOUNT_ID, API_TOKEN, FIXTURE_PROJECT, EdgeProcess, Ready

pytestmark = pytest.mark.runtime

NAMESPACE_ID = "0123456789abcdef0123456789abcdef"  # of the fixture project
VALUE_LIMIT = 25 * 1024 * 1024


def open_namespace(ready: Ready, *, account: str = ACCOUNT_ID, namespace: str = NAMESPACE_ID) -> httpx2.Client:
    return httpx2.Client(
        base_url=f"{ready.cloudflare_url}/accounts/{account}/storage/kv/namespaces/{namespace}",
        headers={"Authorization": f"Bearer {API_TOKEN}"},
        timeout=60,
    )


@pytest.fixture(scope="session")
def kv(edge: EdgeProcess) -> Iterator[httpx2.Client]:
    with open_namespace(edge.ready) as kv:
        yield kv


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """Of an edge of its own, where some keys fail and few requests are allowed."""
    data = tmp_path_factory.mktemp("faulty") / "data"
    edge = EdgeProcess(FIXTURE_PROJECT, data, KV_REST_FAIL_KEYS="^unlucky:", KV_REST_REQUEST_LIMIT="5")
    with edge, open_namespace(edge.ready) as kv:
        yield kv


def refusal(answer: httpx2.Response) -> tuple[int, int]:
    """Status and code of an answer that has to be a refusal."""
    document = answer.json()
    assert document["success"] is False
    assert document["result"] is None
    return answer.status_code, document["errors"][0]["code"]


def result(answer: httpx2.Response) -> Any:
    document = answer.json()
    assert answer.status_code == 200, document
    assert (document["success"], document["errors"], document["messages"]) == (True, [], [])
    return document["result"]


def put(kv: httpx2.Client, key: str, value: str | bytes, **query: int) -> httpx2.Response:
    return kv.put(f"values/{quote(key, safe='')}", content=value, params=query)


def get(kv: httpx2.Client, key: str) -> httpx2.Response:
    return kv.get(f"values/{quote(key, safe='')}")


def put_pairs(kv: httpx2.Client, *pairs: dict[str, Any]) -> httpx2.Response:
    return kv.put("bulk", json=pairs)


def listed(kv: httpx2.Client, key: str) -> dict[str, Any]:
    [entry] = result(kv.get("keys", params={"prefix": key}))
    assert isinstance(entry, dict)
    return entry


class TestAuthorisation:
    def test_a_missing_header_is_refused(self, kv: httpx2.Client) -> None:
        answer = httpx2.get(kv.base_url.join("keys"))

        assert refusal(answer) == (400, 9106)

    def test_another_scheme_is_refused(self, kv: httpx2.Client) -> None:
        answer = kv.get("keys", headers={"Authorization": f"Basic {API_TOKEN}"})

        assert refusal(answer) == (400, 6003)

    def test_another_token_is_refused(self, kv: httpx2.Client) -> None:
        answer = kv.get("keys", headers={"Authorization": "Bearer another"})

        assert refusal(answer) == (401, 10000)

    def test_another_account_is_refused(self, edge: EdgeProcess) -> None:
        with open_namespace(edge.ready, account="another") as kv:
            assert refusal(kv.get("keys")) == (403, 10000)

    def test_an_unknown_namespace_is_not_found(self, edge: EdgeProcess) -> None:
        with open_namespace(edge.ready, namespace="another") as kv:
            assert refusal(kv.get("keys")) == (404, 10013)

    def test_an_unknown_endpoint_is_not_found(self, kv: httpx2.Client) -> None:
        assert refusal(kv.get("nothing")) == (404, 7003)
        assert refusal(kv.post("values/key")) == (404, 7003)


class TestOneValue:
    def test_what_was_written_is_read_by_the_worker_too(self, kv: httpx2.Client, client: httpx2.Client) -> None:
        result(put(kv, "shared", "the value"))

        assert get(kv, "shared").content == b"the value"
        assert client.get("/kv/shared").text == "the value"

    def test_bytes_come_back_as_they_were(self, kv: httpx2.Client) -> None:
        every_byte = bytes(range(256))
        result(put(kv, "bytes", every_byte))

        assert get(kv, "bytes").content == every_byte

    @pytest.mark.parametrize("key", ["key:a1", "a/b/../c", "50% off?", "钥匙"])
    def test_a_key_may_hold_any_characters(self, kv: httpx2.Client, key: str) -> None:
        result(put(kv, key, key))

        assert get(kv, key).text == key

    def test_a_missing_key_is_not_found(self, kv: httpx2.Client) -> None:
        assert refusal(get(kv, "missing")) == (404, 10009)

    def test_a_deleted_key_is_gone_and_may_be_deleted_again(self, kv: httpx2.Client) -> None:
        put(kv, "doomed", "x")
        result(kv.delete("values/doomed"))
        result(kv.delete("values/doomed"))

        assert get(kv, "doomed").status_code == 404

    def test_a_form_carries_a_value_and_its_metadata(self, kv: httpx2.Client) -> None:
        form = {"value": (None, "the value"), "metadata": (None, '{"version": 7}')}
        result(kv.put("values/form", files=form))

        assert get(kv, "form").text == "the value"
        assert result(kv.get("metadata/form")) == {"version": 7}

    def test_a_form_without_a_value_is_refused(self, kv: httpx2.Client) -> None:
        answer = kv.put("values/form", files={"metadata": (None, "{}")})

        assert refusal(answer) == (400, 10030)

    def test_metadata_of_a_missing_key_is_not_found(self, kv: httpx2.Client) -> None:
        assert refusal(kv.get("metadata/missing")) == (404, 10009)

    def test_a_key_without_metadata_has_null(self, kv: httpx2.Client) -> None:
        put(kv, "plain", "x")

        assert result(kv.get("metadata/plain")) is None

    def test_a_value_may_be_25_mib_and_no_more(self, kv: httpx2.Client) -> None:
        result(put(kv, "large", b"x" * VALUE_LIMIT))

        assert refusal(put(kv, "large", b"x" * (VALUE_LIMIT + 1))) == (413, 10030)

    def test_a_key_may_be_512_bytes_and_no_more(self, kv: httpx2.Client) -> None:
        result(put(kv, "é" * 256, "x"))

        assert refusal(put(kv, "é" * 256 + "x", "x")) == (400, 10030)

    def test_metadata_may_be_1024_bytes_and_no_more(self, kv: httpx2.Client) -> None:
        text = "x" * 1022  # and two quotation marks
        result(put_pairs(kv, {"key": "described", "value": "x", "metadata": text}))

        assert refusal(put_pairs(kv, {"key": "described", "value": "x", "metadata": text + "x"})) == (400, 10030)

    def test_an_expiration_is_at_least_60_seconds_away(self, kv: httpx2.Client) -> None:
        result(put(kv, "brief", "x", expiration_ttl=60))
        result(put(kv, "brief", "x", expiration=int(time.time()) + 120))

        assert refusal(put(kv, "brief", "x", expiration_ttl=59)) == (400, 10030)
        assert refusal(put(kv, "brief", "x", expiration=int(time.time()) + 30)) == (400, 10030)

    def test_of_both_expirations_the_time_to_live_counts(self, kv: httpx2.Client) -> None:
        put(kv, "ttl", "x", expiration=int(time.time()) + 10_000_000, expiration_ttl=3600)

        assert 0 < listed(kv, "ttl")["expiration"] - time.time() <= 3600


class TestBulk:
    def test_pairs_are_written_together(self, kv: httpx2.Client) -> None:
        encoded = base64.b64encode(b"\x00\xff").decode()
        expiration = int(time.time()) + 3600
        written = put_pairs(
            kv,
            {"key": "bulk:text", "value": "one", "metadata": {"version": 1}},
            {"key": "bulk:bytes", "value": encoded, "base64": True},
            {"key": "bulk:brief", "value": "three", "expiration": expiration},
        )

        assert result(written) == {"successful_key_count": 3, "unsuccessful_keys": []}
        assert get(kv, "bulk:text").text == "one"
        assert result(kv.get("metadata/bulk:text")) == {"version": 1}
        assert get(kv, "bulk:bytes").content == b"\x00\xff"
        assert listed(kv, "bulk:brief")["expiration"] == expiration

    @pytest.mark.parametrize(
        "pair",
        [
            {"value": "no key"},
            {"key": "", "value": "x"},
            {"key": "..", "value": "x"},
            {"key": "k"},
            {"key": "k", "value": 1},
            {"key": "k", "value": "x", "expiration_ttl": 59},
            None,
        ],
    )
    def test_one_bad_pair_refuses_the_call_and_writes_nothing(self, kv: httpx2.Client, pair: Any) -> None:
        answer = put_pairs(kv, {"key": "innocent", "value": "x"}, pair)

        assert refusal(answer) == (400, 10030)
        assert get(kv, "innocent").status_code == 404

    def test_a_write_takes_at_most_10_000_pairs(self, kv: httpx2.Client) -> None:
        pairs = [{"key": "many", "value": "x"}] * 10_001

        assert refusal(put_pairs(kv, *pairs)) == (400, 10030)

    def test_a_body_that_is_no_list_is_refused(self, kv: httpx2.Client) -> None:
        assert refusal(kv.put("bulk", json={"key": "k", "value": "v"})) == (400, 10030)
        assert refusal(kv.put("bulk", content=b"[{")) == (400, 10030)

    def test_keys_are_deleted_together(self, kv: httpx2.Client) -> None:
        put_pairs(kv, {"key": "gone:1", "value": "x"}, {"key": "gone:2", "value": "x"})

        deleted = kv.post("bulk/delete", json=["gone:1", "gone:2", "gone:never-there"])

        assert result(deleted) == {"successful_key_count": 3, "unsuccessful_keys": []}
        assert get(kv, "gone:1").status_code == 404

    def test_values_are_read_together_and_a_missing_one_is_null(self, kv: httpx2.Client) -> None:
        put_pairs(kv, {"key": "read:1", "value": "one"})

        values = result(kv.post("bulk/get", json={"keys": ["read:1", "read:2"]}))["values"]

        assert values == {"read:1": "one", "read:2": None}

    def test_values_are_read_as_json_with_their_metadata(self, kv: httpx2.Client) -> None:
        put_pairs(kv, {"key": "json:1", "value": '{"a": 1}', "metadata": {"version": 3}})

        body = {"keys": ["json:1", "json:2"], "type": "json", "withMetadata": True}
        values = result(kv.post("bulk/get", json=body))["values"]

        assert values == {"json:1": {"value": {"a": 1}, "metadata": {"version": 3}}, "json:2": None}

    def test_a_read_takes_100_keys_and_no_more(self, kv: httpx2.Client) -> None:
        keys = [f"absent:{number}" for number in range(101)]

        assert len(result(kv.post("bulk/get", json={"keys": keys[:100]}))["values"]) == 100
        assert refusal(kv.post("bulk/get", json={"keys": keys})) == (400, 10030)


class TestList:
    def test_keys_are_listed_by_prefix_page_by_page(self, kv: httpx2.Client) -> None:
        names = [f"page:{number:02}" for number in range(25)]
        put_pairs(kv, *({"key": name, "value": "x"} for name in names))

        seen: list[str] = []
        cursor: str | None = None
        while cursor != "":
            page = kv.get("keys", params={"prefix": "page:", "limit": 10, "cursor": cursor or ""})
            seen += [entry["name"] for entry in result(page)]
            cursor = page.json()["result_info"]["cursor"]

        assert seen == names

    @pytest.mark.parametrize(("limit", "status"), [(9, 400), (10, 200), (1000, 200), (1001, 400)])
    def test_a_page_has_10_to_1000_keys(self, kv: httpx2.Client, limit: int, status: int) -> None:
        assert kv.get("keys", params={"limit": limit}).status_code == status


class TestFaults:
    def test_a_bulk_write_names_the_keys_that_failed(self, faulty: httpx2.Client) -> None:
        written = put_pairs(faulty, {"key": "unlucky:1", "value": "x"}, {"key": "lucky:1", "value": "x"})

        assert result(written) == {"successful_key_count": 1, "unsuccessful_keys": ["unlucky:1"]}
        assert get(faulty, "lucky:1").text == "x"
        assert get(faulty, "unlucky:1").status_code == 404

    def test_a_call_above_the_rate_is_refused_with_the_time_to_wait(self, faulty: httpx2.Client) -> None:
        answers = [faulty.get("keys") for _ in range(6)]

        assert refusal(answers[-1]) == (429, 971)
        assert 0 < int(answers[-1].headers["retry-after"]) <= 300
