"""The text of an API key: ``htk_`` + 43 characters of base62 (256 bits) + 6 of checksum.

The checksum lets a mistyped key be refused without a look-up, and secret scanners tell a real key from a
look-alike. Only the SHA-256 of the whole text is stored: a fast hash is right for 256 random bits.
"""

import hashlib
import zlib

API_KEY_PREFIX = "htk_"
SHOWN_CHARS = len(API_KEY_PREFIX) + 8

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHARACTERS = frozenset(_ALPHABET)
_RANDOM_CHARS, _CHECKSUM_CHARS = 43, 6


def make_api_key(randomness: bytes) -> str:
    """The key for 32 random bytes."""
    if len(randomness) != 32:
        raise ValueError("an API key is made of 32 random bytes")
    body = API_KEY_PREFIX + _base62(int.from_bytes(randomness), _RANDOM_CHARS)
    return body + _checksum(body)


def is_api_key(text: str) -> bool:
    """Whether the text has the form of a key, checksum included."""
    length = len(API_KEY_PREFIX) + _RANDOM_CHARS + _CHECKSUM_CHARS
    if len(text) != length or not text.startswith(API_KEY_PREFIX):
        return False
    if not _CHARACTERS.issuperset(text[len(API_KEY_PREFIX) :]):
        return False
    return _checksum(text[:-_CHECKSUM_CHARS]) == text[-_CHECKSUM_CHARS:]


def hash_api_key(text: str) -> str:
    """What is stored in place of a key: hex SHA-256, also the end of its name in KV."""
    return hashlib.sha256(text.encode()).hexdigest()


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECKSUM_CHARS)


def _base62(number: int, width: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 62)
        digits = _ALPHABET[digit] + digits
    return digits.rjust(width, "0")
