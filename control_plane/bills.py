"""Bills: what an invoice and a credit note have in common on paper, as HTML and as PDF with the same words."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from control_plane.documents import Column, Paper, render_html
from control_plane.invoices import Operator


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """Who bills whom for what; the last line is the total."""

    title: str
    operator: Operator
    issued_at_ms: int
    customer: Sequence[str]
    details: Sequence[str]
    lines: Sequence[tuple[str, str]]


def to_html(bill: Bill) -> str:
    return render_html("bill.html", bill=bill)


def to_pdf(bill: Bill, *, font: Path | None = None) -> bytes:
    operator = bill.operator
    paper = Paper(title=bill.title, author=operator.name, made_at_ms=bill.issued_at_ms, font=font)
    paper.text(operator.name, *operator.lines)
    paper.heading("To")
    paper.text(*bill.customer)
    paper.heading("For")
    paper.text(*bill.details)
    paper.heading("Amount")
    paper.table([Column(title="", width=70), Column(title="USD", width=30, is_number=True)], bill.lines)
    return paper.to_bytes()
