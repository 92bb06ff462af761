"""The control plane's signed calls to a Wallet."""

import json
from typing import Any

import pytest

from gateway.internal import MAX_BODY_BYTES
from gateway.signing import FRESH_FOR_S, SIGNATURE_HEADER, SignedCall, sign
from gateway.wallet_delivery import due_records
from tests.unit.gateway.catalogues import ACCOUNT, KEY_ID, NOW_MS
from tests.unit.gateway.fakes import INTERNAL_SECRET, Answer, FakePorts, ask
from tests.unit.gateway.wallets import grant_of, hold, hold_request, record, settle

GRANT = grant_of("credit:1", 5).to_json()


async def call(
    ports: FakePorts,
    operation: str,
    body: Any = None,
    *,
    nonce: str = "n" * 16,
    secret: str = INTERNAL_SECRET,
    at_s: int = NOW_MS // 1_000,
    raw: bytes | None = None,
    sent: bytes | None = None,
) -> Answer:
    """A signed call; ``sent`` is another body than the one that was signed."""
    path, text = f"/internal/wallets/{ACCOUNT}/{operation}", json.dumps(body or {}).encode() if raw is None else raw
    headers = sign(SignedCall(method="POST", path=path, body=text), secret=secret, now_s=at_s, nonce=nonce)
    return await ask(ports, "POST", path, body=text if sent is None else sent, headers=headers, api_key=None)


def empty() -> FakePorts:
    return FakePorts(balance_usd=0)


async def test_grants_are_applied_once_and_answered_the_same_each_time() -> None:
    ports = empty()

    first = await call(ports, "grants", {"grants": [GRANT]}, nonce="a" * 16)
    second = await call(ports, "grants", {"grants": [GRANT]}, nonce="b" * 16)

    assert first.json() == second.json() == {"applied": ["credit:1"]}
    assert (await call(ports, "state")).json()["granted_nano_usd"] == 5


async def test_a_grant_of_other_content_is_a_conflict() -> None:
    ports = empty()
    await call(ports, "grants", {"grants": [GRANT]}, nonce="a" * 16)

    answer = await call(ports, "grants", {"grants": [{**GRANT, "amount_nano_usd": 6}]}, nonce="b" * 16)

    assert (answer.status, answer.error()["code"]) == (409, "conflict")


async def test_a_revoked_key_is_refused_at_once() -> None:
    ports = empty()

    answer = await call(ports, "revocations", {"key_ids": [KEY_ID]})

    assert answer.json() == {"revoked": [KEY_ID]}
    assert hold(ports.store(), hold_request("r1", 0)).refused == "key_revoked"


async def test_the_state_is_told() -> None:
    ports = FakePorts()
    hold(ports.store(), hold_request("r1", 60))

    assert (await call(ports, "state")).json() == {
        "account_id": ACCOUNT,
        "granted_nano_usd": 10**9,
        "settled_nano_usd": 0,
        "held_nano_usd": 60,
        "open_holds": 1,
        "unacknowledged_records": 0,
    }


async def test_a_replay_makes_every_record_due() -> None:
    ports = FakePorts()
    hold(ports.store(), hold_request("r1", 60))
    settle(ports.store(), record("r1", 30))
    due_records(ports.store(), now_ms=NOW_MS)

    assert (await call(ports, "replay")).json() == {"records": 1}
    assert len(due_records(ports.store(), now_ms=NOW_MS)) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret": "another"},
        {"at_s": NOW_MS // 1_000 - FRESH_FOR_S - 1},
        {"at_s": NOW_MS // 1_000 + FRESH_FOR_S + 1},
        {"nonce": "short"},
        {"sent": b'{"grants":[]}'},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
async def test_a_forged_stale_or_altered_call_changes_nothing(wrong: dict[str, Any]) -> None:
    ports = empty()
    before = ports.store().dump()

    answer = await call(ports, "grants", {"grants": [GRANT]}, **wrong)

    assert (answer.status, answer.error()["code"]) == (401, "invalid_signature")
    assert ports.store().dump() == before


async def test_an_unsigned_call_is_refused_even_with_a_customer_s_key() -> None:
    answer = await ask(empty(), "POST", f"/internal/wallets/{ACCOUNT}/state", headers={SIGNATURE_HEADER: "v1=0"})

    assert answer.status == 401


async def test_without_a_secret_no_call_is_taken() -> None:
    ports = empty()
    ports.internal_secret = ""

    assert (await call(ports, "state")).status == 401


async def test_a_call_that_is_replayed_is_refused() -> None:
    ports = empty()
    await call(ports, "grants", {"grants": [GRANT]})
    before = ports.store().dump()

    answer = await call(ports, "grants", {"grants": [GRANT]})

    assert (answer.status, answer.error()["code"]) == (401, "invalid_signature")
    assert ports.store().dump() == before


@pytest.mark.parametrize("raw", [b"[]", b"null", b"{", b'{}{"x":1}', b"\xff"])
async def test_a_signed_body_that_is_no_json_object_is_refused(raw: bytes) -> None:
    answer = await call(empty(), "state", raw=raw)

    assert (answer.status, answer.error()["code"]) == (400, "invalid_request")


@pytest.mark.parametrize(("size", "status"), [(MAX_BODY_BYTES, 400), (MAX_BODY_BYTES + 1, 413)])
async def test_a_body_may_be_as_long_as_the_limit(size: int, status: int) -> None:
    assert (await call(empty(), "state", raw=b"x" * size)).status == status


@pytest.mark.parametrize("path", [f"{ACCOUNT}/hold", f"{ACCOUNT}/settle", f"{ACCOUNT}/", ACCOUNT, "/state"])
async def test_only_the_control_plane_s_operations_can_be_called(path: str) -> None:
    assert (await ask(empty(), "POST", f"/internal/wallets/{path}")).status == 404


@pytest.mark.parametrize("nonce", ["n" * 16, 'quote"and\\slash"'])
async def test_the_nonce_that_is_used_up_is_the_one_that_was_signed(nonce: str) -> None:
    ports = empty()

    forged = await call(ports, "state", raw=b'{},"nonce":"another-nonce-of-the-body"', nonce=nonce)
    honest = await call(ports, "state", {"nonce": "of the body"}, nonce=nonce)

    assert (forged.status, honest.status) == (400, 200)
    assert [row[0] for row in ports.store().dump()["nonces"]] == [nonce]


async def test_a_wallet_that_does_not_answer_is_said() -> None:
    ports = empty()
    ports.wallet_fails()

    assert (await call(ports, "state")).status == 503
