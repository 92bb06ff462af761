"""The signed calls of the edge: who may make them, what they may hold, and what they are answered."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from control_plane import heartbeat, ledger, usage
from control_plane.api import internal, problems
from control_plane.api.dependencies import get_services
from control_plane.api.internal import BODY_MAX_BYTES
from control_plane.heartbeat import Heartbeat, LastHeartbeat
from control_plane.intake import Intake
from control_plane.nonces import KEPT_FOR_MS, nonces
from control_plane.quarantine import quarantine
from control_plane.store import Store
from control_plane.usage_reports import RECORDS_MAX
from gateway.money import NanoUsd
from gateway.records import UsageRecord
from gateway.signing import FRESH_FOR_S, SignedCall, sign
from tests.unit.control_plane.books import NOW_MS, RECORD, count, ledger_balance, open_books, record_of

SECRET = "the secret of both programs"
USAGE, HEARTBEAT = "/internal/usage", "/internal/heartbeat"


@dataclass(frozen=True)
class Secrets:
    internal_secret: SecretStr


class ControlPlane:
    """The internal routes over real books, with a clock that stands until it is moved, and an edge that signs."""

    def __init__(self, store: Store, client: httpx2.AsyncClient) -> None:
        self.settings = Secrets(internal_secret=SecretStr(SECRET))
        self.store = store
        self.intake = Intake(store=store, now_ms=self.now_ms)
        self.client = client
        self.time_ms = NOW_MS
        self._nonces = 0

    def now_ms(self) -> int:
        return self.time_ms

    def signed(self, path: str, body: bytes, **changes: Any) -> dict[str, str]:
        """Headers of a genuine call, unless something is changed."""
        self._nonces += 1
        values: dict[str, Any] = {
            "secret": SECRET,
            "now_s": self.time_ms // 1000,
            "nonce": f"nonce-{self._nonces:016d}",
        } | changes
        return sign(SignedCall(method="POST", path=path, body=body), **values)

    async def post(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> httpx2.Response:
        return await self.client.post(path, content=body, headers=headers or self.signed(path, body))


@asynccontextmanager
async def open_control_plane() -> AsyncIterator[ControlPlane]:
    app = FastAPI()
    problems.install(app)
    app.include_router(internal.router)
    transport = httpx2.ASGITransport(app=app)
    async with open_books() as store, httpx2.AsyncClient(transport=transport, base_url="http://control") as client:
        control_plane = ControlPlane(store, client)
        app.dependency_overrides[get_services] = lambda: control_plane
        yield control_plane


@pytest.fixture
async def control_plane() -> AsyncIterator[ControlPlane]:
    async with open_control_plane() as running:
        yield running


def batch(*records: UsageRecord) -> bytes:
    return json.dumps({"records": [record.to_json() for record in records]}).encode()


def assert_problem(answer: httpx2.Response, status: int, code: str) -> None:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"urn:haotokai:problem:{code}"


async def test_usage_is_answered_with_what_became_of_each_record(control_plane: ControlPlane) -> None:
    wrong = record_of("req_wrong", cost_nano_usd=NanoUsd(1))
    await control_plane.post(USAGE, batch(RECORD))
    answer = await control_plane.post(USAGE, batch(RECORD, record_of("req_2"), wrong))

    assert answer.status_code == 200
    assert answer.json() == {
        "booked": ["req_2"],
        "known": ["req_1"],
        "quarantined": [{"request_id": "req_wrong", "reason": "the cost should be 4000 nano-USD"}],
    }
    async with control_plane.store.read() as connection:
        assert await ledger_balance(connection, ledger.USAGE_REVENUE) == RECORD.cost_nano_usd + 4_000
        assert await count(connection, quarantine) == 1


async def test_a_malformed_record_does_not_hold_up_its_batch(control_plane: ControlPlane) -> None:
    body = json.dumps({"records": [{"request_id": "req_odd"}, RECORD.to_json()]}).encode()
    answer = await control_plane.post(USAGE, body)

    assert answer.json() == {
        "booked": ["req_1"],
        "known": [],
        "quarantined": [{"request_id": "req_odd", "reason": "malformed: account_id: Field required"}],
    }


async def test_a_batch_may_be_empty_or_full_and_no_fuller(control_plane: ControlPlane) -> None:
    full = [record_of(f"req_{number}") for number in range(RECORDS_MAX)]
    empty = await control_plane.post(USAGE, batch())
    filled = await control_plane.post(USAGE, batch(*full))
    too_full = await control_plane.post(USAGE, batch(*full, record_of("req_more")))

    assert empty.json() == {"booked": [], "known": [], "quarantined": []}
    assert len(filled.json()["booked"]) == RECORDS_MAX
    assert_problem(too_full, 422, "invalid_request")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff", b"[]", b"{}", b'{"records":{}}', b'{"records":[7]}', b'{"records":[{}]}', b"[" * 100_000],
    ids=["empty", "cut", "not UTF-8", "list", "no records", "object", "number", "no request id", "deep"],
)
async def test_a_body_that_is_no_batch_is_refused(control_plane: ControlPlane, body: bytes) -> None:
    assert_problem(await control_plane.post(USAGE, body), 422, "invalid_request")


async def test_a_body_may_have_its_greatest_size_and_not_a_byte_more(control_plane: ControlPlane) -> None:
    body = batch(RECORD)
    greatest = body + b" " * (BODY_MAX_BYTES - len(body))

    assert (await control_plane.post(USAGE, greatest)).status_code == 200
    assert_problem(await control_plane.post(USAGE, greatest + b" "), 413, "request_too_large")


@pytest.mark.parametrize("path", [USAGE, HEARTBEAT])
async def test_an_unsigned_call_is_refused(control_plane: ControlPlane, path: str) -> None:
    answer = await control_plane.client.post(path, content=batch(RECORD))

    assert_problem(answer, 401, "signature_refused")


async def test_a_signature_covers_the_raw_body_the_path_and_the_secret(control_plane: ControlPlane) -> None:
    body = batch(RECORD)
    forged = [
        control_plane.signed(USAGE, body + b" "),
        control_plane.signed(HEARTBEAT, body),
        control_plane.signed(USAGE, body, secret="another secret"),
    ]

    for headers in forged:
        assert_problem(await control_plane.post(USAGE, body, headers), 401, "signature_refused")
    async with control_plane.store.read() as connection:
        assert await count(connection, usage.usage_records) == 0


async def test_a_refused_signature_is_answered_before_the_body_is_parsed(control_plane: ControlPlane) -> None:
    answer = await control_plane.client.post(USAGE, content=b"{")

    assert_problem(answer, 401, "signature_refused")


@pytest.mark.parametrize("path", [USAGE, HEARTBEAT])
async def test_a_call_is_good_once(control_plane: ControlPlane, path: str) -> None:
    body = batch(RECORD) if path == USAGE else b'{"catalogue_version":1,"at_ms":1}'
    headers = control_plane.signed(path, body)

    assert (await control_plane.post(path, body, headers)).is_success
    assert_problem(await control_plane.post(path, body, headers), 401, "signature_refused")


@pytest.mark.parametrize("skew_s", [-FRESH_FOR_S, FRESH_FOR_S])
async def test_a_call_is_fresh_as_long_as_promised_and_no_longer(control_plane: ControlPlane, skew_s: int) -> None:
    now_s = NOW_MS // 1000
    body = batch(RECORD)
    stale = control_plane.signed(USAGE, body, now_s=now_s + skew_s + (1 if skew_s > 0 else -1))
    fresh = control_plane.signed(USAGE, body, now_s=now_s + skew_s)

    assert_problem(await control_plane.post(USAGE, body, stale), 401, "signature_refused")
    assert (await control_plane.post(USAGE, body, fresh)).status_code == 200


async def test_a_replay_is_refused_for_as_long_as_the_call_is_fresh(control_plane: ControlPlane) -> None:
    """A caller whose clock is ahead by all that is allowed signs calls that stay fresh for twice the time."""
    body = batch(RECORD)
    headers = control_plane.signed(USAGE, body, now_s=NOW_MS // 1000 + FRESH_FOR_S)
    await control_plane.post(USAGE, body, headers)
    control_plane.time_ms += 2 * FRESH_FOR_S * 1000
    await control_plane.post(USAGE, batch())

    answer = await control_plane.post(USAGE, body, headers)

    assert_problem(answer, 401, "signature_refused")
    assert answer.json()["detail"] == "the call was made before"


async def test_a_nonce_is_forgotten_when_its_call_has_gone_stale(control_plane: ControlPlane) -> None:
    await control_plane.post(USAGE, batch())
    control_plane.time_ms += KEPT_FOR_MS + 1
    await control_plane.post(USAGE, batch())

    async with control_plane.store.read() as connection:
        assert await count(connection, nonces) == 1


async def test_a_call_that_was_refused_for_its_body_does_not_spend_its_nonce(control_plane: ControlPlane) -> None:
    await control_plane.post(USAGE, b"{")

    async with control_plane.store.read() as connection:
        assert await count(connection, nonces) == 0


async def test_a_heartbeat_is_remembered_in_place_of_the_one_before(control_plane: ControlPlane) -> None:
    for version in (1, 2):
        body = json.dumps({"catalogue_version": version, "at_ms": NOW_MS - 7}).encode()
        answer = await control_plane.post(HEARTBEAT, body)
        assert (answer.status_code, answer.content) == (204, b"")

    async with control_plane.store.read() as connection:
        assert await heartbeat.last(connection) == LastHeartbeat(
            heartbeat=Heartbeat(catalogue_version=2, at_ms=NOW_MS - 7), received_at_ms=NOW_MS
        )


async def test_an_edge_without_a_catalogue_is_at_version_zero(control_plane: ControlPlane) -> None:
    await control_plane.post(HEARTBEAT, b'{"catalogue_version":null,"at_ms":5}')

    async with control_plane.store.read() as connection:
        last = await heartbeat.last(connection)
    assert last is not None
    assert last.heartbeat.catalogue_version == 0


async def test_before_the_first_heartbeat_there_is_none(control_plane: ControlPlane) -> None:
    async with control_plane.store.read() as connection:
        assert await heartbeat.last(connection) is None


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"catalogue_version":1,"at_ms":"now"}'])
async def test_a_body_that_is_no_heartbeat_is_refused(control_plane: ControlPlane, body: bytes) -> None:
    assert_problem(await control_plane.post(HEARTBEAT, body), 422, "invalid_request")
