"""Invoices of top-ups: numbered without gaps, in the order in which they are asked for, and never changed.

An invoice is made when it is asked for the first time, so that a payment never waits for one; it keeps what it says,
the operator's details of that day included.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeVar

from sqlalchemy import Column, ForeignKey, Row, Text, UniqueConstraint, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane import accounts, topups
from control_plane.append_only import keep_append_only
from control_plane.ledger import transfers
from control_plane.payment_provider import TopUp
from control_plane.settings import Settings
from control_plane.store import Int64, Store, table
from gateway.money import NanoUsd

TRIES: Final = 5

Document = TypeVar("Document")

invoices = table(
    "invoices",
    Column("number", Int64, primary_key=True, autoincrement=False),
    Column("topup_id", Text, ForeignKey(topups.topups.c.id), nullable=False),
    Column("issued_at_ms", Int64, nullable=False),
    Column("content", Text, nullable=False),  # all that it says, in JSON
    UniqueConstraint("topup_id"),
)
keep_append_only(invoices)


class TopUpNotPaid(Exception):
    """A top-up that was not paid has no invoice."""


class NumbersContended(Exception):
    """Others took the next number each time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """Who issues invoices and statements; the address may have several lines."""

    name: str
    address: str | None
    tax_id: str | None
    email: str | None

    @classmethod
    def of(cls, settings: Settings) -> "Operator":
        return cls(
            name=settings.operator_name,
            address=settings.operator_address,
            tax_id=settings.operator_tax_id,
            email=settings.operator_email,
        )

    @property
    def lines(self) -> list[str]:
        """The letterhead below the name."""
        tax_id = None if self.tax_id is None else f"Tax ID {self.tax_id}"
        return [*(self.address or "").splitlines(), *filter(None, (tax_id, self.email))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """What was paid for a top-up, and how much of it was credited; ``fee`` is the part that was kept."""

    number: int
    topup_id: str
    issued_at_ms: int
    operator: Operator
    customer_email: str
    customer_name: str | None
    account_id: str
    provider: str
    capture_id: str
    paid_at_ms: int
    paid_nano_usd: NanoUsd
    fee_nano_usd: NanoUsd

    @property
    def credited_nano_usd(self) -> NanoUsd:
        return NanoUsd(self.paid_nano_usd - self.fee_nano_usd)


async def issue(store: Store, topup_id: str, *, owner: str, operator: Operator, now_ms: int) -> Invoice:
    """The invoice of a top-up of that account, made if it is the first time that it is asked for.

    Raises TopUpNotFound, TopUpNotPaid, NumbersContended.
    """

    async def make(connection: AsyncConnection) -> Invoice:
        return await find_or_add(connection, await topups.get(connection, topup_id, owner=owner), operator, now_ms)

    return await numbered(store, make)


async def numbered(store: Store, make: Callable[[AsyncConnection], Awaitable[Document]]) -> Document:
    """What is made under the next free number, in a transaction. Raises NumbersContended."""
    for _ in range(TRIES):
        try:
            async with store.begin() as connection:
                return await make(connection)
        except IntegrityError:
            # On PostgreSQL another process may take the number first, and then the next one is ours to take.
            continue
    raise NumbersContended


async def find_or_add(connection: AsyncConnection, topup: TopUp, operator: Operator, now_ms: int) -> Invoice:
    """In the caller's transaction, which ``numbered`` began. Raises TopUpNotPaid."""
    return await _find(connection, topup.id) or await _add(connection, topup, operator, now_ms)


async def _find(connection: AsyncConnection, topup_id: str) -> Invoice | None:
    row = (await connection.execute(select(invoices).where(invoices.c.topup_id == topup_id))).one_or_none()
    return None if row is None else _invoice(row)


async def _add(connection: AsyncConnection, topup: TopUp, operator: Operator, now_ms: int) -> Invoice:
    if not topup.is_settled or topup.capture_id is None:
        raise TopUpNotPaid
    account = await accounts.get(connection, topup.account_id)
    last = await connection.scalar(select(func.max(invoices.c.number)))
    invoice = Invoice(
        number=int(last or 0) + 1,
        topup_id=topup.id,
        issued_at_ms=now_ms,
        operator=operator,
        customer_email=account.email,
        customer_name=account.name,
        account_id=account.id,
        provider=topup.provider,
        capture_id=topup.capture_id,
        paid_at_ms=await _paid_at_ms(connection, topup),
        paid_nano_usd=topup.captured_nano_usd,
        fee_nano_usd=topup.fee_nano_usd,
    )
    await connection.execute(insert(invoices).values(_row(invoice)))
    return invoice


async def _paid_at_ms(connection: AsyncConnection, topup: TopUp) -> int:
    """When the payment was booked."""
    capture = f"{topup.provider}:capture:{topup.capture_id}"
    # A payment that its fee ate up has only the transfers of the fee.
    ids = (capture, f"{capture}:charged_fee", f"{capture}:fee")
    booked_at_ms = await connection.scalar(select(func.min(transfers.c.created_at_ms)).where(transfers.c.id.in_(ids)))
    return int(booked_at_ms or topup.updated_at_ms)


def _row(invoice: Invoice) -> dict[str, object]:
    content = asdict(invoice)
    columns = {name: content.pop(name) for name in ("number", "topup_id", "issued_at_ms")}
    return columns | {"content": json.dumps(content, ensure_ascii=False, separators=(",", ":"))}


def _invoice(row: Row[Any]) -> Invoice:
    content = json.loads(row.content)
    operator = Operator(**content.pop("operator"))
    return Invoice(
        number=row.number, topup_id=row.topup_id, issued_at_ms=row.issued_at_ms, operator=operator, **content
    )
