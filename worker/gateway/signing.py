"""The signature of calls between the edge and the control plane.

HMAC-SHA256 over version, timestamp, nonce, method, path and the SHA-256 of the body, with one shared secret.
A call is fresh for five minutes and a nonce is good once: the receiver stores the nonces that it has seen.
"""

import hashlib
import hmac
from collections.abc import Mapping

from gateway.frozen import frozen

TIMESTAMP_HEADER = "x-haotokai-timestamp"
NONCE_HEADER = "x-haotokai-nonce"
SIGNATURE_HEADER = "x-haotokai-signature"

FRESH_FOR_S = 300
NONCE_MAX_CHARS = 64


class SignatureRefused(Exception):
    """The call is unsigned, stale or forged. The text says which, and holds nothing secret."""


@frozen
class SignedCall:
    """What a signature covers. ``path`` is the path alone, without origin or query."""

    method: str
    path: str
    body: bytes


def sign(call: SignedCall, *, secret: str, now_s: int, nonce: str) -> dict[str, str]:
    """The three headers that prove a call; ``nonce`` is fresh randomness of the caller."""
    if not secret:
        raise ValueError("the internal secret is empty")
    timestamp = str(now_s)
    return {
        TIMESTAMP_HEADER: timestamp,
        NONCE_HEADER: nonce,
        SIGNATURE_HEADER: _signature(call, secret, timestamp, nonce),
    }


def verify(call: SignedCall, headers: Mapping[str, str], *, secret: str, now_s: int) -> str:
    """Return the nonce of a genuine, fresh call, for the caller to store; raises SignatureRefused.

    ``headers`` has lower-case names.
    """
    timestamp, nonce = headers.get(TIMESTAMP_HEADER, ""), headers.get(NONCE_HEADER, "")
    if not secret or not timestamp.isdecimal() or not 16 <= len(nonce) <= NONCE_MAX_CHARS:
        raise SignatureRefused("the call is not signed")
    expected = _signature(call, secret, timestamp, nonce)
    if not hmac.compare_digest(expected.encode(), headers.get(SIGNATURE_HEADER, "").encode()):
        raise SignatureRefused("the signature does not match")
    if abs(now_s - int(timestamp)) > FRESH_FOR_S:
        raise SignatureRefused("the signature is stale")
    return nonce


def _signature(call: SignedCall, secret: str, timestamp: str, nonce: str) -> str:
    digest = hashlib.sha256(call.body).hexdigest()
    message = "\n".join(("v1", timestamp, nonce, call.method, call.path, digest))
    return "v1=" + hmac.new(secret.encode(), message.encode(), "sha256").hexdigest()
