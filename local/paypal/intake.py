"""The bodies of requests, checked as PayPal checks them: what is malformed is 400, what makes no sense is 422."""

import json
import re
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from local.paypal.books import Order
from local.paypal.errors import Refused, refused
from local.paypal.identifiers import transaction_id
from local.paypal.merchant import Merchant
from local.paypal.money import CENT, Json, Money

MAX_TEXT_CHARS = 127
MAX_NOTE_CHARS = 255
MAX_REQUEST_ID_CHARS = 108
LANDING_PAGES = ("LOGIN", "GUEST_CHECKOUT", "NO_PREFERENCE")

_VALUE = re.compile(r"-?[0-9]*\.?[0-9]+")
_CURRENCY = re.compile(r"[A-Z]{3}")


def json_object(raw: bytes) -> Json:
    """An absent body is an empty object."""
    try:
        body = json.loads(raw or b"{}")
    except ValueError as error:
        raise refused("MALFORMED_REQUEST_JSON", field="/") from error
    if not isinstance(body, dict):
        raise refused("MALFORMED_REQUEST_JSON", field="/")
    return body


def order(body: Json, merchant: Merchant, now_ms: int) -> Order:
    """The order that is asked for. This simulator knows ``intent=CAPTURE`` and one purchase unit."""
    if _required(body, "", "intent") != "CAPTURE":
        raise refused("NOT_SUPPORTED", field="/intent")
    units = _required(body, "", "purchase_units")
    if not isinstance(units, list) or not units:
        raise refused("INVALID_ARRAY_MIN_ITEMS", field="/purchase_units")
    if len(units) > 1:
        raise refused("NOT_SUPPORTED", field="/purchase_units/1")
    place, unit = "/purchase_units/0", units[0]
    payee = _object(unit, "payee", place)
    wallet = _object(_object(body, "payment_source", ""), "paypal", "/payment_source")
    context_place = "/payment_source/paypal/experience_context"
    context = _object(wallet, "experience_context", "/payment_source/paypal") or _object(
        body, "application_context", ""
    )
    return Order(
        id=transaction_id(),
        status="PAYER_ACTION_REQUIRED" if "payment_source" in body else "CREATED",
        amount=money(_required(unit, place, "amount"), f"{place}/amount"),
        payee_merchant_id=payee.get("merchant_id", merchant.merchant_id),
        payee_email=payee.get("email_address", merchant.email),
        reference_id=unit.get("reference_id", "default"),
        custom_id=_text(unit, "custom_id", place),
        invoice_id=_text(unit, "invoice_id", place),
        description=_text(unit, "description", place),
        brand_name=_text(context, "brand_name", context_place),
        return_url=_url(context, "return_url", context_place),
        cancel_url=_url(context, "cancel_url", context_place),
        landing_page=_one_of(context, "landing_page", LANDING_PAGES, "NO_PREFERENCE", context_place),
        is_immediate_payment_required=context.get("payment_method_preference") == "IMMEDIATE_PAYMENT_REQUIRED",
        has_payment_source="payment_source" in body,
        created_ms=now_ms,
        updated_ms=now_ms,
    )


def money(body: Any, place: str) -> Money:
    """An amount above zero with at most two decimals."""
    if not isinstance(body, dict):
        raise refused("INVALID_PARAMETER_SYNTAX", field=place)
    currency, value = (_required(body, place, name) for name in ("currency_code", "value"))
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        raise refused("INVALID_PARAMETER_SYNTAX", field=f"{place}/currency_code")
    if not isinstance(value, str) or not _VALUE.fullmatch(value):
        raise refused("INVALID_PARAMETER_SYNTAX", field=f"{place}/value")
    amount = Decimal(value)
    if amount <= 0:
        raise refused("CANNOT_BE_ZERO_OR_NEGATIVE", field=f"{place}/value")
    if amount != amount.quantize(CENT):
        raise refused("DECIMAL_PRECISION", field=f"{place}/value")
    return Money(currency_code=currency, value=amount)


def refund(body: Json) -> Json:
    """Arguments of ``Captures.refund``: the amount is None where all that is left is meant."""
    return {
        "amount": money(body["amount"], "/amount") if "amount" in body else None,
        "note": _text(body, "note_to_payer", "", MAX_NOTE_CHARS),
        "invoice_id": _text(body, "invoice_id", ""),
        "custom_id": _text(body, "custom_id", ""),
    }


def request_id(header: str | None) -> str | None:
    if header is not None and not 1 <= len(header) <= MAX_REQUEST_ID_CHARS:
        raise Refused(400, [{"field": "PayPal-Request-Id", "issue": "INVALID_STRING_LENGTH"}])
    return header


def _required(body: Json, place: str, name: str) -> Any:
    if body.get(name) is None:
        raise refused("MISSING_REQUIRED_PARAMETER", field=f"{place}/{name}")
    return body[name]


def _object(body: Json, name: str, place: str) -> Json:
    value = body.get(name, {})
    if not isinstance(value, dict):
        raise refused("INVALID_PARAMETER_SYNTAX", field=f"{place}/{name}")
    return value


def _text(body: Json, name: str, place: str, max_chars: int = MAX_TEXT_CHARS) -> str | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise refused("INVALID_PARAMETER_SYNTAX", field=f"{place}/{name}")
    if not 1 <= len(value) <= max_chars:
        raise refused("INVALID_STRING_LENGTH", field=f"{place}/{name}")
    return value


def _url(body: Json, name: str, place: str) -> str | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or urlsplit(value).scheme not in ("http", "https"):
        raise refused("INVALID_PARAMETER_SYNTAX", field=f"{place}/{name}")
    return value


def _one_of(body: Json, name: str, known: tuple[str, ...], default: str, place: str) -> str:
    value: str = body.get(name, default)
    if value not in known:
        raise refused("INVALID_PARAMETER_VALUE", field=f"{place}/{name}")
    return value
