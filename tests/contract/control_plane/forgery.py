"""What a forger does: bodies with a checksum of his choice, and certificates of his own making."""

import json
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from local.paypal.certificates import HOST_NAME, Signing, Subject

PLACES = 64
SPACE, TAB = ord(" "), ord("\t")


def with_checksum(body: dict[str, Any], checksum: int) -> bytes:
    """JSON of the body whose CRC-32 is this one: spaces behind it become tabs where that is needed.

    CRC-32 is linear, so a tab in a given place always flips the same bits of the checksum.
    """
    text = json.dumps(body).encode()
    plain = bytearray(text + bytes([SPACE]) * PLACES)
    wanted = zlib.crc32(plain) ^ checksum
    basis: dict[int, tuple[int, int]] = {}
    for place in range(PLACES):
        changed = bytearray(plain)
        changed[len(text) + place] = TAB
        bits, places = zlib.crc32(plain) ^ zlib.crc32(changed), 1 << place
        bits, places = _reduced(bits, places, basis)
        if bits:
            basis[bits.bit_length()] = (bits, places)
    rest, places = _reduced(wanted, 0, basis)
    assert rest == 0, "the places span all checksums"
    for place in range(PLACES):
        if places >> place & 1:
            plain[len(text) + place] = TAB
    return bytes(plain)


def _reduced(bits: int, places: int, basis: dict[int, tuple[int, int]]) -> tuple[int, int]:
    for top in range(32, 0, -1):
        if bits.bit_length() == top and top in basis:
            bits, places = bits ^ basis[top][0], places ^ basis[top][1]
    return bits, places


def signing_with(
    genuine: Signing,
    now: datetime,
    *,
    name: str = HOST_NAME,
    self_signed: bool = False,
    ends_in: timedelta = timedelta(days=365),
) -> tuple[rsa.RSAPrivateKey, bytes]:
    """A key with a certificate that PayPal did not make: by an authority of the forger's own, or by itself."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    leaf = Subject(name=name, key=key, host_name=name, not_before=now - timedelta(days=30), not_after=now + ends_in)
    root = replace(leaf, name="Forger's root", key=rsa.generate_private_key(public_exponent=65537, key_size=2048))
    issuer = leaf if self_signed else replace(root, host_name=None)
    return key, pem(issuer.issue(leaf)) + (b"" if self_signed else pem(issuer.issue(issuer)))


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
