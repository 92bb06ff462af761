"""An invoice as HTML and as PDF: the same words in each."""

from pathlib import Path

from control_plane.documents import Column, Paper, day_text, render_html
from control_plane.invoices import Invoice
from gateway.money import format_usd


def lines_of(invoice: Invoice) -> list[tuple[str, str]]:
    """What is invoiced, and that it is paid."""
    items = [("Prepaid credit for API usage", format_usd(invoice.credited_nano_usd))]
    if invoice.fee_nano_usd:
        items.append(("Payment fee", format_usd(invoice.fee_nano_usd)))
    return [*items, ("Total, paid", format_usd(invoice.paid_nano_usd))]


def details_of(invoice: Invoice) -> list[str]:
    return [
        f"Issued {day_text(invoice.issued_at_ms)}",
        f"Paid {day_text(invoice.paid_at_ms)} by {invoice.provider}, {invoice.capture_id}",
        f"Top-up {invoice.topup_id}",
    ]


def customer_of(invoice: Invoice) -> list[str]:
    return [*filter(None, (invoice.customer_name,)), invoice.customer_email, invoice.account_id]


def to_html(invoice: Invoice) -> str:
    return render_html(
        "invoice.html",
        invoice=invoice,
        lines=lines_of(invoice),
        details=details_of(invoice),
        customer=customer_of(invoice),
    )


def to_pdf(invoice: Invoice, *, font: Path | None = None) -> bytes:
    operator = invoice.operator
    title = f"Invoice {invoice.number}"
    paper = Paper(title=title, author=operator.name, made_at_ms=invoice.issued_at_ms, font=font)
    paper.text(operator.name, *operator.lines)
    paper.heading("To")
    paper.text(*customer_of(invoice))
    paper.heading("For")
    paper.text(*details_of(invoice))
    paper.heading("Amount")
    paper.table([Column(title="", width=70), Column(title="USD", width=30, is_number=True)], lines_of(invoice))
    return paper.to_bytes()
