"""Deliveries of webhooks, genuine and forged."""

import base64
import json
from typing import Any

import httpx2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from sqlalchemy import select

from control_plane.inbox import inbox
from local.paypal.books import Event
from local.paypal.signature import signed_message
from tests.contract.control_plane.forgery import moment
from tests.contract.control_plane.paypal_world import PayPalWorld, Wire
from tests.contract.control_plane.world import assert_problem


async def refused(
    paypal: PayPalWorld, event: Event | bytes, headers: dict[str, str] | None, **changed: str | None
) -> None:
    """The delivery is answered 400, and nothing comes of it."""
    answer = await paypal.deliver(event, headers, **changed)
    assert_problem(answer, 400, "delivery_refused")
    assert await paypal.balance() == "0.00"
    async with paypal.world.services.store.read() as connection:
        assert (await connection.execute(select(inbox))).all() == []


def raw_event(event_type: str, resource_type: str, resource: dict[str, Any]) -> bytes:
    body = {"id": f"WH-{event_type}", "event_type": event_type, "resource_type": resource_type, "resource": resource}
    return json.dumps(body).encode()


def now_text(paypal: PayPalWorld) -> str:
    return f"{moment(paypal.world.clock.now_ms):%Y-%m-%dT%H:%M:%SZ}"


def signed_at(paypal: PayPalWorld, event: Event, at_ms: int) -> dict[str, str]:
    time = f"{moment(at_ms):%Y-%m-%dT%H:%M:%SZ}"
    return paypal.desk.signer.headers(event.raw.encode(), transmission_id=f"t-{at_ms}", transmission_time=time)


def signed_with(paypal: PayPalWorld, event: Event, key: rsa.RSAPrivateKey) -> dict[str, str]:
    headers = paypal.signed(event.raw.encode())
    message = signed_message(
        headers["paypal-transmission-id"],
        headers["paypal-transmission-time"],
        paypal.desk.merchant.webhook_id,
        event.raw.encode(),
    )
    signature = key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    return headers | {"paypal-transmission-sig": base64.b64encode(signature).decode()}


def serve_certificate(wire: Wire, answer: httpx2.Response) -> None:
    """In place of PayPal's."""
    content, headers = answer.content, answer.headers

    def replaced(request: httpx2.Request) -> httpx2.Response | None:
        if "/v1/notifications/certs/" not in request.url.path:
            return None
        return httpx2.Response(answer.status_code, content=content, headers=headers)

    wire.replaced = replaced


def certificate_calls(wire: Wire) -> list[httpx2.Request]:
    return [call for call in wire.calls if "/v1/notifications/certs/" in call.url.path]
