"""The scalars of the REST API: e-mail addresses, names, amounts as decimal strings in USD, times as in RFC 3339."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from gateway.money import NANO_PER_USD, MoneyError, NanoUsd, format_usd, parse_usd

AMOUNT_MAX_NANO_USD = 1_000_000 * NANO_PER_USD
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(?:\.[^@\s.]+)+")
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)


def _email(text: str) -> str:
    if not _EMAIL.fullmatch(text):
        raise ValueError("must be an e-mail address")
    return text


def _positive_usd(text: object) -> NanoUsd:
    if not isinstance(text, str):
        raise ValueError('must be a decimal string, such as "1.00"')
    try:
        amount = parse_usd(text)
    except MoneyError as error:
        raise ValueError('must be a decimal string with at most nine decimals, such as "1.00"') from error
    if not 0 < amount <= AMOUNT_MAX_NANO_USD:
        raise ValueError(f"must be above 0 and at most {AMOUNT_MAX_NANO_USD // NANO_PER_USD}")
    return amount


def _rfc_3339_ms(text: object) -> int:
    if not isinstance(text, str) or not _RFC_3339.fullmatch(text):
        raise ValueError("must be a time as in RFC 3339, such as 2027-01-31T12:00:00Z")
    try:
        instant = datetime.fromisoformat(text).astimezone(UTC)
    except OverflowError as error:
        raise ValueError("must be between the years 1 and 9999 in UTC") from error
    return (instant - EPOCH) // timedelta(milliseconds=1)


def _time_text(at_ms: int) -> str:
    return (EPOCH + timedelta(milliseconds=at_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_TIME_SCHEMA = WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2027-01-31T12:00:00Z"]})
_USD_SCHEMA = WithJsonSchema({"type": "string", "pattern": r"^-?\d+(\.\d{1,9})?$", "examples": ["1.00"]})

Email = Annotated[str, Field(max_length=254, examples=["dev@example.com"]), AfterValidator(_email)]
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$", examples=["production"])]
Reference = Annotated[
    str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$", examples=["invoice-2026-11"])
]
ModelName = Annotated[str, Field(min_length=1, max_length=200, examples=["deepseek-chat"])]
UsdIn = Annotated[NanoUsd, BeforeValidator(_positive_usd), _USD_SCHEMA]
TimeIn = Annotated[int, BeforeValidator(_rfc_3339_ms), _TIME_SCHEMA]
UsdOut = Annotated[NanoUsd, PlainSerializer(format_usd, return_type=str), _USD_SCHEMA]
TimeOut = Annotated[int, PlainSerializer(_time_text, return_type=str), _TIME_SCHEMA]
