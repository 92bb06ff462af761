"""A statement as HTML, as CSV and as PDF: the same figures in each."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from control_plane.documents import Column, Paper, day_text, render_html, time_text
from control_plane.invoices import Operator
from control_plane.ledger import TransferKind
from control_plane.statements import Charges, Statement
from gateway.money import NanoUsd, format_usd

KIND_NAMES: Final[dict[TransferKind, str]] = {
    "credit": "Credits",
    "trial": "Trial credit",
    "top_up": "Top-ups",
    "refund": "Refunds",
    "reversal": "Reversals",
    "usage": "Charges",
    "fee": "Fees",
    "writeoff": "Write-offs",
}
CSV_COLUMNS: Final = (
    *("line", "date", "model", "requests", "prompt_tokens", "cached_tokens", "completion_tokens"),
    *("reference", "amount_usd"),
)
# A spreadsheet takes a text that begins so for a formula.
_FORMULA_SIGNS: Final = ("=", "+", "-", "@", "\t", "\r")


def summary_of(statement: Statement) -> list[tuple[str, NanoUsd]]:
    """From the opening to the closing balance: the last is the sum of the others."""
    return [
        ("Opening balance", statement.opening_nano_usd),
        *((KIND_NAMES[kind], amount) for kind, amount in statement.moved.items()),
        ("Charges", NanoUsd(-statement.charged.amount_nano_usd)),
        ("Closing balance" if statement.is_final else "Balance to date", statement.closing_nano_usd),
    ]


def to_html(statement: Statement, operator: Operator) -> str:
    return render_html(
        "statement.html",
        statement=statement,
        operator=operator,
        summary=summary_of(statement),
        account_lines=_account_lines(statement),
        kind_names=KIND_NAMES,
    )


def to_csv(statement: Statement) -> str:
    """One line for each that moved the balance; the amounts between the two balances add up to their difference."""
    file = io.StringIO()
    table = csv.DictWriter(file, CSV_COLUMNS, restval="")
    table.writeheader()
    start, end = day_text(statement.month.start_ms), day_text(statement.month.end_ms - 1)
    table.writerow({"line": "opening_balance", "date": start, "amount_usd": format_usd(statement.opening_nano_usd)})
    table.writerows(
        {
            "line": movement.kind,
            "date": day_text(movement.at_ms),
            "reference": _harmless(movement.transfer_id),
            "amount_usd": format_usd(movement.amount_nano_usd),
        }
        for movement in statement.movements
    )
    table.writerows(_charge_row(line) for line in statement.charges)
    table.writerow({"line": "closing_balance", "date": end, "amount_usd": format_usd(statement.closing_nano_usd)})
    return file.getvalue()


def to_pdf(statement: Statement, operator: Operator, *, font: Path | None = None) -> bytes:
    title = f"Statement {statement.month}"
    paper = Paper(title=title, author=operator.name, made_at_ms=statement.made_at_ms, font=font)
    paper.text(operator.name, *operator.lines)
    paper.heading("Account")
    paper.text(*_account_lines(statement))
    paper.heading("Summary")
    paper.table(
        (Column(title="", width=70), Column(title="USD", width=30, is_number=True)),
        [[name, format_usd(amount)] for name, amount in summary_of(statement)],
    )
    if statement.movements:
        paper.heading("Money in and back")
        paper.table(_MOVEMENT_COLUMNS, _movement_rows(statement))
    if statement.charges:
        paper.heading("Charges by model")
        paper.table((Column(title="Model", width=30), *_CHARGE_COLUMNS), _charge_rows(statement.by_model))
        paper.heading("Charges by day")
        paper.table((Column(title="Day", width=30), *_CHARGE_COLUMNS), _charge_rows(statement.by_day))
    return paper.to_bytes()


_USD: Final = Column(title="USD", width=20, is_number=True)
_MOVEMENT_COLUMNS: Final = (
    Column(title="Date", width=15),
    Column(title="Kind", width=15),
    Column(title="Reference", width=50),
    _USD,
)
_CHARGE_COLUMNS: Final = (
    Column(title="Requests", width=15, is_number=True),
    Column(title="Input", width=15, is_number=True),
    Column(title="of it cached", width=15, is_number=True),
    Column(title="Output", width=15, is_number=True),
    _USD,
)


def _account_lines(statement: Statement) -> list[str]:
    account, month = statement.account, statement.month
    end = time_text(month.end_ms - 1) if statement.is_final else f"{time_text(statement.made_at_ms)}, not final"
    period = f"{time_text(month.start_ms)} to {end}"
    return [account.id, *filter(None, (account.name, account.email)), period]


def _movement_rows(statement: Statement) -> list[list[str]]:
    return [
        [
            day_text(movement.at_ms),
            KIND_NAMES[movement.kind],
            movement.transfer_id,
            format_usd(movement.amount_nano_usd),
        ]
        for movement in statement.movements
    ]


def _charge_rows(lines: Iterable[Charges]) -> list[list[str]]:
    return [
        [
            line.model or line.day or "",
            str(line.requests),
            str(line.prompt_tokens),
            str(line.cached_tokens),
            str(line.completion_tokens),
            format_usd(line.amount_nano_usd),
        ]
        for line in lines
    ]


def _charge_row(line: Charges) -> dict[str, object]:
    return {
        "line": "usage",
        "date": line.day,
        "model": _harmless(line.model or ""),
        "requests": line.requests,
        "prompt_tokens": line.prompt_tokens,
        "cached_tokens": line.cached_tokens,
        "completion_tokens": line.completion_tokens,
        "amount_usd": format_usd(NanoUsd(-line.amount_nano_usd)),
    }


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA_SIGNS) else text
