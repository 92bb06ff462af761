"""What is delivered twice, late or out of order counts once; what is not signed, fresh and new counts not at all."""

import asyncio
import json
import random
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

import httpx2
import pytest

from gateway.money import NanoUsd
from gateway.records import Attempt, Usage, UsageRecord
from gateway.signing import FRESH_FOR_S, NONCE_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER
from tests.e2e.admin import Account, Record
from tests.e2e.internal import USAGE_PATH, Internal, wallet_path
from tests.e2e.purse import Bench, bodies, nano_usd, start

CALLS = 12
SEED = 7
SOME_GRANT = {"grants": [{"id": "forged", "kind": "credit", "amount_nano_usd": 10**9}]}


async def spend(bench: Bench) -> Account:
    """An account with usage that was booked."""
    account = bench.admin.open_account()
    async with bench.caller(account) as client:
        await asyncio.gather(*start(client, bodies(CALLS)))
    await asyncio.to_thread(bench.books, account)
    return account


def as_sent(shown: Record) -> UsageRecord:
    """The record that the edge sent, from what the books show of it."""
    values = dict(shown)
    started_at_ms = round(datetime.fromisoformat(values.pop("started_at")).timestamp() * 1000)
    usage = Usage(**{field.name: values.pop(field.name) for field in fields(Usage)})
    attempts = tuple(Attempt(**attempt) for attempt in values.pop("attempts"))
    return UsageRecord(**values, usage=usage, attempts=attempts, started_at_ms=started_at_ms)


async def test_usage_that_comes_again_in_any_order_changes_nothing(bench: Bench) -> None:
    account = await spend(bench)
    before = bench.books(account)
    records = [as_sent(shown) for shown in before.records]
    shuffled = random.Random(SEED).sample(records, CALLS)  # noqa: S311 (an order, no secret)

    deliveries = [records, records[::-1], records[:5], shuffled, records[-1:] * 3 + records]
    outcomes = [bench.internal.report(delivery) for delivery in deliveries]

    for delivery, outcome in zip(deliveries, outcomes, strict=True):
        assert outcome == {"booked": [], "known": [record.request_id for record in delivery], "quarantined": []}
    assert bench.books(account) == before
    before.assert_equal()


async def test_usage_of_a_known_call_with_other_content_is_put_aside(bench: Bench) -> None:
    account = await spend(bench)
    before = bench.books(account)
    record = as_sent(before.records[0])
    dearer = replace(record, cost_nano_usd=NanoUsd(record.cost_nano_usd + 1))

    outcome = bench.internal.report([dearer])

    assert [item["request_id"] for item in outcome["quarantined"]] == [record.request_id]
    assert bench.books(account) == before


async def test_usage_whose_cost_is_not_its_price_is_put_aside(bench: Bench) -> None:
    account = await spend(bench)
    before = bench.books(account)
    record = as_sent(before.records[0])
    changes: list[dict[str, Any]] = [
        {"cost_nano_usd": NanoUsd(record.cost_nano_usd - 1)},
        {"usage": replace(record.usage, completion_tokens=record.usage.completion_tokens + 1)},
        {"price_row": "unknown"},
        {"price_row": None},
        {"account_id": "acct_unknown"},
    ]
    wrong = [replace(record, request_id=f"{record.request_id}{n}", **change) for n, change in enumerate(changes)]

    outcome = bench.internal.report(wrong)

    assert outcome["booked"] == outcome["known"] == []
    assert [item["request_id"] for item in outcome["quarantined"]] == [record.request_id for record in wrong]
    assert bench.books(account) == before


HEADERS = (TIMESTAMP_HEADER, NONCE_HEADER, SIGNATURE_HEADER)
SIGNED_WITH: dict[str, dict[str, Any]] = {
    "another secret": {"secret": "another-secret-of-32-characters!"},
    "another body": {"content": b'{"records":[] }'},
    "another path": {"path": "/internal/other"},
    "stale": {"age_s": FRESH_FOR_S + 60},
    "from the future": {"age_s": -FRESH_FOR_S - 60},
}
LEFT_OUT = {"unsigned": HEADERS, **{f"without {header}": (header,) for header in HEADERS}}
FORGERIES = (*SIGNED_WITH, *LEFT_OUT)


def forged_headers(internal: Internal, path: str, content: bytes, forgery: str) -> dict[str, str]:
    """Those of a genuine call, but for the one thing that is wrong."""
    signed = internal.signed(**{"path": path, "content": content, **SIGNED_WITH.get(forgery, {})})
    return {name: value for name, value in signed.items() if name not in LEFT_OUT.get(forgery, ())}


def assert_refused(answer: httpx2.Response) -> None:
    assert answer.status_code == 401
    assert "secret" not in answer.text


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_or_stale_call_to_the_edge_is_refused(bench: Bench, forgery: str) -> None:
    account = bench.admin.open_account(credit_usd="1.00")
    bodies_by_operation = {"grants": SOME_GRANT, "revocations": {"key_ids": ["k"]}, "state": {}, "replay": {}}

    for operation, body in bodies_by_operation.items():
        path, content = wallet_path(account.id, operation), json.dumps(body).encode()
        headers = forged_headers(bench.internal, path, content, forgery)
        assert_refused(bench.internal.post_to_edge(path, content, headers))

    assert bench.internal.state(account.id).granted_nano_usd == nano_usd("1.00")


def test_a_replayed_call_to_the_edge_is_refused(bench: Bench) -> None:
    account = bench.admin.open_account(credit_usd="1.00")
    path, content = wallet_path(account.id, "grants"), json.dumps(SOME_GRANT).encode()
    call = (path, content, bench.internal.signed(path, content))

    first, second = bench.internal.post_to_edge(*call), bench.internal.post_to_edge(*call)

    assert first.status_code == 200
    assert_refused(second)
    assert bench.internal.state(account.id).granted_nano_usd == nano_usd("2.00")


def test_a_call_for_one_wallet_is_not_taken_by_another(bench: Bench) -> None:
    one, other = bench.admin.open_account(), bench.admin.open_account()
    content = json.dumps(SOME_GRANT).encode()
    headers = bench.internal.signed(wallet_path(one.id, "grants"), content)

    assert_refused(bench.internal.post_to_edge(wallet_path(other.id, "grants"), content, headers))


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_or_stale_call_to_the_control_plane_is_refused(bench: Bench, forgery: str) -> None:
    calls = {USAGE_PATH: {"records": []}, "/internal/heartbeat": {"catalogue_version": 1, "at_ms": 1}}

    for path, body in calls.items():
        content = json.dumps(body).encode()
        headers = forged_headers(bench.internal, path, content, forgery)
        assert_refused(bench.internal.post_to_control_plane(path, content, headers))


def test_a_replayed_call_to_the_control_plane_is_refused(bench: Bench) -> None:
    content = json.dumps({"records": []}).encode()
    call = (USAGE_PATH, content, bench.internal.signed(USAGE_PATH, content))

    first, second = bench.internal.post_to_control_plane(*call), bench.internal.post_to_control_plane(*call)

    assert first.status_code == 200
    assert_refused(second)
