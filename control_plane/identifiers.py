"""Ids of our own rows: a short prefix that names the kind, and 100 random bits in base32."""

import base64
from typing import Literal

RANDOM_BYTES, RANDOM_CHARS = 13, 20

Prefix = Literal["acct", "key", "tok", "topup"]


def make_id(prefix: Prefix, randomness: bytes) -> str:
    """Such as ``acct_k5n3…``, from 13 random bytes."""
    if len(randomness) != RANDOM_BYTES:
        raise ValueError(f"an id is made of {RANDOM_BYTES} random bytes")
    return f"{prefix}_{base64.b32encode(randomness)[:RANDOM_CHARS].decode().lower()}"
