"""Orders, captures, refunds and disputes as PayPal's API shows them."""

from dataclasses import dataclass
from decimal import Decimal

from local.paypal.books import Books, Capture, Dispute, Order, Refund
from local.paypal.clock import shown
from local.paypal.money import Json

PAYER_NAME = {"given_name": "John", "surname": "Doe"}
PAYER_EMAIL = "john.doe@example.com"
MERCHANT_NAME = "Test Store"


def link(href: str, rel: str, method: str = "GET") -> Json:
    return {"href": href, "rel": rel, "method": method}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shapes:
    """Shows what is in the books, with links to this base URL."""

    books: Books
    base_url: str

    def order(self, order: Order) -> Json:
        """The whole representation."""
        minimal = self.order_minimal(order)
        [unit] = minimal.pop("purchase_units", [{"reference_id": order.reference_id}])
        unit |= {
            "amount": order.amount.shown(),
            "payee": {"email_address": order.payee_email, "merchant_id": order.payee_merchant_id},
            **_given(description=order.description, custom_id=order.custom_id, invoice_id=order.invoice_id),
        }
        return {
            "id": minimal.pop("id"),
            "intent": "CAPTURE",
            **minimal,
            "purchase_units": [unit],
            "create_time": shown(order.created_ms),
            "update_time": shown(order.updated_ms),
        }

    def order_minimal(self, order: Order) -> Json:
        """What ``Prefer: return=minimal`` leaves: the payments too, once there are some."""
        body: Json = {"id": order.id, "status": order.status}
        if order.has_payment_source or order.payer_id:
            body["payment_source"] = {"paypal": self._wallet(order)}
        if order.payer_id:
            body["payer"] = {"name": PAYER_NAME, "email_address": PAYER_EMAIL, "payer_id": order.payer_id}
        if order.capture_id:
            payments = self._payments(order.capture_id)
            body["purchase_units"] = [{"reference_id": order.reference_id, "payments": payments}]
        body["links"] = self.order_links(order)
        return body

    def order_links(self, order: Order) -> list[Json]:
        url = f"{self.base_url}/v2/checkout/orders/{order.id}"
        if order.status == "COMPLETED":
            return [link(url, "self")]
        rel = "payer-action" if order.has_payment_source else "approve"
        capture = link(f"{url}/capture", "capture", "POST")
        return [link(url, "self"), link(self.approval_url(order), rel), capture]

    def approval_url(self, order: Order) -> str:
        return f"{self.base_url}/checkoutnow?token={order.id}"

    def capture(self, capture: Capture) -> Json:
        """As it is read by its own id."""
        return self.capture_in_order(capture) | {
            "payee": {"email_address": capture.payee_email, "merchant_id": capture.payee_merchant_id},
            "supplementary_data": {"related_ids": {"order_id": capture.order_id}},
        }

    def capture_in_order(self, capture: Capture) -> Json:
        return {
            "id": capture.id,
            "status": capture.status,
            **({"status_details": {"reason": capture.reason}} if capture.reason else {}),
            "amount": capture.amount.shown(),
            "final_capture": True,
            "disbursement_mode": "INSTANT",
            "seller_protection": {"status": "NOT_ELIGIBLE"},
            **self._receivable(capture),
            **_given(custom_id=capture.custom_id, invoice_id=capture.invoice_id),
            "create_time": shown(capture.created_ms),
            "update_time": shown(capture.updated_ms),
            "links": self.capture_links(capture),
        }

    def capture_links(self, capture: Capture) -> list[Json]:
        url = f"{self.base_url}/v2/payments/captures/{capture.id}"
        return [
            link(url, "self"),
            link(f"{url}/refund", "refund", "POST"),
            link(f"{self.base_url}/v2/checkout/orders/{capture.order_id}", "up"),
        ]

    def refund(self, refund: Refund) -> Json:
        return {
            "id": refund.id,
            "amount": refund.amount.shown(),
            **_given(note_to_payer=refund.note, invoice_id=refund.invoice_id, custom_id=refund.custom_id),
            "seller_payable_breakdown": payable(refund),
            "status": "COMPLETED",
            "create_time": shown(refund.created_ms),
            "update_time": shown(refund.created_ms),
            "links": self.refund_links(refund),
        }

    def refund_minimal(self, refund: Refund) -> Json:
        return {"id": refund.id, "status": "COMPLETED", "links": self.refund_links(refund)}

    def refund_links(self, refund: Refund) -> list[Json]:
        return [
            link(f"{self.base_url}/v2/payments/refunds/{refund.id}", "self"),
            link(f"{self.base_url}/v2/payments/captures/{refund.capture_id}", "up"),
        ]

    def dispute(self, dispute: Dispute) -> Json:
        capture = self.books.capture(dispute.capture_id)
        transaction = {
            "buyer_transaction_id": capture.order_id,
            "seller_transaction_id": capture.id,
            "create_time": shown(capture.created_ms),
            "transaction_status": "COMPLETED",
            "gross_amount": capture.amount.shown(),
            **_given(invoice_number=capture.invoice_id, custom=capture.custom_id),
            "buyer": {"name": " ".join(PAYER_NAME.values())},
            "seller": self.seller(capture),
        }
        return {
            **self.dispute_summary(dispute),
            "disputed_transactions": [transaction],
            **({"dispute_outcome": dispute_outcome(dispute)} if dispute.outcome else {}),
        }

    def dispute_summary(self, dispute: Dispute) -> Json:
        """What is the same in a list, in a webhook and in the whole dispute."""
        return {
            "dispute_id": dispute.id,
            "create_time": shown(dispute.created_ms),
            "update_time": shown(dispute.updated_ms),
            "reason": dispute.reason,
            "status": dispute.status,
            "dispute_amount": dispute.amount.shown(),
            "dispute_life_cycle_stage": dispute.stage,
            "dispute_channel": "INTERNAL",
            "links": [link(f"{self.base_url}/v1/customer/disputes/{dispute.id}", "self")],
        }

    def seller(self, capture: Capture) -> Json:
        return {"merchant_id": capture.payee_merchant_id, "name": MERCHANT_NAME}

    def _payments(self, capture_id: str) -> Json:
        refunds = [self.refund(refund) for refund in self.books.refunds_of(capture_id)]
        captures = [self.capture_in_order(self.books.capture(capture_id))]
        return {"captures": captures} | ({"refunds": refunds} if refunds else {})

    def _wallet(self, order: Order) -> Json:
        if not order.payer_id:
            return {}
        return {
            "email_address": PAYER_EMAIL,
            "account_id": order.payer_id,
            "account_status": "VERIFIED",
            "name": PAYER_NAME,
        }

    def _receivable(self, capture: Capture) -> Json:
        """PayPal's fee is known when the money has moved, and not before."""
        if capture.status in ("PENDING", "DECLINED"):
            return {}
        return {"seller_receivable_breakdown": receivable(capture)}


def receivable(capture: Capture) -> Json:
    net = capture.amount.of(capture.amount.value - capture.fee.value)
    return {
        "gross_amount": capture.amount.shown(),
        "paypal_fee": capture.fee.shown(),
        "net_amount": net.shown(),
    }


def payable(refund: Refund) -> Json:
    """PayPal keeps its fee."""
    return {
        "gross_amount": refund.amount.shown(),
        "paypal_fee": refund.amount.of(Decimal(0)).shown(),
        "net_amount": refund.amount.shown(),
        "total_refunded_amount": refund.total_refunded.shown(),
    }


def dispute_outcome(dispute: Dispute) -> Json:
    refunded = {"amount_refunded": dispute.refunded.shown()} if dispute.refunded else {}
    return {"outcome_code": dispute.outcome} | refunded


def _given(**members: str | None) -> Json:
    """Those that are set."""
    return {name: value for name, value in members.items() if value is not None}
