"""PayPal's documents, read: orders with their captures and refunds, disputes, and what webhooks refer to.

Fields that PayPal leaves out now and then (``custom_id``, ``supplementary_data``, ``rel`` of a link) are optional here.
Every reader raises FieldError.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from control_plane.payment_provider import (
    Capture,
    CaptureStatus,
    DeliveryKind,
    Dispute,
    Money,
    PaymentStatus,
    ProviderState,
    Refs,
    Refund,
)
from gateway.fields import FieldError, Fields
from gateway.money import NOTHING, MoneyError, NanoUsd, parse_usd

CAPTURE_STATUSES: Final[dict[str, CaptureStatus]] = {
    "COMPLETED": "settled",
    "PARTIALLY_REFUNDED": "settled",
    "REFUNDED": "settled",
    "PENDING": "pending",
    "DECLINED": "declined",
    "FAILED": "declined",
}
ORDER_STATUSES: Final[dict[str, PaymentStatus]] = {
    "CREATED": "created",
    "SAVED": "created",
    "PAYER_ACTION_REQUIRED": "created",
    "APPROVED": "approved",
    "COMPLETED": "completed",
    "VOIDED": "lapsed",
}
# Reasons of a pending capture that end only when the merchant does something at PayPal.
MERCHANT_MUST_ACT: Final = frozenset(
    (
        "UNILATERAL",
        "RECEIVING_PREFERENCE_MANDATES_MANUAL_ACTION",
        "VERIFICATION_REQUIRED",
        "INTERNATIONAL_WITHDRAWAL",
    )
)
# A payout is PayPal's own money: the payer has it, and we keep ours.
LOST_OUTCOMES: Final = frozenset(("RESOLVED_BUYER_FAVOUR", "ACCEPTED"))
# A reversal is a resource of type refund. It is told from one by PayPal's note, where that is shown, or by the reason
# of its capture; no other refund follows such a reversal.
REVERSAL_NOTE: Final = "payment reversed"
REVERSAL_REASON: Final = "CHARGEBACK"

EVENT_KINDS: Final[dict[str, DeliveryKind]] = {
    "CHECKOUT.ORDER.APPROVED": "approved",
    "CHECKOUT.PAYMENT-APPROVAL.REVERSED": "lapsed",
    "PAYMENT.CAPTURE.COMPLETED": "changed",
    "PAYMENT.CAPTURE.PENDING": "changed",
    "PAYMENT.CAPTURE.DENIED": "changed",
    "PAYMENT.CAPTURE.DECLINED": "changed",
    "PAYMENT.CAPTURE.REFUNDED": "changed",
    "PAYMENT.CAPTURE.REVERSED": "changed",
    "CUSTOMER.DISPUTE.CREATED": "changed",
    "CUSTOMER.DISPUTE.UPDATED": "changed",
    "CUSTOMER.DISPUTE.RESOLVED": "changed",
}

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ID: Final = re.compile(r"[0-9A-Za-z-]{1,64}", re.ASCII)
_ORDER_PATH, _CAPTURE_PATH = "/v2/checkout/orders/", "/v2/payments/captures/"


def order_state(order: Fields, *, refunds: Iterable[Refund], disputes: Iterable[Dispute]) -> ProviderState:
    """The order with what else is known of it; refunds and disputes of captures that are not its own are left out."""
    unit, status = _only_unit(order), order.text("status")
    if status not in ORDER_STATUSES:
        raise FieldError("order.status: not a status that is known")
    found = captures(order)
    own = {capture.id for capture in found}
    payee = unit.optional(unit.object, "payee")
    pending = [item for item in _payments(order, "captures") if item.text("status") == "PENDING"]
    reasons = {reason for reason in map(_reason, pending) if reason in MERCHANT_MUST_ACT}
    return ProviderState(
        status=ORDER_STATUSES[status],
        amount=_money(unit.object("amount")),
        reference=unit.optional(unit.text, "custom_id") or unit.optional(unit.text, "invoice_id"),
        payee=None if payee is None else payee.optional(payee.text, "merchant_id"),
        captures=found,
        refunds=tuple(refund for refund in refunds if refund.capture_id in own),
        disputes=tuple(dispute for dispute in disputes if dispute.capture_id in own),
        attention=f"PayPal waits for the merchant: {', '.join(sorted(reasons))}" if reasons else None,
    )


def captures(order: Fields) -> tuple[Capture, ...]:
    return tuple(_capture(item) for item in _payments(order, "captures"))


def refunds(order: Fields) -> list[Refund]:
    """The refunds that the order itself lists and that have been completed."""
    own = captures(order)
    only = own[0].id if len(own) == 1 else None
    found = [item for item in (refund(listed, default_capture=only) for listed in _payments(order, "refunds")) if item]
    reversed_ids = {item.text("id") for item in _payments(order, "captures") if _reason(item) == REVERSAL_REASON}
    for capture_id in reversed_ids:
        # Of those made at the same time, the one that is listed last is the newest.
        places = [place for place, item in enumerate(found) if item.capture_id == capture_id]
        if places:
            newest = max(places, key=lambda place: (found[place].created_at_ms, place))
            found[newest] = replace(found[newest], kind="reversal")
    return found


def refund(item: Fields, *, default_capture: str | None = None) -> Refund | None:
    """A completed refund; None where nothing has gone back, or it does not say of which capture."""
    capture_id = linked(item, _CAPTURE_PATH) or default_capture
    if item.text("status") != "COMPLETED" or capture_id is None:
        return None
    breakdown = item.optional(item.object, "seller_payable_breakdown")
    note = item.optional(item.text, "note_to_payer") or ""
    return Refund(
        id=_id(item, "id"),
        capture_id=capture_id,
        kind="reversal" if note.lower() == REVERSAL_NOTE else "refund",
        amount=_money(item.object("amount")),
        fee_returned=_usd(breakdown, "paypal_fee") or NOTHING,
        created_at_ms=time_ms(item.text("create_time")),
    )


def dispute(item: Fields) -> Iterator[Dispute]:
    """A dispute, once for each capture that it is about."""
    amount = _money(item.object("dispute_amount"))
    is_resolved = item.text("status") == "RESOLVED"
    outcome = item.optional(item.object, "dispute_outcome") if is_resolved else None
    is_lost = outcome is not None and outcome.optional(outcome.text, "outcome_code") in LOST_OUTCOMES
    for transaction in item.objects("disputed_transactions"):
        yield Dispute(
            id=_id(item, "dispute_id"),
            capture_id=_id(transaction, "seller_transaction_id"),
            amount=amount,
            status="open" if not is_resolved else "lost" if is_lost else "won",
            lost=_lost(outcome, amount) if outcome is not None and is_lost else Money(currency=amount.currency, nano=0),
            opened_at_ms=time_ms(item.text("create_time")),
            resolved_at_ms=time_ms(item.text("update_time")) if is_resolved else None,
        )


def dispute_ids(search: Fields) -> list[str]:
    return [_id(item, "dispute_id") for item in search.optional(search.objects, "items") or ()]


def refs(resource_type: str, event_type: str, resource: Fields) -> Refs:
    """What a webhook's resource refers to. A refund names its capture only in a link, as a capture may its order."""
    if event_type.startswith("CUSTOMER.DISPUTE."):
        ids = (_id(item, "seller_transaction_id") for item in resource.objects("disputed_transactions"))
        return Refs(disputes=(_id(resource, "dispute_id"),), captures=tuple(ids))
    if resource_type == "refund":
        return Refs(refunds=(_id(resource, "id"),), captures=_some(linked(resource, _CAPTURE_PATH)))
    if resource_type == "capture":
        return Refs(captures=(_id(resource, "id"),), payments=_some(order_of(resource)))
    return Refs(payments=(_id(resource, "id" if "id" in resource.values else "order_id"),))


def order_of(capture: Fields) -> str | None:
    """The order that a capture belongs to, where it says."""
    data = capture.optional(capture.object, "supplementary_data")
    related = data and data.optional(data.object, "related_ids")
    named = related and related.optional(related.text, "order_id")
    return named if named and _ID.fullmatch(named) else linked(capture, _ORDER_PATH)


def linked(item: Fields, path: str) -> str | None:
    """The id at the end of the link to the parent, when the parent is a thing of this path."""
    for link in item.optional(item.objects, "links") or ():
        href = link.optional(link.text, "href") or ""
        _, found, rest = href.partition(path)
        if link.optional(link.text, "rel") == "up" and found and _ID.fullmatch(rest):
            return rest
    return None


def approve_url(order: Fields) -> str | None:
    """Where the payer approves the order; the name of the link depends on how the order was made."""
    for link in order.optional(order.objects, "links") or ():
        if link.optional(link.text, "rel") in ("payer-action", "approve"):
            return link.text("href")
    return None


def time_ms(text: str) -> int:
    """RFC 3339, in whichever offset PayPal has written it."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise FieldError("not a time") from error
    if instant.tzinfo is None:
        raise FieldError("a time without its offset")
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def _only_unit(order: Fields) -> Fields:
    units = list(order.objects("purchase_units"))
    if len(units) != 1:
        raise FieldError("order.purchase_units: not exactly one")
    return units[0]


def _payments(order: Fields, kind: str) -> list[Fields]:
    unit = _only_unit(order)
    payments = unit.optional(unit.object, "payments")
    return [] if payments is None else list(payments.optional(payments.objects, kind) or ())


def _capture(item: Fields) -> Capture:
    status = item.text("status")
    if status not in CAPTURE_STATUSES:
        raise FieldError("capture.status: not a status that is known")
    breakdown = item.optional(item.object, "seller_receivable_breakdown")
    return Capture(
        id=_id(item, "id"),
        gross=_money(item.object("amount")),
        fee=_usd(breakdown, "paypal_fee"),
        status=CAPTURE_STATUSES[status],
        reference=item.optional(item.text, "custom_id"),
        created_at_ms=time_ms(item.text("create_time")),
    )


def _reason(capture: Fields) -> str | None:
    details = capture.optional(capture.object, "status_details")
    return None if details is None else details.optional(details.text, "reason")


def _lost(outcome: Fields, disputed: Money) -> Money:
    refunded = outcome.optional(outcome.object, "amount_refunded")
    return disputed if refunded is None else _money(refunded)


def _usd(breakdown: Fields | None, field: str) -> NanoUsd | None:
    amount = breakdown and breakdown.optional(breakdown.object, field)
    money = amount and _money(amount)
    return NanoUsd(money.nano) if money and money.currency == "USD" else None


def _money(amount: Fields) -> Money:
    try:
        return Money(currency=amount.text("currency_code"), nano=parse_usd(amount.text("value")))
    except MoneyError as error:
        raise FieldError("not an amount") from error


def _id(item: Fields, field: str) -> str:
    text = item.text(field)
    if not _ID.fullmatch(text):
        raise FieldError("not an id")
    return text


def _some(found: str | None) -> tuple[str, ...]:
    return () if found is None else (found,)
