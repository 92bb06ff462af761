"""The rules of invoices: one for each paid top-up, numbered without gaps, and never changed."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from control_plane import accounts, bills, invoice_documents, invoices, topups
from control_plane.invoices import Invoice, Operator, TopUpNotPaid
from control_plane.payment_provider import TopUp
from control_plane.store import Store
from control_plane.topups import TopUpNotFound
from gateway.money import NanoUsd
from tests.unit.control_plane.books import ALICE, BOB, NOW_MS, open_books
from tests.unit.control_plane.pdf_text import text_of

OPERATOR = Operator(name="Tokens & Sons", address="1 Main Street\nDublin", tax_id="IE1", email="pay@example.com")
TOP_UP = TopUp(
    id="topup_1",
    account_id=ALICE,
    provider="paypal",
    amount_nano_usd=NanoUsd(10_000_000_000),
    fee_policy="uniform_fee",
    fee_nano_usd=NanoUsd(500_000_000),
    state="captured",
    capture_id="2GG279541U471931P",
    captured_nano_usd=NanoUsd(10_000_000_000),
    created_at_ms=NOW_MS,
    updated_at_ms=NOW_MS + 1,
    observed_at_ms=NOW_MS + 1,
)


@pytest.fixture
async def books() -> AsyncIterator[Store]:
    async with open_books() as store:
        yield store


async def add(store: Store, topup_id: str, **changes: Any) -> None:
    async with store.begin() as connection:
        await topups.add(connection, replace(TOP_UP, id=topup_id, **changes))


async def issue(store: Store, topup_id: str, *, operator: Operator = OPERATOR, now_ms: int = NOW_MS) -> Invoice:
    return await invoices.issue(store, topup_id, owner=ALICE, operator=operator, now_ms=now_ms)


async def test_invoices_are_numbered_in_the_order_in_which_they_are_asked_for(books: Store) -> None:
    for topup_id in ("topup_1", "topup_2", "topup_3"):
        await add(books, topup_id)

    numbers = [(await issue(books, topup_id)).number for topup_id in ("topup_2", "topup_3", "topup_2", "topup_1")]
    assert numbers == [1, 2, 1, 3]


async def test_invoices_asked_for_at_once_have_numbers_of_their_own(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/books.sqlite3")
    await store.migrate()
    async with store.begin() as connection:
        await accounts.create(connection, account_id=ALICE, email="a@example.com", name=None, now_ms=NOW_MS)
    ids = [f"topup_{number}" for number in range(10)]
    for topup_id in ids:
        await add(store, topup_id)

    made = await asyncio.gather(*(issue(store, topup_id) for topup_id in [*ids, *ids]))
    await store.close()
    assert sorted({invoice.number for invoice in made}) == [*range(1, 11)]
    assert made[:10] == made[10:]


async def test_an_invoice_stays_what_it_was_whatever_changes_afterwards(books: Store) -> None:
    await add(books, "topup_1")
    first = await issue(books, "topup_1")

    async with books.begin() as connection:
        await accounts.rename(connection, ALICE, "Alice")
        await topups.save(connection, replace(TOP_UP, state="refunded", refunded_nano_usd=TOP_UP.captured_nano_usd))
    assert await issue(books, "topup_1", operator=replace(OPERATOR, name="Others"), now_ms=NOW_MS + 9) == first
    with pytest.raises(DBAPIError, match="append-only"):
        async with books.begin() as connection:
            await connection.execute(text("UPDATE invoices SET number = 2"))


@pytest.mark.parametrize("state", ["created", "approved", "declined", "lapsed", "pending"])
async def test_a_top_up_that_was_not_paid_has_no_invoice_and_takes_no_number(books: Store, state: Any) -> None:
    await add(books, "topup_1", state=state, capture_id=None)
    await add(books, "topup_2")

    with pytest.raises(TopUpNotPaid):
        await issue(books, "topup_1")
    assert (await issue(books, "topup_2")).number == 1


async def test_the_top_up_of_another_account_is_not_found(books: Store) -> None:
    await add(books, "topup_1", account_id=BOB)

    with pytest.raises(TopUpNotFound):
        await issue(books, "topup_1")


async def test_an_invoice_says_who_paid_whom_what_for_and_when(books: Store) -> None:
    await add(books, "topup_1")
    invoice = await issue(books, "topup_1")

    bill = invoice_documents.invoice_bill(invoice)
    html, pdf = bills.to_html(bill), text_of(bills.to_pdf(bill))
    for part in (
        *("Invoice 1", "1 Main Street", "Dublin", "Tax ID IE1", "pay@example.com", "acct_alice@example.com"),
        *("Issued 2026-11-24", "Paid 2026-11-24 by paypal, 2GG279541U471931P", "Top-up topup_1"),
        *("Prepaid credit for API usage", "9.50", "Payment fee", "0.50", "Total, paid", "10.00"),
    ):
        assert part in html
        assert part in pdf
    assert "Tokens &amp; Sons" in html
    assert "Tokens & Sons" in pdf


async def test_a_fee_that_was_not_charged_is_not_listed(books: Store) -> None:
    await add(books, "topup_1", fee_nano_usd=NanoUsd(0))

    assert "fee" not in bills.to_html(invoice_documents.invoice_bill(await issue(books, "topup_1")))
