"""Identifiers in PayPal's forms."""

import secrets
import string
import uuid

_ALPHABET = string.digits + string.ascii_uppercase
# Account ids leave out what is easily misread.
_ACCOUNT_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"


def transaction_id() -> str:
    """Of an order, a capture or a refund: 17 characters."""
    return _random(_ALPHABET, 17)


def account_id() -> str:
    """Of a merchant or a payer: 13 characters."""
    return _random(_ACCOUNT_ALPHABET, 13)


def event_id() -> str:
    return f"WH-{_random(_ALPHABET, 17)}-{_random(_ALPHABET, 17)}"


def webhook_id() -> str:
    """Of the address that webhooks are sent to."""
    return _random(_ALPHABET, 17)


def dispute_id() -> str:
    return "PP-R-" + _random(string.ascii_uppercase, 3) + "-" + _random(string.digits, 8)


def transmission_id() -> str:
    return str(uuid.uuid1())


def debug_id() -> str:
    """It stands in every error, and in a header of every answer."""
    return secrets.token_hex(7)[:13]


def secret() -> str:
    return secrets.token_urlsafe(48)


def _random(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))
