"""What becomes of a capture: settled or denied, refunded, reversed, disputed."""

from dataclasses import dataclass
from decimal import Decimal

from local.paypal.books import Books, Capture, Dispute, Refund
from local.paypal.clock import Clock
from local.paypal.errors import REFUND_DESCRIPTIONS, refused
from local.paypal.events import Events
from local.paypal.identifiers import dispute_id, transaction_id
from local.paypal.money import Money

REFUND_LIMIT_MS = 180 * 86_400_000
REFUNDABLE_STATUSES = ("COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED")
# In a reversal, which is a refund otherwise, this note is all that tells.
REVERSAL_NOTE = "Payment reversed"
# Where the buyer has his money back.
BUYER_OUTCOMES = ("RESOLVED_BUYER_FAVOUR", "ACCEPTED")


@dataclass(frozen=True, slots=True, kw_only=True)
class Captures:
    books: Books
    clock: Clock
    events: Events

    def settle(self, capture: Capture) -> None:
        """The money of a pending capture has come."""
        self._end_pending(capture, "COMPLETED")
        self.events.capture_completed(capture)

    def deny(self, capture: Capture, kind: str = "PAYMENT.CAPTURE.DENIED") -> None:
        """The money of a pending capture will not come. PayPal's pages have two names for the event."""
        self._end_pending(capture, "DECLINED")
        self.events.capture_denied(capture, kind)

    def refund(
        self,
        capture: Capture,
        amount: Money | None,
        *,
        note: str | None = None,
        invoice_id: str | None = None,
        custom_id: str | None = None,
    ) -> Refund:
        """What is left of the capture, or a part of it. Raises Refused."""
        amount = amount or self._left(capture)
        self._admit_refund(capture, amount, invoice_id)
        return self._pay_back(capture, amount, note=note, invoice_id=invoice_id, custom_id=custom_id)

    def reverse(self, capture: Capture, amount: Money | None = None) -> Refund:
        """PayPal or the buyer's bank takes the money back; nobody asks the merchant."""
        amount = amount or self._left(capture)
        if not Decimal(0) < amount.value <= self._left(capture).value:
            raise refused("REFUND_AMOUNT_EXCEEDED")
        refund = self._pay_back(capture, amount, note=REVERSAL_NOTE, is_reversal=True)
        capture.reason = "CHARGEBACK"
        return refund

    def open_dispute(self, capture: Capture, amount: Money | None, reason: str, stage: str) -> Dispute:
        now_ms = self.clock.now_ms()
        dispute = Dispute(
            id=dispute_id(),
            capture_id=capture.id,
            amount=amount or capture.amount,
            reason=reason,
            stage=stage,
            created_ms=now_ms,
            updated_ms=now_ms,
        )
        self.books.disputes[dispute.id] = dispute
        self.events.dispute("CREATED", dispute)
        return dispute

    def update_dispute(self, dispute: Dispute, status: str, stage: str) -> None:
        dispute.status, dispute.stage, dispute.updated_ms = status, stage, self.clock.now_ms()
        self.events.dispute("UPDATED", dispute)

    def resolve_dispute(self, dispute: Dispute, outcome: str, *, reverses: bool) -> None:
        """With ``reverses``, what the buyer wins is taken from the capture, as a reversal of its own."""
        capture = self.books.capture(dispute.capture_id)
        is_won_by_buyer = outcome in BUYER_OUTCOMES
        dispute.status, dispute.outcome, dispute.updated_ms = "RESOLVED", outcome, self.clock.now_ms()
        dispute.refunded = dispute.amount if is_won_by_buyer else dispute.amount.of(Decimal(0))
        taken = min(dispute.amount.value, self._left(capture).value)
        if reverses and is_won_by_buyer and taken > 0:
            self.reverse(capture, capture.amount.of(taken))
        self.events.dispute("RESOLVED", dispute)

    def _end_pending(self, capture: Capture, status: str) -> None:
        if capture.status != "PENDING":
            raise refused("INVALID_PARAMETER_VALUE", field="/status")
        capture.status, capture.reason, capture.updated_ms = status, None, self.clock.now_ms()

    def _admit_refund(self, capture: Capture, amount: Money, invoice_id: str | None) -> None:
        issue = self._refusal(capture, amount, invoice_id)
        if issue is not None:
            raise refused(issue, description=REFUND_DESCRIPTIONS.get(issue))

    def _refusal(self, capture: Capture, amount: Money, invoice_id: str | None) -> str | None:
        left = self._left(capture)
        is_partial = amount.value < capture.amount.value
        rules = (
            ("PENDING_CAPTURE", capture.status == "PENDING"),
            ("REFUND_NOT_ALLOWED", capture.status not in REFUNDABLE_STATUSES),
            ("REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK", any(r.is_reversal for r in self.books.refunds_of(capture.id))),
            ("CAPTURE_FULLY_REFUNDED", left.value == 0),
            ("REFUND_CAPTURE_CURRENCY_MISMATCH", amount.currency_code != capture.amount.currency_code),
            ("REFUND_AMOUNT_EXCEEDED", amount.value > left.value),
            ("TRANSACTION_DISPUTED", is_partial and self.books.has_open_dispute(capture.id)),
            ("REFUND_TIME_LIMIT_EXCEEDED", self.clock.now_ms() - capture.created_ms > REFUND_LIMIT_MS),
            ("DUPLICATE_INVOICE_ID", invoice_id is not None and self._is_refunded(invoice_id)),
        )
        return next((issue for issue, applies in rules if applies), None)

    def _pay_back(
        self,
        capture: Capture,
        amount: Money,
        *,
        note: str | None = None,
        invoice_id: str | None = None,
        custom_id: str | None = None,
        is_reversal: bool = False,
    ) -> Refund:
        now_ms = self.clock.now_ms()
        total = self.books.refunded(capture).value + amount.value
        refund = Refund(
            id=transaction_id(),
            capture_id=capture.id,
            amount=amount,
            total_refunded=amount.of(total),
            note=note,
            invoice_id=invoice_id,
            custom_id=custom_id,
            is_reversal=is_reversal,
            created_ms=now_ms,
        )
        self.books.refunds[refund.id] = refund
        capture.status = "REFUNDED" if total == capture.amount.value else "PARTIALLY_REFUNDED"
        capture.updated_ms = now_ms
        self.events.refunded(refund)
        return refund

    def _left(self, capture: Capture) -> Money:
        return capture.amount.of(capture.amount.value - self.books.refunded(capture).value)

    def _is_refunded(self, invoice_id: str) -> bool:
        return any(refund.invoice_id == invoice_id for refund in self.books.refunds.values())
