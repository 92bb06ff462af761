"""Each delivery is signed as PayPal signs, checked here with nothing but cryptography."""

import base64
import json
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.verification import PolicyBuilder, Store

from local.paypal import certificates
from local.paypal.signature import raw_member
from tests.contract.paypal.world import Json, World

HOST_NAME = "messageverificationcerts.sandbox.paypal.com"


async def chain(world: World, url: str) -> list[x509.Certificate]:
    answer = await world.http.get(url)
    assert answer.status_code == 200
    return x509.load_pem_x509_certificates(answer.content)


async def one_delivery(world: World) -> httpx2.Request:
    await world.approved()
    await world.delivered()
    return world.receiver.requests[0]


async def check(world: World, delivery: httpx2.Request, *, webhook_id: str, body: bytes) -> None:
    headers = delivery.headers
    leaf = (await chain(world, headers["paypal-cert-url"]))[0]
    parts = (headers["paypal-transmission-id"], headers["paypal-transmission-time"], webhook_id, str(zlib.crc32(body)))
    key = leaf.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    signature = base64.b64decode(headers["paypal-transmission-sig"])
    key.verify(signature, "|".join(parts).encode(), padding.PKCS1v15(), hashes.SHA256())


async def test_the_signature_covers_id_time_webhook_and_checksum(world: World) -> None:
    delivery = await one_delivery(world)

    await check(world, delivery, webhook_id=world.desk.merchant.webhook_id, body=delivery.content)

    assert delivery.headers["paypal-auth-algo"] == "SHA256withRSA"
    assert delivery.headers["paypal-transmission-time"] == "2026-01-01T09:00:00Z"
    with pytest.raises(InvalidSignature):
        await check(world, delivery, webhook_id="0FV983392A0531201", body=delivery.content)
    with pytest.raises(InvalidSignature):
        await check(world, delivery, webhook_id=world.desk.merchant.webhook_id, body=delivery.content + b" ")


async def test_the_chain_leads_from_the_name_to_the_root(world: World) -> None:
    delivery = await one_delivery(world)
    leaf, *issuers = await chain(world, delivery.headers["paypal-cert-url"])
    root = x509.load_pem_x509_certificate(world.desk.signer.signing.root_pem)

    verifier = PolicyBuilder().store(Store([root])).build_server_verifier(x509.DNSName(HOST_NAME))

    assert verifier.verify(leaf, issuers)[-1] == root
    assert leaf.subject.rfc4514_string() == f"CN={HOST_NAME}"
    assert len(issuers) == 1


async def test_only_the_certificate_in_use_is_served(world: World) -> None:
    assert (await world.http.get("/v1/notifications/certs/CERT-1-2-3")).status_code == 404


def test_certificates_are_kept_in_a_folder_until_they_end(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    first = certificates.load_or_make(tmp_path, now)

    again = certificates.load_or_make(tmp_path, now + timedelta(days=300))
    later = certificates.load_or_make(tmp_path, now + timedelta(days=340))

    assert again.chain_pem == first.chain_pem
    assert later.chain_pem != first.chain_pem
    assert (tmp_path / "signing-key.pem").stat().st_mode & 0o077 == 0


def postback(world: World, delivery: httpx2.Request, **changes: str) -> bytes:
    """The body of the verification call, into which the delivered bytes are put as they came."""
    headers = delivery.headers
    fields = {
        "auth_algo": headers["paypal-auth-algo"],
        "cert_url": headers["paypal-cert-url"],
        "transmission_id": headers["paypal-transmission-id"],
        "transmission_sig": headers["paypal-transmission-sig"],
        "transmission_time": headers["paypal-transmission-time"],
        "webhook_id": world.desk.merchant.webhook_id,
    } | changes
    return json.dumps(fields).encode()[:-1] + b', "webhook_event": ' + delivery.content + b"}"


async def verdict(world: World, body: bytes) -> Json:
    headers = {"authorization": f"Bearer {await world.token()}"}
    answer = await world.http.post("/v1/notifications/verify-webhook-signature", content=body, headers=headers)
    found: Json = answer.json()
    return found


async def test_a_postback_with_the_delivered_bytes_succeeds(world: World) -> None:
    body = postback(world, await one_delivery(world))

    assert await verdict(world, body) == {"verification_status": "SUCCESS"}


async def test_a_postback_that_was_written_anew_fails(world: World) -> None:
    body = json.dumps(json.loads(postback(world, await one_delivery(world)))).encode()

    assert await verdict(world, body) == {"verification_status": "FAILURE"}


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook_id": "0FV983392A0531201"},
        {"transmission_id": "another"},
        {"transmission_time": "2026-01-01T09:00:01Z"},
        {"transmission_sig": "bm8="},
        {"transmission_sig": "no base64"},
        {"cert_url": "http://elsewhere.test/v1/notifications/certs/1"},
        {"auth_algo": "SHA1withRSA"},
    ],
)
async def test_a_postback_with_another_part_fails(world: World, changes: dict[str, str]) -> None:
    body = postback(world, await one_delivery(world), **changes)

    assert await verdict(world, body) == {"verification_status": "FAILURE"}


async def test_a_postback_without_a_part_is_refused(world: World) -> None:
    assert (await verdict(world, b'{"webhook_event": {}}'))["name"] == "INVALID_REQUEST"


@pytest.mark.parametrize(
    "text",
    [
        '{"event": {"a":  1}}',
        '{ "other" : "event\\"", "event" : {"a":  1} , "more": [1]}',
        '\n{"n": -1.50, "list": ["}", {"event": 2}], "event":{"a":  1}}',
    ],
)
def test_a_member_is_found_as_it_was_written(text: str) -> None:
    assert raw_member(text, "event") == '{"a":  1}'


@pytest.mark.parametrize("text", ["{}", '{"a": {"event": 1}}', "[]"])
def test_a_member_that_is_not_there_is_not_found(text: str) -> None:
    with pytest.raises((KeyError, ValueError)):
        raw_member(text, "event")
