"""What PayPal knows: orders, captures, refunds, disputes, events and deliveries, for as long as it runs.

With a file, the books are read from it at the start and written to it soon after each change, so that a later start
still knows the payments of this one.
"""

import asyncio
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

from local.paypal.errors import refused
from local.paypal.money import Money

WRITE_INTERVAL_S = 0.2

Entry = TypeVar("Entry")


@dataclass(slots=True, kw_only=True)
class Order:
    """``capture_id`` is set once the order is captured, whatever became of the capture."""

    id: str
    status: str
    amount: Money
    payee_merchant_id: str
    payee_email: str
    reference_id: str = "default"
    custom_id: str | None = None
    invoice_id: str | None = None
    description: str | None = None
    brand_name: str | None = None
    return_url: str | None = None
    cancel_url: str | None = None
    landing_page: str = "NO_PREFERENCE"
    is_immediate_payment_required: bool = False
    has_payment_source: bool = False
    funding: str = ""
    payer_id: str | None = None
    declined_attempts: int = 0
    capture_id: str | None = None
    created_ms: int
    updated_ms: int


@dataclass(slots=True, kw_only=True)
class Capture:
    id: str
    order_id: str
    status: str
    reason: str | None = None
    was_pending: bool = False
    amount: Money
    fee: Money
    payee_merchant_id: str
    payee_email: str
    custom_id: str | None = None
    invoice_id: str | None = None
    created_ms: int
    updated_ms: int


@dataclass(slots=True, kw_only=True)
class Refund:
    """Money that went back to the buyer: by the merchant, or by a reversal."""

    id: str
    capture_id: str
    amount: Money
    total_refunded: Money
    note: str | None = None
    invoice_id: str | None = None
    custom_id: str | None = None
    is_reversal: bool = False
    created_ms: int


@dataclass(slots=True, kw_only=True)
class Dispute:
    id: str
    capture_id: str
    amount: Money
    reason: str
    status: str = "OPEN"
    stage: str = "INQUIRY"
    outcome: str | None = None
    refunded: Money | None = None
    created_ms: int
    updated_ms: int


@dataclass(slots=True, kw_only=True)
class Event:
    """A webhook event. ``raw`` is the text whose bytes are signed and delivered."""

    id: str
    event_type: str
    transaction_id: str
    raw: str
    created_ms: int


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One try to deliver; ``status`` is 0 where no answer came."""

    at_ms: int
    status: int
    error: str = ""


@dataclass(slots=True, kw_only=True)
class Delivery:
    """``state`` is one of held, waiting, delivered, given up. The headers are the same in every attempt."""

    event_id: str
    headers: dict[str, str]
    state: str
    due_ms: int
    attempts: list[Attempt] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Remembered:
    """What a call with a request id made."""

    resource_id: str
    until_ms: int


@dataclass(slots=True, kw_only=True)
class Books:
    orders: dict[str, Order] = field(default_factory=dict)
    captures: dict[str, Capture] = field(default_factory=dict)
    refunds: dict[str, Refund] = field(default_factory=dict)
    disputes: dict[str, Dispute] = field(default_factory=dict)
    events: dict[str, Event] = field(default_factory=dict)
    deliveries: list[Delivery] = field(default_factory=list)
    requests: dict[str, Remembered] = field(default_factory=dict)

    def order(self, order_id: str) -> Order:
        return _known(self.orders, order_id)

    def capture(self, capture_id: str) -> Capture:
        return _known(self.captures, capture_id)

    def refund(self, refund_id: str) -> Refund:
        return _known(self.refunds, refund_id)

    def dispute(self, dispute_id: str) -> Dispute:
        return _known(self.disputes, dispute_id)

    def event(self, event_id: str) -> Event:
        return _known(self.events, event_id)

    def refunds_of(self, capture_id: str) -> list[Refund]:
        return [refund for refund in self.refunds.values() if refund.capture_id == capture_id]

    def refunded(self, capture: Capture) -> Money:
        total = sum((refund.amount.value for refund in self.refunds_of(capture.id)), Decimal(0))
        return capture.amount.of(total)

    def has_open_dispute(self, capture_id: str) -> bool:
        return any(d.capture_id == capture_id and d.status != "RESOLVED" for d in self.disputes.values())


_BOOKS = TypeAdapter(Books)


class Keeper:
    """Writes the books to their file, whole or not at all; without a file it does nothing."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self.books = _BOOKS.validate_json(file.read_bytes()) if file and file.exists() else Books()
        self._is_written = True

    def changed(self) -> None:
        self._is_written = False

    def write(self) -> None:
        if self._file is None or self._is_written:
            return
        unfinished = self._file.with_suffix(".new")
        unfinished.write_bytes(_BOOKS.dump_json(self.books))
        unfinished.replace(self._file)
        self._is_written = True

    async def run(self) -> None:
        """Writes what changed a moment ago, for ever."""
        while True:
            await asyncio.sleep(WRITE_INTERVAL_S)
            self.write()


def _known(entries: dict[str, Entry], entry_id: str) -> Entry:
    """Raises Refused with 404."""
    if entry_id not in entries:
        raise refused("INVALID_RESOURCE_ID")
    return entries[entry_id]
