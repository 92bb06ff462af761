"""Statements, invoices and credit notes over HTTP, for the own account: HTML to read, PDF to keep, CSV to reckon."""

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse, Response

from control_plane import bills, credit_notes, invoice_documents, invoices, statement_documents, statements
from control_plane.api.dependencies import OwnAccountId, ServicesDep
from control_plane.api.problems import RESPONSES, Problem
from control_plane.bills import Bill
from control_plane.credit_notes import CreditNote
from control_plane.invoices import Invoice, Operator
from control_plane.services import Services
from control_plane.statements import Month, Statement

router = APIRouter(prefix="/account/v1", tags=["account"], responses=RESPONSES)

PDF: Final = "application/pdf"


def month_of(month: str) -> Month:
    """The month of the path, or 422."""
    try:
        return Month.parse(month)
    except ValueError as error:
        raise Problem.invalid("/month", str(error)) from error


MonthDep = Annotated[Month, Depends(month_of)]


async def read_statement(month: MonthDep, account_id: OwnAccountId, services: ServicesDep) -> Statement:
    """The statement of the own account."""
    async with services.store.read() as connection:
        return await statements.read(connection, account_id, month, now_ms=services.now_ms())


async def read_invoice(topup_id: str, account_id: OwnAccountId, services: ServicesDep) -> Invoice:
    """The invoice of an own top-up."""
    operator = Operator.of(services.settings)
    return await invoices.issue(services.store, topup_id, owner=account_id, operator=operator, now_ms=services.now_ms())


async def read_credit_note(
    topup_id: str, refund_id: str, account_id: OwnAccountId, services: ServicesDep
) -> CreditNote:
    """The credit note of a refund of an own top-up."""
    operator = Operator.of(services.settings)
    return await credit_notes.issue(
        services.store, topup_id, refund_id, owner=account_id, operator=operator, now_ms=services.now_ms()
    )


StatementDep = Annotated[Statement, Depends(read_statement)]
InvoiceDep = Annotated[Invoice, Depends(read_invoice)]
CreditNoteDep = Annotated[CreditNote, Depends(read_credit_note)]


@router.get("/statements/{month}.csv", summary="Read a month's statement as CSV", response_class=Response)
async def read_statement_csv(statement: StatementDep) -> Response:
    text = statement_documents.to_csv(statement)
    return _attachment(text.encode(), "text/csv; charset=utf-8", f"statement-{statement.month}.csv")


@router.get("/statements/{month}.pdf", summary="Read a month's statement as PDF", response_class=Response)
async def read_statement_pdf(statement: StatementDep, services: ServicesDep) -> Response:
    operator, font = Operator.of(services.settings), services.settings.document_font_file
    content = await asyncio.to_thread(statement_documents.to_pdf, statement, operator, font=font)
    return _attachment(content, PDF, f"statement-{statement.month}.pdf")


@router.get("/statements/{month}", summary="Read a month's statement", response_class=HTMLResponse)
async def read_statement_html(statement: StatementDep, services: ServicesDep) -> HTMLResponse:
    """Of a calendar month in UTC; the month that is not over yet has one to date."""
    return HTMLResponse(statement_documents.to_html(statement, Operator.of(services.settings)))


@router.get("/topups/{topup_id}/invoice", summary="Read a top-up's invoice", response_class=HTMLResponse)
async def read_invoice_html(invoice: InvoiceDep) -> HTMLResponse:
    """It gets its number when it is read for the first time, and never changes."""
    return HTMLResponse(bills.to_html(invoice_documents.invoice_bill(invoice)))


@router.get("/topups/{topup_id}/invoice.pdf", summary="Read a top-up's invoice as PDF", response_class=Response)
async def read_invoice_pdf(invoice: InvoiceDep, services: ServicesDep) -> Response:
    return await _pdf(invoice_documents.invoice_bill(invoice), services, f"invoice-{invoice.number}.pdf")


@router.get(
    "/topups/{topup_id}/refunds/{refund_id}/credit-note",
    summary="Read a refund's credit note",
    response_class=HTMLResponse,
)
async def read_credit_note_html(note: CreditNoteDep) -> HTMLResponse:
    """It gets its number when it is read for the first time, and never changes; it names the top-up's invoice."""
    return HTMLResponse(bills.to_html(invoice_documents.credit_note_bill(note)))


@router.get(
    "/topups/{topup_id}/refunds/{refund_id}/credit-note.pdf",
    summary="Read a refund's credit note as PDF",
    response_class=Response,
)
async def read_credit_note_pdf(note: CreditNoteDep, services: ServicesDep) -> Response:
    return await _pdf(invoice_documents.credit_note_bill(note), services, f"credit-note-{note.number}.pdf")


async def _pdf(bill: Bill, services: Services, name: str) -> Response:
    content = await asyncio.to_thread(bills.to_pdf, bill, font=services.settings.document_font_file)
    return _attachment(content, PDF, name)


def _attachment(content: bytes, media_type: str, name: str) -> Response:
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=media_type, headers=headers)
