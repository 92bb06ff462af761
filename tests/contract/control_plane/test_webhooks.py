"""PayPal's webhooks: what was not sent by PayPal is refused, and what was is dealt with once."""

import asyncio
import base64
import json
import zlib
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from control_plane.inbox import inbox
from control_plane.paypal_webhooks import BODY_MAX_BYTES, FUTURE_MAX_MS, PAST_MAX_MS
from local.paypal.books import Event
from tests.contract.control_plane.deliveries import (
    now_text,
    raw_event,
    refused,
    signed_at,
)
from tests.contract.control_plane.forgery import with_checksum
from tests.contract.control_plane.paypal_world import PayPalWorld
from tests.contract.control_plane.world import assert_problem


async def test_a_delivery_by_paypal_is_dealt_with(paypal: PayPalWorld, event: Event) -> None:
    answer = await paypal.deliver(event)

    assert answer.json() == {"outcome": "done"}
    assert await paypal.balance() == "10.00"


async def test_the_same_delivery_ten_times_at_once_credits_once(paypal: PayPalWorld, event: Event) -> None:
    headers = paypal.signed(event.raw.encode())
    answers = await asyncio.gather(*(paypal.deliver(event, headers) for _ in range(10)))
    again = await paypal.deliver(event, headers)

    outcomes = sorted(answer.json()["outcome"] for answer in answers)
    assert outcomes == ["done"] + ["seen"] * 9
    assert again.json() == {"outcome": "seen"}
    assert await paypal.balance() == "10.00"
    assert len(await paypal.wallet()) == 1


async def test_an_event_that_is_sent_again_in_a_new_transmission_is_seen(paypal: PayPalWorld, event: Event) -> None:
    await paypal.deliver(event)

    assert (await paypal.deliver(event)).json() == {"outcome": "seen"}


async def test_an_event_of_another_kind_is_irrelevant(paypal: PayPalWorld) -> None:
    answer = await paypal.deliver(raw_event("BILLING.SUBSCRIPTION.CREATED", "subscription", {"id": "I-1"}))

    assert answer.json() == {"outcome": "irrelevant"}
    assert paypal.wire.made("GET", "I-1") == []


async def test_a_capture_of_another_merchant_is_irrelevant(paypal: PayPalWorld) -> None:
    await paypal.paid()
    foreign = raw_event("PAYMENT.CAPTURE.COMPLETED", "capture", {"id": "9XX00000XX000000X"})

    assert (await paypal.deliver(foreign)).json() == {"outcome": "irrelevant"}
    assert await paypal.balance() == "10.00"


async def test_a_delivery_that_may_not_be_looked_up_now_is_asked_for_again(paypal: PayPalWorld) -> None:
    account = {"name": "AUTHENTICATION_FAILURE", "details": [{"issue": "INVALID_ACCOUNT_STATUS"}]}
    paypal.wire.replaced = lambda request: (
        httpx2.Response(401, json=account) if "/captures/" in request.url.path else None
    )

    answer = await paypal.deliver(raw_event("PAYMENT.CAPTURE.COMPLETED", "capture", {"id": "9XX00000XX000000X"}))

    assert_problem(answer, 503, "payment_provider_unavailable")


async def test_a_capture_that_is_only_linked_to_its_order_finds_its_top_up(paypal: PayPalWorld) -> None:
    topup = await paypal.start()
    paypal.approve(topup)
    paypal.desk.orders.capture(paypal.order(topup).id)
    resource = json.loads(paypal.event("PAYMENT.CAPTURE.COMPLETED").raw)["resource"]
    resource.pop("supplementary_data", None)

    answer = await paypal.deliver(raw_event("PAYMENT.CAPTURE.COMPLETED", "capture", resource))

    assert answer.json() == {"outcome": "done"}
    assert await paypal.balance() == "10.00"


async def test_a_capture_that_names_no_order_is_asked_about(paypal: PayPalWorld) -> None:
    topup = await paypal.start()
    paypal.approve(topup)
    paypal.desk.orders.capture(paypal.order(topup).id)
    bare = {"id": paypal.capture(topup).id}

    answer = await paypal.deliver(raw_event("PAYMENT.CAPTURE.COMPLETED", "capture", bare))

    assert answer.json() == {"outcome": "done"}
    assert await paypal.balance() == "10.00"


async def test_the_amounts_of_a_body_are_not_believed(paypal: PayPalWorld, event: Event) -> None:
    body = json.loads(event.raw)
    body["resource"]["purchase_units"][0]["amount"]["value"] = "9999.00"

    answer = await paypal.deliver(json.dumps(body).encode())

    assert answer.json() == {"outcome": "done"}
    assert await paypal.balance() == "10.00"


async def test_of_a_delivery_only_ids_are_kept(paypal: PayPalWorld, event: Event) -> None:
    await paypal.deliver(event)

    async with paypal.world.services.store.read() as connection:
        [row] = (await connection.execute(select(inbox))).all()
    assert (row.event_id, row.event_type, row.outcome) == (event.id, "CHECKOUT.ORDER.APPROVED", "done")
    assert not any("john.doe@example.com" in str(value) for value in row)


async def test_another_webhooks_signature_is_refused(paypal: PayPalWorld, event: Event) -> None:
    signer = replace(paypal.desk.signer, webhook_id="WEBHOOK_ID")
    raw = event.raw.encode()
    headers = signer.headers(raw, transmission_id="t-1", transmission_time=now_text(paypal))

    await refused(paypal, event, headers)


async def test_a_body_with_one_changed_byte_is_refused(paypal: PayPalWorld, event: Event) -> None:
    headers = paypal.signed(event.raw.encode())

    await refused(paypal, event.raw.replace("APPROVED", "APPROVEE", 1).encode(), headers)


async def test_the_same_json_in_other_bytes_is_refused(paypal: PayPalWorld, event: Event) -> None:
    headers = paypal.signed(event.raw.encode())

    await refused(paypal, json.dumps(json.loads(event.raw)).encode(), headers)


async def test_another_body_with_the_same_checksum_brings_nothing(paypal: PayPalWorld, event: Event) -> None:
    raw = event.raw.encode()
    body = json.loads(raw) | {"id": "WH-FORGED", "event_type": "PAYMENT.CAPTURE.COMPLETED", "resource_type": "capture"}
    body["resource"] = {"id": "FORGED", "status": "COMPLETED", "amount": {"currency_code": "USD", "value": "9999.00"}}
    forged = with_checksum(body, zlib.crc32(raw))
    answer = await paypal.deliver(forged, paypal.signed(raw))

    assert zlib.crc32(forged) == zlib.crc32(raw)
    assert answer.json() == {"outcome": "irrelevant"}, "the signature holds, so the ids are looked at, and only they"
    assert await paypal.balance() == "0.00"


async def test_a_replayed_transmission_with_another_event_is_refused(paypal: PayPalWorld, event: Event) -> None:
    raw = event.raw.encode()
    headers = paypal.signed(raw)
    await paypal.deliver(event, headers)
    forged = with_checksum(json.loads(raw) | {"id": "WH-FORGED"}, zlib.crc32(raw))

    assert_problem(await paypal.deliver(forged, headers), 400, "delivery_refused")
    assert len(await paypal.wallet()) == 1


@pytest.mark.parametrize(
    "header", ["transmission_id", "transmission_time", "transmission_sig", "cert_url", "auth_algo"]
)
async def test_a_delivery_without_a_header_is_refused(paypal: PayPalWorld, event: Event, header: str) -> None:
    await refused(paypal, event, None, **{header: None})


@pytest.mark.parametrize(
    "changed",
    [
        {"auth_algo": "SHA1withRSA"},
        {"auth_algo": "none"},
        {"transmission_sig": "not base64"},
        {"transmission_sig": base64.b64encode(b"\0" * 256).decode()},
        {"transmission_sig": "A" * 5000},
        {"transmission_time": "yesterday"},
        {"transmission_time": "2026-11-24T06:00:00"},
        {"transmission_id": "another"},
    ],
)
async def test_a_delivery_with_an_unfit_header_is_refused(
    paypal: PayPalWorld, event: Event, changed: dict[str, str]
) -> None:
    await refused(paypal, event, None, **changed)


@pytest.mark.parametrize("raw", [b"", b"null", b"[]", b"{", b"\xff\xfe", b"[" * 5000, b'{"id": 1}', b'{"id": "WH-1"}'])
async def test_a_body_that_is_no_event_is_refused(paypal: PayPalWorld, raw: bytes) -> None:
    await refused(paypal, raw, paypal.signed(raw))


@pytest.mark.parametrize(
    ("event_type", "resource_type", "resource"),
    [
        ("PAYMENT.CAPTURE.COMPLETED", "capture", {}),
        ("PAYMENT.CAPTURE.COMPLETED", "capture", {"id": "../../v1/oauth2"}),
        ("PAYMENT.CAPTURE.REFUNDED", "refund", {"id": 1}),
        ("CUSTOMER.DISPUTE.CREATED", "dispute", {"dispute_id": "PP-1"}),
        ("CHECKOUT.ORDER.APPROVED", "checkout-order", {}),
    ],
)
async def test_an_event_that_does_not_name_what_it_is_about_is_refused(
    paypal: PayPalWorld, event_type: str, resource_type: str, resource: dict[str, Any]
) -> None:
    raw = raw_event(event_type, resource_type, resource)

    await refused(paypal, raw, paypal.signed(raw))


async def test_a_body_may_be_so_large_and_no_larger(paypal: PayPalWorld, event: Event) -> None:
    raw = event.raw.encode().ljust(BODY_MAX_BYTES)

    assert (await paypal.deliver(raw)).status_code == 200
    assert_problem(await paypal.deliver(raw + b" "), 413, "request_too_large")


@pytest.mark.parametrize("offset_ms", [-PAST_MAX_MS, FUTURE_MAX_MS])
async def test_a_delivery_is_fresh_for_three_days_and_five_minutes_ahead(
    paypal: PayPalWorld, event: Event, offset_ms: int
) -> None:
    at = paypal.world.clock.now_ms
    beyond = offset_ms + (1000 if offset_ms > 0 else -1000)

    await refused(paypal, event, signed_at(paypal, event, at + beyond))
    assert (await paypal.deliver(event, signed_at(paypal, event, at + offset_ms))).status_code == 200


async def test_a_provider_that_is_not_configured_has_no_webhooks(paypal: PayPalWorld) -> None:
    assert_problem(await paypal.world.anyone.post("/webhooks/other", content=b"{}"), 503, "payments_not_configured")
