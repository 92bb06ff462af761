"""The signature of a webhook: RSA PKCS#1 v1.5 with SHA-256 over ``id|time|webhook id|CRC-32 of the body``.

The CRC-32 is the unsigned decimal of the body's bytes, developer.paypal.com/api/rest/webhooks/rest.
"""

import base64
import binascii
import json
import zlib
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]  # the part of JSON's decoder that reads a string
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from local.paypal.certificates import Signing

ALGORITHM = "SHA256withRSA"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Signs for the one webhook that the merchant has registered."""

    signing: Signing
    base_url: str
    webhook_id: str

    @property
    def certificate_url(self) -> str:
        return f"{self.base_url}/v1/notifications/certs/{self.signing.certificate_id}"

    def headers(self, body: bytes, *, transmission_id: str, transmission_time: str) -> dict[str, str]:
        """What a delivery of this body carries."""
        message = signed_message(transmission_id, transmission_time, self.webhook_id, body)
        signature = self.signing.key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        return {
            "content-type": "application/json",
            "user-agent": "PayPal/AUHR-214.0-58074127",
            "paypal-auth-algo": ALGORITHM,
            "paypal-auth-version": "v2",
            "paypal-cert-url": self.certificate_url,
            "paypal-transmission-id": transmission_id,
            "paypal-transmission-time": transmission_time,
            "paypal-transmission-sig": base64.b64encode(signature).decode(),
        }

    def verifies(self, postback: bytes) -> bool:
        """Whether the parts in a postback belong together. Raises ValueError or KeyError where one is missing."""
        fields: dict[str, Any] = json.loads(postback)
        message = signed_message(
            fields["transmission_id"],
            fields["transmission_time"],
            self.webhook_id,
            raw_member(postback.decode(), "webhook_event").encode(),
        )
        return (
            fields["auth_algo"] == ALGORITHM
            and fields["cert_url"] == self.certificate_url
            and fields["webhook_id"] == self.webhook_id
            and _is_signed(message, fields["transmission_sig"], self.signing.key.public_key())
        )


def signed_message(transmission_id: str, transmission_time: str, webhook_id: str, body: bytes) -> bytes:
    return f"{transmission_id}|{transmission_time}|{webhook_id}|{zlib.crc32(body)}".encode()


def raw_member(text: str, name: str) -> str:
    """A member of a JSON object as it was written, to the byte. Raises KeyError or ValueError."""
    decoder = json.JSONDecoder()
    at = text.index("{") + 1
    while (at := _next(text, at)) < len(text) and text[at] == '"':
        key, at = scanstring(text, at + 1)
        start = _next(text, text.index(":", at) + 1)
        _, at = decoder.raw_decode(text, start)
        if key == name:
            return text[start:at]
        at = _next(text, at) + 1  # the comma
    raise KeyError(name)


def _next(text: str, at: int) -> int:
    """The next place that is not white space."""
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _is_signed(message: bytes, signature: str, key: rsa.RSAPublicKey) -> bool:
    try:
        key.verify(base64.b64decode(signature, validate=True), message, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, binascii.Error):
        return False
    return True
