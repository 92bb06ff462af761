"""Invoices and credit notes as bills."""

from control_plane.bills import Bill
from control_plane.credit_notes import CreditNote
from control_plane.documents import day_text
from control_plane.invoices import Invoice
from gateway.money import NanoUsd, format_usd


def invoice_bill(invoice: Invoice) -> Bill:
    """What is invoiced, and that it is paid."""
    return Bill(
        title=f"Invoice {invoice.number}",
        operator=invoice.operator,
        issued_at_ms=invoice.issued_at_ms,
        customer=_customer(invoice),
        details=[
            f"Issued {day_text(invoice.issued_at_ms)}",
            f"Paid {day_text(invoice.paid_at_ms)} by {invoice.provider}, {invoice.capture_id}",
            f"Top-up {invoice.topup_id}",
        ],
        lines=[
            *_lines(invoice.credited_nano_usd, invoice.fee_nano_usd),
            ("Total, paid", format_usd(invoice.paid_nano_usd)),
        ],
    )


def credit_note_bill(note: CreditNote) -> Bill:
    """What is taken back of an invoice, and that it has been returned."""
    return Bill(
        title=f"Credit note {note.number}",
        operator=note.operator,
        issued_at_ms=note.issued_at_ms,
        customer=_customer(note),
        details=[
            f"Issued {day_text(note.issued_at_ms)}",
            f"To invoice {note.invoice_number}, top-up {note.topup_id}",
            f"Returned {day_text(note.returned_at_ms)} by {note.provider}, {note.kind} {note.refund_id}",
        ],
        lines=[*_lines(note.credit_nano_usd, note.fee_nano_usd), ("Total, returned", format_usd(note.total_nano_usd))],
    )


def _customer(document: Invoice | CreditNote) -> list[str]:
    return [*filter(None, (document.customer_name,)), document.customer_email, document.account_id]


def _lines(credit: NanoUsd, fee: NanoUsd) -> list[tuple[str, str]]:
    """A fee that was not charged is not listed."""
    items = [("Prepaid credit for API usage", format_usd(credit))]
    return [*items, ("Payment fee", format_usd(fee))] if fee else items
