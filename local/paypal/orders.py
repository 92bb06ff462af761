"""Orders: made by the merchant, approved by the buyer, captured by the merchant."""

from collections import deque
from dataclasses import dataclass, field

from local.paypal.books import Books, Capture, Order
from local.paypal.clock import Clock
from local.paypal.errors import refused
from local.paypal.events import Events
from local.paypal.identifiers import account_id, transaction_id
from local.paypal.money import fee
from local.paypal.shapes import Shapes, link

MAX_DECLINED_ATTEMPTS = 10
OPEN_STATUSES = ("CREATED", "PAYER_ACTION_REQUIRED", "APPROVED")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a capture comes to: a status, with a reason where it is pending; or an issue, and then no capture."""

    status: str = "COMPLETED"
    reason: str | None = None
    issue: str | None = None


# How the buyer pays, chosen on the page where the order is approved.
FUNDINGS = {
    "balance": Outcome(),
    "echeck": Outcome(status="PENDING", reason="ECHECK"),
    "review": Outcome(status="PENDING", reason="PENDING_REVIEW"),
    "card-declined": Outcome(issue="INSTRUMENT_DECLINED"),
    "pay-later-declined": Outcome(issue="INSTRUMENT_DECLINED"),
    "action-required": Outcome(issue="PAYER_ACTION_REQUIRED"),
    "refused": Outcome(issue="TRANSACTION_REFUSED"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """``next_outcomes`` come before what the buyer chose, one for each capture."""

    books: Books
    clock: Clock
    events: Events
    shapes: Shapes
    next_outcomes: deque[Outcome] = field(default_factory=deque)

    def create(self, order: Order) -> Order:
        if order.invoice_id is not None and self._is_paid(order.invoice_id):
            raise refused("DUPLICATE_INVOICE_ID", field="/purchase_units/0/invoice_id")
        self.books.orders[order.id] = order
        return order

    def approve(self, order: Order, funding: str = "balance") -> None:
        """The buyer pays, or chooses another means after the first was declined."""
        if order.status not in OPEN_STATUSES:
            raise refused("INVALID_PARAMETER_VALUE", field="/status")
        order.payer_id = order.payer_id or account_id()
        order.funding = funding
        self._set_status(order, "APPROVED")
        self.events.order_approved(order)

    def lapse(self, order: Order) -> None:
        """The approval is taken back, because it was not captured in time."""
        self._set_status(order, "VOIDED")
        self.events.approval_reversed(order)

    def capture(self, order_id: str) -> Order:
        order = self.books.order(order_id)
        self._admit(order)
        outcome = self.next_outcomes.popleft() if self.next_outcomes else FUNDINGS[order.funding]
        if outcome.issue is not None:
            self._decline(order, outcome.issue)
        capture = self._book(order, outcome)
        match capture.status:
            case "COMPLETED":
                self.events.capture_completed(capture)
            case "PENDING":
                self.events.capture_pending(capture)
            case _:
                self.events.capture_denied(capture)
        return order

    def _admit(self, order: Order) -> None:
        if order.capture_id is not None:
            raise refused("ORDER_ALREADY_CAPTURED")
        if order.status != "APPROVED":
            raise refused("ORDER_NOT_APPROVED")
        if order.declined_attempts >= MAX_DECLINED_ATTEMPTS:
            raise refused("MAX_NUMBER_OF_PAYMENT_ATTEMPTS_EXCEEDED")
        if order.invoice_id is not None and self._is_paid(order.invoice_id):
            raise refused("DUPLICATE_INVOICE_ID")

    def _decline(self, order: Order, issue: str) -> None:
        """Raises the refusal. The buyer may come back to the same page and choose another means."""
        order.declined_attempts += 1
        if issue == "PAYER_ACTION_REQUIRED":
            self._set_status(order, "PAYER_ACTION_REQUIRED")
        rel = "payer-action" if issue == "PAYER_ACTION_REQUIRED" else "redirect"
        raise refused(issue, links=[link(self.shapes.approval_url(order), rel)])

    def _book(self, order: Order, outcome: Outcome) -> Capture:
        now_ms = self.clock.now_ms()
        capture = Capture(
            id=transaction_id(),
            order_id=order.id,
            status=outcome.status,
            reason=outcome.reason,
            was_pending=outcome.status == "PENDING",
            amount=order.amount,
            fee=fee(order.amount),
            payee_merchant_id=order.payee_merchant_id,
            payee_email=order.payee_email,
            custom_id=order.custom_id,
            invoice_id=order.invoice_id,
            created_ms=now_ms,
            updated_ms=now_ms,
        )
        self.books.captures[capture.id] = capture
        order.capture_id = capture.id
        self._set_status(order, "COMPLETED")
        return capture

    def _is_paid(self, invoice_id: str) -> bool:
        captures = self.books.captures.values()
        return any(capture.invoice_id == invoice_id and capture.status != "DECLINED" for capture in captures)

    def _set_status(self, order: Order, status: str) -> None:
        order.status = status
        order.updated_ms = self.clock.now_ms()
