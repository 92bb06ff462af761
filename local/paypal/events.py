"""The bodies of webhooks, as PayPal's own samples and recorded deliveries have them, with what surprises in them:

- an approved order has a link without ``rel`` and an empty ``breakdown``;
- a capture seldom names our reference or its order: only ``links[rel=up]`` leads on;
- a denied capture is DECLINED in its status;
- a refund or reversal is a ``refund`` whose capture is only in ``links[rel=up]``, with times at ``-07:00``;
- a dispute has an empty list of items;
- slashes are escaped, so the bytes are not what a JSON library would write again.
"""

import json
from collections.abc import Callable

from local.paypal.books import Capture, Dispute, Event, Order, Refund
from local.paypal.clock import Clock, shown, shown_in_paypal_zone, shown_with_ms
from local.paypal.identifiers import event_id
from local.paypal.money import Json
from local.paypal.shapes import Shapes, dispute_outcome, link, payable, receivable

SUMMARIES = {
    "PAYMENT.CAPTURE.COMPLETED": "Payment completed for {}",
    "PAYMENT.CAPTURE.PENDING": "Payment pending for {}",
    "PAYMENT.CAPTURE.DENIED": "Payment denied for {}",
    "PAYMENT.CAPTURE.DECLINED": "Payment declined for {}",
    "PAYMENT.CAPTURE.REFUNDED": "A {} capture payment was refunded",
    "PAYMENT.CAPTURE.REVERSED": "A {} capture payment was reversed",
    "CUSTOMER.DISPUTE.CREATED": "A new dispute opened with Case # {}",
    "CUSTOMER.DISPUTE.UPDATED": "A dispute was updated with Case # {}",
    "CUSTOMER.DISPUTE.RESOLVED": "A dispute was resolved with case # {}",
}
Publish = Callable[[Event], None]


class Events:
    """Makes an event of what happened, writes it down and publishes it."""

    def __init__(self, shapes: Shapes, clock: Clock, publish: Publish) -> None:
        self._shapes = shapes
        self._clock = clock
        self._publish = publish

    def order_approved(self, order: Order) -> None:
        body = self._shapes.order(order)
        body.pop("payment_source")
        body["purchase_units"][0]["amount"]["breakdown"] = {}
        url = f"{self._shapes.base_url}/v2/checkout/orders/{order.id}"
        body["links"] = [link(url, "self"), {"href": f"{url}/capture", "method": "POST"}]
        summary = "An order has been approved by buyer"
        self.emit("CHECKOUT.ORDER.APPROVED", "checkout-order", body, transaction_id=order.id, summary=summary)

    def approval_reversed(self, order: Order) -> None:
        body = {
            "order_id": order.id,
            "purchase_units": [{"reference_id": order.reference_id, "custom_id": order.custom_id}],
            "payment_source": {"paypal": {"name": "John Doe", "country_code": "US"}},
        }
        summary = "A payment has been reversed after approval."
        kind = "CHECKOUT.PAYMENT-APPROVAL.REVERSED"
        self.emit(kind, "checkout-order", body, transaction_id=order.id, summary=summary)

    def capture_completed(self, capture: Capture) -> None:
        kind = "PAYMENT.CAPTURE.COMPLETED"
        summary = SUMMARIES[kind].format(capture.amount)
        body = self._capture(capture) | {"seller_receivable_breakdown": receivable(capture)}
        if capture.was_pending:
            summary = f"A {capture.amount} pending capture payment was completed"
        else:
            body["supplementary_data"] = {"related_ids": {"order_id": capture.order_id}}
        self.emit(kind, "capture", body, transaction_id=capture.id, summary=summary)

    def capture_pending(self, capture: Capture) -> None:
        body = self._capture(capture) | {"status_details": {"reason": capture.reason}}
        self._emit_capture("PAYMENT.CAPTURE.PENDING", capture, body)

    def capture_denied(self, capture: Capture, kind: str = "PAYMENT.CAPTURE.DENIED") -> None:
        references = {"invoice_id": capture.invoice_id, "custom_id": capture.custom_id}
        body = self._capture(capture) | {name: value for name, value in references.items() if value is not None}
        amount = capture.amount.shown()
        body["seller_receivable_breakdown"] = {"gross_amount": amount, "net_amount": amount}
        self._emit_capture(kind, capture, body)

    def refunded(self, refund: Refund) -> None:
        kind = "PAYMENT.CAPTURE.REVERSED" if refund.is_reversal else "PAYMENT.CAPTURE.REFUNDED"
        body = {
            "id": refund.id,
            "amount": refund.amount.shown(),
            "note_to_payer": refund.note or "Payment refunded",
            "seller_payable_breakdown": payable(refund),
            "status": "COMPLETED",
            "create_time": shown_in_paypal_zone(refund.created_ms),
            "update_time": shown_in_paypal_zone(refund.created_ms),
            "links": self._shapes.refund_links(refund),
        }
        summary = SUMMARIES[kind].format(refund.amount)
        self.emit(kind, "refund", body, transaction_id=refund.id, summary=summary)

    def dispute(self, kind: str, dispute: Dispute) -> None:
        """``kind`` is CREATED, UPDATED or RESOLVED."""
        transaction = {
            "seller_transaction_id": dispute.capture_id,
            "seller": self._shapes.seller(self._shapes.books.capture(dispute.capture_id)),
            "items": [],
            "seller_protection_eligible": True,
        }
        body = self._shapes.dispute_summary(dispute) | {"disputed_transactions": [transaction]}
        if dispute.outcome:
            body["dispute_outcome"] = dispute_outcome(dispute)
        event_type = f"CUSTOMER.DISPUTE.{kind}"
        summary = SUMMARIES[event_type].format(dispute.id)
        self.emit(event_type, "dispute", body, transaction_id=dispute.capture_id, summary=summary)

    def emit(self, event_type: str, resource_type: str, resource: Json, *, transaction_id: str, summary: str) -> Event:
        """Publishes any event, also one that the books know nothing of."""
        now_ms, identifier = self._clock.now_ms(), event_id()
        url = f"{self._shapes.base_url}/v1/notifications/webhooks-events/{identifier}"
        body = {
            "id": identifier,
            "event_version": "1.0",
            "create_time": shown_with_ms(now_ms),
            "resource_type": resource_type,
            "resource_version": "2.0",
            "event_type": event_type,
            "summary": summary,
            "resource": resource,
            "links": [link(url, "self"), link(f"{url}/resend", "resend", "POST")],
        }
        event = Event(
            id=identifier,
            event_type=event_type,
            transaction_id=transaction_id,
            raw=json.dumps(body, separators=(",", ":")).replace("/", "\\/"),
            created_ms=now_ms,
        )
        self._shapes.books.events[event.id] = event
        self._publish(event)
        return event

    def _emit_capture(self, kind: str, capture: Capture, body: Json) -> None:
        summary = SUMMARIES[kind].format(capture.amount)
        self.emit(kind, "capture", body, transaction_id=capture.id, summary=summary)

    def _capture(self, capture: Capture) -> Json:
        return {
            "id": capture.id,
            "amount": capture.amount.shown(),
            "final_capture": True,
            "seller_protection": {"status": "NOT_ELIGIBLE"},
            "status": capture.status,
            "create_time": shown(capture.created_ms),
            "update_time": shown(capture.updated_ms),
            "links": self._shapes.capture_links(capture),
        }
