"""The certificates that webhooks are checked with: from where they may come, and which are PayPal's."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from control_plane.payment_provider import DeliveryRefused
from control_plane.paypal_certificates import (
    LIVE_HOSTS,
    SANDBOX_HOSTS,
    CertificateUnavailable,
    Trust,
    check_url,
    trusted_key,
)
from control_plane.paypal_webhooks import Transmission, is_signed_by
from local.paypal import certificates
from local.paypal.books import Event
from local.paypal.certificates import Subject
from tests.contract.control_plane.deliveries import (
    certificate_calls,
    refused,
    serve_certificate,
    signed_with,
)
from tests.contract.control_plane.forgery import moment, pem, signing_with
from tests.contract.control_plane.paypal_world import BASE_URL, MINUTE_MS, PayPalWorld, paypal_running
from tests.contract.control_plane.world import assert_problem

RECORDED = Path(__file__).parent / "data" / "paypal-signed-delivery"


@pytest.mark.parametrize(
    "url",
    [
        "https://evilpaypal.com/v1/notifications/certs/CERT-1",
        "https://api.sandbox.paypal.com.evil.example/v1/notifications/certs/CERT-1",
        "https://user@api-m.sandbox.paypal.com/v1/notifications/certs/CERT-1",
        "https://api-m.sandbox.paypal.com@evil.example/v1/notifications/certs/CERT-1",
        "https://api-m.sandbox.paypal.com:8443/v1/notifications/certs/CERT-1",
        "http://api-m.sandbox.paypal.com/v1/notifications/certs/CERT-1",
        "https://api-m.paypal.com/v1/notifications/certs/CERT-1",
        "https://API-M.sandbox.paypal.com/v1/notifications/certs/CERT-1",
        "https://api-m.sandbox.paypal.com/v1/notifications/certs/",
        "https://api-m.sandbox.paypal.com/v1/notifications/certs/../webhooks",
        "https://api-m.sandbox.paypal.com/v1/notifications/certs/%2e%2e",
        "https://api-m.sandbox.paypal.com/v1/notifications/certs/CERT-1?a=b",
        "https://api-m.sandbox.paypal.com/v1/notifications/certs/CERT-1#a",
        "https://api-m.sandbox.paypal.com/uploads/CERT-1",
        "https://api-m.sandbox.paypal.com\\@evil.example/v1/notifications/certs/CERT-1",
        "//api-m.sandbox.paypal.com/v1/notifications/certs/CERT-1",
        "file:///etc/passwd",
    ],
)
async def test_a_certificate_from_anywhere_else_is_not_even_fetched(
    paypal: PayPalWorld, event: Event, url: str
) -> None:
    calls_before = len(paypal.wire.calls)

    await refused(paypal, event, None, cert_url=url)

    assert len(paypal.wire.calls) == calls_before


@pytest.mark.parametrize(
    ("api_url", "hosts"),
    [("https://api-m.paypal.com", LIVE_HOSTS), ("https://api-m.sandbox.paypal.com", SANDBOX_HOSTS)],
)
def test_certificates_come_from_the_pair_of_hosts_that_belongs_to_the_api(api_url: str, hosts: tuple[str, str]) -> None:
    origins = Trust.of(api_url).origins

    assert origins == {f"https://{host}" for host in hosts}
    for host in hosts:
        check_url(f"https://{host}/v1/notifications/certs/CERT-1", origins)
        check_url(f"https://{host}:443/v1/notifications/certs/CERT-1", origins)


def test_an_origin_without_tls_is_allowed_only_when_it_is_configured_to_the_letter() -> None:
    origins = Trust.of(BASE_URL, hosts="http://127.0.0.1:4444, api.paypal.com").origins

    check_url("http://127.0.0.1:4444/v1/notifications/certs/CERT-1", origins)
    for url in (
        "http://127.0.0.1/v1/notifications/certs/CERT-1",
        "http://api.paypal.com/v1/notifications/certs/CERT-1",
    ):
        with pytest.raises(DeliveryRefused):
            check_url(url, origins)


@pytest.mark.parametrize("hosts", ["*.paypal.com", "https://api.paypal.com/", "ftp://api.paypal.com", "a b"])
def test_a_setting_that_is_no_host_is_refused(hosts: str) -> None:
    with pytest.raises(ValueError, match="not a host name"):
        Trust.of(BASE_URL, hosts=hosts)


@pytest.mark.parametrize(
    "forged",
    [
        {"self_signed": True},
        {},
        {"name": "evilpaypal.com"},
        {"name": "messageverificationcerts.paypal.com"},
        {"ends_in": timedelta(days=-1)},
    ],
    ids=["self-signed", "foreign authority", "another name", "the live name in the sandbox", "expired"],
)
async def test_a_certificate_that_is_not_paypals_is_refused_and_paypal_is_not_asked(
    paypal: PayPalWorld, event: Event, forged: dict[str, Any]
) -> None:
    key, chain = signing_with(paypal.desk.signer.signing, moment(paypal.world.clock.now_ms), **forged)
    serve_certificate(paypal.wire, httpx2.Response(200, content=chain))

    await refused(paypal, event, signed_with(paypal, event, key))

    assert paypal.wire.made("POST", "verify-webhook-signature") == []


@pytest.mark.parametrize("days", [-31, 366], ids=["not yet", "no longer"])
async def test_paypals_own_certificate_is_refused_outside_of_its_dates(
    paypal: PayPalWorld, event: Event, days: int
) -> None:
    paypal.world.clock.now_ms += days * 24 * 60 * MINUTE_MS

    await refused(paypal, event, paypal.signed(event.raw.encode()))


async def test_a_redirect_is_not_followed_to_a_certificate(paypal: PayPalWorld, event: Event) -> None:
    key, _ = signing_with(paypal.desk.signer.signing, moment(paypal.world.clock.now_ms))
    location = {"location": "https://evilpaypal.com/v1/notifications/certs/CERT-1"}
    serve_certificate(paypal.wire, httpx2.Response(302, headers=location))

    await refused(paypal, event, signed_with(paypal, event, key))

    assert {call.url.host for call in paypal.wire.calls} == {"api-m.sandbox.paypal.com"}


@pytest.mark.parametrize(
    "answer",
    [
        lambda: httpx2.Response(500),
        lambda: httpx2.Response(302, headers={"location": "https://api-m.sandbox.paypal.com/elsewhere"}),
        lambda: httpx2.Response(200, content=b"not a certificate"),
        lambda: httpx2.Response(200, content=b"x" * (64 * 1024 + 1)),
    ],
    ids=["failure", "redirect", "garbage", "too large"],
)
async def test_paypal_is_asked_in_the_very_bytes_when_the_certificate_cannot_be_had(
    paypal: PayPalWorld, event: Event, answer: Any
) -> None:
    serve_certificate(paypal.wire, answer())
    genuine = await paypal.deliver(event)
    changed = await paypal.deliver(event.raw.replace("APPROVED", "APPROVEE", 1).encode(), paypal.signed(b"{}"))

    [first, _] = paypal.wire.made("POST", "verify-webhook-signature")
    assert genuine.json() == {"outcome": "done"}
    assert event.raw.encode() in first.content
    assert_problem(changed, 400, "delivery_refused")


async def test_a_delivery_that_nobody_can_judge_now_is_asked_for_again(paypal: PayPalWorld, event: Event) -> None:
    headers = paypal.signed(event.raw.encode())
    paypal.wire.down = True
    answer = await paypal.deliver(event, headers)

    assert_problem(answer, 503, "payment_provider_unavailable")


async def test_a_certificate_is_fetched_once_by_many_and_again_when_it_has_ended(
    paypal: PayPalWorld, event: Event
) -> None:
    await asyncio.gather(*(paypal.deliver(event) for _ in range(8)))
    await paypal.deliver(event)

    assert len(paypal.wire.made("GET", paypal.desk.signer.signing.certificate_id)) == 1


async def test_a_certificate_that_could_not_be_had_is_not_asked_for_again_for_a_minute(
    paypal: PayPalWorld, event: Event
) -> None:
    serve_certificate(paypal.wire, httpx2.Response(500))
    await paypal.deliver(event)
    paypal.world.clock.now_ms += MINUTE_MS - 1
    await paypal.deliver(event)
    within = len(certificate_calls(paypal.wire))
    paypal.world.clock.now_ms += 1
    await paypal.deliver(event)

    assert within == 1
    assert len(certificate_calls(paypal.wire)) == 2


@pytest.mark.parametrize("name", ["evilpaypal.com", "messageverificationcerts.paypal.com"])
def test_a_certificate_of_a_trusted_root_with_another_name_is_refused(tmp_path: Path, name: str) -> None:
    now = datetime.now(UTC)
    made, roots = certificates.make(now, host_name=name), tmp_path / "roots.pem"
    roots.write_bytes(made.root_pem)
    chain = x509.load_pem_x509_certificates(made.chain_pem)

    with pytest.raises(DeliveryRefused, match="name"):
        trusted_key(chain, Trust.of(BASE_URL, roots_file=roots), now_ms=int(now.timestamp() * 1000))


async def test_a_name_in_the_subject_alone_is_enough(tmp_path: Path) -> None:
    genuine = certificates.make(datetime.now(UTC))
    root_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    now = datetime.now(UTC)
    root = Subject(name="Root", key=root_key, not_before=now - timedelta(days=1), not_after=now + timedelta(days=1))
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, certificates.HOST_NAME)])
    leaf = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(root.issue(root).subject)
        .public_key(genuine.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(root.not_before)
        .not_valid_after(root.not_after)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    roots = tmp_path / "roots.pem"
    roots.write_bytes(pem(root.issue(root)))
    trust = Trust.of(BASE_URL, roots_file=roots)

    assert trusted_key([leaf], trust, now_ms=int(now.timestamp() * 1000)) == genuine.key.public_key()


class TestARecordedDelivery:
    """A delivery that PayPal made in 2019, with the certificate of that time; its source is named beside it."""

    raw = (RECORDED / "body.json").read_bytes()
    delivery = json.loads((RECORDED / "delivery.json").read_text())
    certificate = x509.load_pem_x509_certificate((RECORDED / "certificate.pem").read_bytes())

    def verifies(self, raw: bytes, webhook_id: str | None = None) -> bool:
        key = self.certificate.public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        transmission = Transmission.read(self.delivery["headers"])
        return is_signed_by(key, transmission, raw, webhook_id=webhook_id or self.delivery["webhook_id"])

    def test_its_signature_holds_over_the_raw_bytes_alone(self) -> None:
        assert self.verifies(self.raw)
        assert not self.verifies(json.dumps(json.loads(self.raw)).encode())
        assert not self.verifies(self.raw[:-1] + b" ")

    def test_its_signature_is_for_the_webhook_and_not_for_the_event(self) -> None:
        assert not self.verifies(self.raw, json.loads(self.raw)["id"])

    def test_its_certificate_came_without_its_issuer_and_is_left_to_paypal_to_judge(self) -> None:
        at = datetime(2019, 8, 29, 10, 49, 33, tzinfo=UTC)

        with pytest.raises(CertificateUnavailable):
            trusted_key([self.certificate], Trust.of(BASE_URL), now_ms=int(at.timestamp() * 1000))

    def test_its_certificate_has_ended_since(self) -> None:
        with pytest.raises(DeliveryRefused, match="dates"):
            trusted_key([self.certificate], Trust.of(BASE_URL), now_ms=1_795_500_000_000)


async def test_without_trust_roots_of_its_own_the_machines_are_used(tmp_path: Path) -> None:
    async with paypal_running(tmp_path, paypal_trust_roots_file=None) as paypal:
        paypal.approve(await paypal.start())

        assert_problem(await paypal.deliver(paypal.event("CHECKOUT.ORDER.APPROVED")), 400, "delivery_refused")
