"""Credit notes: one for each refund or reversal of a top-up, numbered without gaps, and never changed.

Like an invoice it is made when it is asked for the first time. It names the invoice that it takes back a part of, which
is made with it where nobody has asked for it yet.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy import Column, ForeignKey, Row, Text, UniqueConstraint, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane import invoices, refunds, topups
from control_plane.append_only import keep_append_only
from control_plane.invoices import Invoice, Operator
from control_plane.refunds import Returned
from control_plane.store import Int64, Store, table
from gateway.money import NanoUsd

credit_notes = table(
    "credit_notes",
    Column("number", Int64, primary_key=True, autoincrement=False),
    Column("invoice_number", Int64, ForeignKey(invoices.invoices.c.number), nullable=False),
    Column("topup_id", Text, ForeignKey(topups.topups.c.id), nullable=False),
    Column("refund_id", Text, nullable=False),
    Column("issued_at_ms", Int64, nullable=False),
    Column("content", Text, nullable=False),  # all that it says, in JSON
    UniqueConstraint("topup_id", "refund_id"),
)
keep_append_only(credit_notes)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditNote:
    """What went back of an invoiced top-up; the two amounts are parts of those on the invoice."""

    number: int
    invoice_number: int
    topup_id: str
    refund_id: str
    issued_at_ms: int
    operator: Operator
    customer_email: str
    customer_name: str | None
    account_id: str
    provider: str
    kind: Literal["refund", "reversal"]
    returned_at_ms: int
    credit_nano_usd: NanoUsd
    fee_nano_usd: NanoUsd

    @property
    def total_nano_usd(self) -> NanoUsd:
        return NanoUsd(self.credit_nano_usd + self.fee_nano_usd)


async def issue(
    store: Store, topup_id: str, refund_id: str, *, owner: str, operator: Operator, now_ms: int
) -> CreditNote:
    """The credit note of a refund of that account's top-up, made if it is the first time that it is asked for.

    Raises TopUpNotFound, TopUpNotPaid, RefundNotFound, NumbersContended.
    """

    async def make(connection: AsyncConnection) -> CreditNote:
        topup = await topups.get(connection, topup_id, owner=owner)
        if (made := await _find(connection, topup_id, refund_id)) is not None:
            return made
        returned = await refunds.get(connection, topup, refund_id)
        invoice = await invoices.find_or_add(connection, topup, operator, now_ms)
        return await _add(connection, invoice, returned, operator, now_ms)

    return await invoices.numbered(store, make)


async def _find(connection: AsyncConnection, topup_id: str, refund_id: str) -> CreditNote | None:
    query = select(credit_notes).where(credit_notes.c.topup_id == topup_id, credit_notes.c.refund_id == refund_id)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else _credit_note(row)


async def _add(
    connection: AsyncConnection, invoice: Invoice, returned: Returned, operator: Operator, now_ms: int
) -> CreditNote:
    last = await connection.scalar(select(func.max(credit_notes.c.number)))
    note = CreditNote(
        number=int(last or 0) + 1,
        invoice_number=invoice.number,
        topup_id=invoice.topup_id,
        refund_id=returned.refund_id,
        issued_at_ms=now_ms,
        operator=operator,
        customer_email=invoice.customer_email,
        customer_name=invoice.customer_name,
        account_id=invoice.account_id,
        provider=invoice.provider,
        kind=returned.kind,
        returned_at_ms=returned.booked_at_ms,
        credit_nano_usd=returned.credit_nano_usd,
        fee_nano_usd=returned.fee_nano_usd,
    )
    await connection.execute(insert(credit_notes).values(_row(note)))
    return note


def _row(note: CreditNote) -> dict[str, object]:
    content = asdict(note)
    names = ("number", "invoice_number", "topup_id", "refund_id", "issued_at_ms")
    columns = {name: content.pop(name) for name in names}
    return columns | {"content": json.dumps(content, ensure_ascii=False, separators=(",", ":"))}


def _credit_note(row: Row[Any]) -> CreditNote:
    content = json.loads(row.content)
    operator = Operator(**content.pop("operator"))
    return CreditNote(
        number=row.number,
        invoice_number=row.invoice_number,
        topup_id=row.topup_id,
        refund_id=row.refund_id,
        issued_at_ms=row.issued_at_ms,
        operator=operator,
        **content,
    )
