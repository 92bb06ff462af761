"""PayPal's webhooks: whether PayPal sent one, and what it refers to.

The signature covers ``transmission id|time|webhook id|CRC-32 of the body``. A CRC is easily met by another body, so a
good signature only says that PayPal sent something like this: ids are taken from it, and everything else is fetched.
"""

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from control_plane import paypal_documents as documents
from control_plane.clock import NowMs, wall_clock_ms
from control_plane.payment_provider import DeliveryRefused, Refs, VerifiedDelivery
from control_plane.paypal_api import PayPalApi, PayPalRefused, PayPalUnavailable
from control_plane.paypal_certificates import CertificateUnavailable, PayPalCertificates
from gateway.fields import FieldError, Fields

BODY_MAX_BYTES: Final = 256 * 1024
HEADER_MAX_CHARS: Final = 2048
ALGORITHM: Final = "SHA256withRSA"
# PayPal tries for three days, and a retry may carry the time of the first attempt.
PAST_MAX_MS: Final = (3 * 24 + 6) * 60 * 60 * 1000
FUTURE_MAX_MS: Final = 5 * 60 * 1000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Transmission:
    """The headers of one delivery, as they were sent."""

    id: str
    time: str
    algorithm: str
    certificate_url: str
    signature: str

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> "Transmission":
        """Raises DeliveryRefused."""

        def header(name: str) -> str:
            text = headers.get(f"paypal-{name}", "")
            if not text or len(text) > HEADER_MAX_CHARS or not text.isascii() or not text.isprintable():
                raise DeliveryRefused(f"no fit header paypal-{name}")
            return text

        return cls(
            id=header("transmission-id"),
            time=header("transmission-time"),
            algorithm=header("auth-algo"),
            certificate_url=header("cert-url"),
            signature=header("transmission-sig"),
        )


class PayPalWebhooks:
    """Verifies deliveries to one webhook. The signature is checked here, and by PayPal where that cannot be done."""

    def __init__(
        self, *, certificates: PayPalCertificates, api: PayPalApi, webhook_id: str, now_ms: NowMs = wall_clock_ms
    ) -> None:
        self._certificates = certificates
        self._api = api
        self._webhook_id = webhook_id
        self._now_ms = now_ms

    async def verify(self, raw: bytes, headers: Mapping[str, str]) -> VerifiedDelivery:
        """Raises DeliveryRefused; PayPalUnavailable when PayPal is needed to judge it and cannot be asked."""
        if len(raw) > BODY_MAX_BYTES:
            raise DeliveryRefused("the body is too large")
        transmission = Transmission.read(headers)
        if transmission.algorithm != ALGORITHM:
            raise DeliveryRefused("the algorithm is not allowed")
        event = _event(raw)
        _check_fresh(transmission, self._now_ms())
        try:
            key = await self._certificates.public_key(transmission.certificate_url)
        except CertificateUnavailable as reason:
            log.warning("paypal_certificate_unavailable", reason=str(reason))
            is_signed = await self._ask_paypal(transmission, raw)
        else:
            is_signed = is_signed_by(key, transmission, raw, webhook_id=self._webhook_id)
        if not is_signed:
            raise DeliveryRefused("the signature does not fit")
        return _delivery(event, transmission)

    async def close(self) -> None:
        await self._certificates.close()

    async def _ask_paypal(self, transmission: Transmission, raw: bytes) -> bool:
        """The raw bytes are spliced in, because another spelling of the same JSON has another checksum."""
        head = {
            "auth_algo": transmission.algorithm,
            "cert_url": transmission.certificate_url,
            "transmission_id": transmission.id,
            "transmission_sig": transmission.signature,
            "transmission_time": transmission.time,
            "webhook_id": self._webhook_id,
        }
        content = json.dumps(head).encode().removesuffix(b"}") + b', "webhook_event": ' + raw + b"}"
        try:
            answer = await self._api.post("/v1/notifications/verify-webhook-signature", content)
            return answer.text("verification_status") == "SUCCESS"
        except PayPalRefused as refused:
            if refused.reason == "merchant":
                raise PayPalUnavailable(refused.issue) from refused
            return False
        except FieldError as error:
            raise PayPalUnavailable("no word on the signature") from error


def is_signed_by(key: RSAPublicKey, transmission: Transmission, raw: bytes, *, webhook_id: str) -> bool:
    """Whether the signature over these very bytes was made with the key for this webhook."""
    message = f"{transmission.id}|{transmission.time}|{webhook_id}|{zlib.crc32(raw)}".encode()
    try:
        signature = base64.b64decode(transmission.signature, validate=True)
        key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
    except (binascii.Error, InvalidSignature):
        return False
    return True


def _event(raw: bytes) -> Fields:
    try:
        # Only UTF-8, so that what is spliced into a postback is what was parsed here.
        return Fields.parse(raw.decode(), "event")
    except (UnicodeDecodeError, FieldError) as error:
        raise DeliveryRefused("the body is not a JSON object") from error


def _check_fresh(transmission: Transmission, now_ms: int) -> None:
    try:
        at_ms = documents.time_ms(transmission.time)
    except FieldError as error:
        raise DeliveryRefused("the transmission time is not a time") from error
    if not now_ms - PAST_MAX_MS <= at_ms <= now_ms + FUTURE_MAX_MS:
        raise DeliveryRefused("the transmission time is too far from now")


def _delivery(event: Fields, transmission: Transmission) -> VerifiedDelivery:
    """Raises DeliveryRefused when a known event does not name what it is about."""
    try:
        event_id, event_type = event.text("id"), event.text("event_type")
        kind = documents.EVENT_KINDS.get(event_type, "irrelevant")
        resource_type = event.optional(event.text, "resource_type") or ""
        refs = Refs()
        if kind != "irrelevant":
            refs = documents.refs(resource_type, event_type, event.object("resource"))
    except FieldError as error:
        raise DeliveryRefused("the event does not say what it is about") from error
    return VerifiedDelivery(
        event_id=event_id, transmission_id=transmission.id, event_type=event_type, kind=kind, refs=refs
    )
