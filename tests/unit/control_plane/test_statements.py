"""The rules of statements: to the nano-dollar what the ledger and the receipts say, in every form."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane import ledger, statement_documents, statements
from control_plane.invoices import Operator
from control_plane.statements import Charges, Month, Movement, Statement, StatementNotFound
from control_plane.store import Store
from gateway.money import NanoUsd, parse_usd
from tests.unit.control_plane.books import ALICE, BOB, NOW_MS, open_books, record_of
from tests.unit.control_plane.chains import book, credit, give_trial, made, pay
from tests.unit.control_plane.pdf_text import text_of

NOVEMBER = Month.parse("2026-11")
DECEMBER = Month.parse("2026-12")
DAY_MS = 24 * 60 * 60 * 1000
OPERATOR = Operator(name="Tokens & Sons", address="1 Main Street\nDublin", tax_id="IE1", email="pay@example.com")


@pytest.fixture
async def books() -> AsyncIterator[Store]:
    async with open_books() as store:
        yield store


async def statement_of(store: Store, month: Month = NOVEMBER, *, now_ms: int = NOW_MS) -> Statement:
    async with store.read() as connection:
        return await statements.read(connection, ALICE, month, now_ms=now_ms)


async def use(store: Store, at_ms: int, **records: dict[str, Any]) -> None:
    """Requests that start and are booked at a moment; what is particular about each is said beside its id."""
    batch = [record_of(id_, started_at_ms=at_ms, **changes) for id_, changes in records.items()]
    await book(store, *batch, now_ms=at_ms)


def test_a_month_is_its_days_in_utc() -> None:
    assert NOVEMBER.start_ms == datetime(2026, 11, 1, tzinfo=UTC).timestamp() * 1000
    assert NOVEMBER.end_ms == DECEMBER.start_ms
    assert DECEMBER.end_ms == Month.parse("2027-01").start_ms
    assert str(NOVEMBER) == "2026-11"


@pytest.mark.parametrize("text", ["", "2026", "2026-00", "2026-13", "2026-1", "0999-01", "2026-11 ", "\u0662026-11"])
def test_a_text_that_is_not_a_month_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a month"):
        Month.parse(text)


async def test_a_statement_goes_from_the_opening_to_the_closing_balance(books: Store) -> None:
    await give_trial(books, 5_000, now_ms=NOVEMBER.start_ms - 1)
    await use(books, NOVEMBER.start_ms - 1, req_before={})
    await credit(books, 7_000, now_ms=NOVEMBER.start_ms)
    await pay(books, "top_up", 50_000, "t", now_ms=NOW_MS)
    await pay(books, "refund", -10_000, "r", now_ms=NOW_MS + 1)
    await use(books, NOW_MS - DAY_MS, req_1={}, req_2={"model": "qwen-max", "units": 2})
    await use(books, NOVEMBER.end_ms - 1, req_3={}, req_other={"account_id": BOB})
    await use(books, NOVEMBER.end_ms, req_after={})

    statement = await statement_of(books, now_ms=NOVEMBER.end_ms)
    assert statement.opening_nano_usd == 1_000
    assert statement.moved == {"credit": 7_000, "top_up": 50_000, "refund": -10_000}
    assert [(line.day, line.model, line.requests, line.amount_nano_usd) for line in statement.charges] == [
        ("2026-11-23", "kimi-k2", 1, 4_000),
        ("2026-11-23", "qwen-max", 1, 8_000),
        ("2026-11-30", "kimi-k2", 1, 4_000),
    ]
    assert [(line.model, line.requests, line.amount_nano_usd) for line in statement.by_model] == [
        ("kimi-k2", 2, 8_000),
        ("qwen-max", 1, 8_000),
    ]
    assert [(line.day, line.amount_nano_usd) for line in statement.by_day] == [
        ("2026-11-23", 12_000),
        ("2026-11-30", 4_000),
    ]
    assert statement.closing_nano_usd == 32_000
    assert statement.is_final


async def test_requests_whose_worker_died_stand_under_a_name_of_their_own(books: Store) -> None:
    await give_trial(books, 5_000, now_ms=NOVEMBER.start_ms)
    await use(books, NOW_MS, req_1={"model": ""})

    statement = await statement_of(books)

    assert [line.model for line in statement.by_model] == [statements.ABANDONED]


async def test_a_months_closing_balance_opens_the_next(books: Store) -> None:
    await credit(books, 7_000, now_ms=NOW_MS)
    await use(books, NOVEMBER.end_ms, req_1={})

    november = await statement_of(books, now_ms=DECEMBER.end_ms)
    december = await statement_of(books, DECEMBER, now_ms=DECEMBER.end_ms)
    assert november.closing_nano_usd == december.opening_nano_usd == 7_000
    assert december.closing_nano_usd == 3_000


async def test_the_month_that_is_not_over_is_to_date_and_one_without_the_account_has_none(books: Store) -> None:
    assert not (await statement_of(books)).is_final

    for month in ("2026-10", "2026-12"):
        with pytest.raises(StatementNotFound):
            await statement_of(books, Month.parse(month))


moments = st.sampled_from(
    [NOVEMBER.start_ms - 1, NOVEMBER.start_ms, NOW_MS, NOW_MS + DAY_MS, NOVEMBER.end_ms - 1, NOVEMBER.end_ms]
)
models = st.sampled_from(["kimi-k2", "qwen-max"])
facts = st.lists(
    st.one_of(
        st.tuples(st.just("usage"), st.integers(0, 9), moments, models),
        st.tuples(st.sampled_from(["credit", "top_up"]), st.integers(1, 90_000), moments),
        st.tuples(st.just("refund"), st.integers(1, 90_000).map(lambda amount: -amount), moments),
    ),
    max_size=10,
)


@settings(max_examples=40, deadline=None)
@given(facts=facts)
def test_a_statements_totals_are_those_of_the_receipts_and_of_the_ledger(facts: list[Any]) -> None:
    asyncio.run(_check_totals(sorted(facts, key=lambda fact: int(fact[2]))))


async def _check_totals(facts: list[Any]) -> None:
    async with open_books() as store:
        for index, (kind, amount, at_ms, *model) in enumerate(facts):
            if kind == "usage":
                await use(store, at_ms, **{f"req_{index}": {"units": amount, "model": model[0]}})
            elif kind == "credit":
                await credit(store, amount, str(index), now_ms=at_ms)
            else:
                await pay(store, kind, amount, str(index), now_ms=at_ms)

        statement = await statement_of(store, now_ms=DECEMBER.start_ms)
        following = await statement_of(store, DECEMBER, now_ms=DECEMBER.start_ms)
        receipts = [r for r in await made(store) if NOVEMBER.start_ms <= r.booked_at_ms < NOVEMBER.end_ms]
        async with store.read() as connection:
            left = (await ledger.balance(connection, ALICE)).balance_nano_usd

    charged = sum(receipt.record.cost_nano_usd for receipt in receipts)
    assert statement.charged.amount_nano_usd == charged
    assert sum(line.amount_nano_usd for line in statement.by_model) == charged
    assert sum(line.amount_nano_usd for line in statement.by_day) == charged
    assert statement.charged.requests == len(receipts)
    assert statement.charged.completion_tokens == sum(r.record.usage.completion_tokens for r in receipts)
    *parts, (_, closing) = statement_documents.summary_of(statement)
    assert sum(amount for _, amount in parts) == closing == statement.closing_nano_usd
    assert following.closing_nano_usd == left
    rows = rows_of(statement)
    assert sum(parse_usd(row["amount_usd"]) for row in rows[:-1]) == parse_usd(rows[-1]["amount_usd"])


def rows_of(statement: Statement) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(statement_documents.to_csv(statement))))


async def example(store: Store) -> Statement:
    await credit(store, 7_000)
    await book(store, record_of("req_1", model="<b>kimi</b>"), record_of("req_2", model="=cmd()"))
    return await statement_of(store)


async def test_csv_has_a_line_for_each_movement_and_for_each_model_and_day(books: Store) -> None:
    assert rows_of(await example(books)) == [
        row("opening_balance", "2026-11-01", "0.00"),
        row("credit", "2026-11-24", "0.000007", reference="credit:acct_alice:funds"),
        row("usage", "2026-11-24", "-0.000004", model="<b>kimi</b>", **ONE_REQUEST),
        row("usage", "2026-11-24", "-0.000004", model="'=cmd()", **ONE_REQUEST),
        row("closing_balance", "2026-11-30", "-0.000001"),
    ]


ONE_REQUEST = {"requests": "1", "prompt_tokens": "0", "cached_tokens": "0", "completion_tokens": "1"}


def row(line: str, date: str, amount_usd: str, **more: str) -> dict[str, str]:
    return (
        dict.fromkeys(statement_documents.CSV_COLUMNS, "")
        | {"line": line, "date": date, "amount_usd": amount_usd}
        | more
    )


async def test_html_shows_the_figures_and_nothing_in_it_is_taken_for_markup(books: Store) -> None:
    html = statement_documents.to_html(await example(books), OPERATOR)

    assert "Tokens &amp; Sons" in html
    assert "1 Main Street<br>" in html
    assert "&lt;b&gt;kimi&lt;/b&gt;" in html
    assert "<b>" not in html
    assert '<td>Credits</td><td class="number">0.000007</td>' in html
    assert '<tr class="total"><td>Balance to date</td><td class="number">-0.000001</td></tr>' in html


async def test_pdf_shows_the_same_figures(books: Store) -> None:
    content = statement_documents.to_pdf(await example(books), OPERATOR)

    text = text_of(content)
    for part in ("Statement 2026-11", "Tokens & Sons", "Dublin", "Tax ID IE1", "acct_alice@example.com", "not final"):
        assert part in text
    for figure in ("Credits", "0.000007", "-0.000008", "Balance to date", "-0.000001", "2026-11-24", "=cmd()"):
        assert figure in text


async def test_pdf_of_the_same_statement_is_the_same_and_grows_by_pages(books: Store) -> None:
    statement = await example(books)
    movement = Movement(at_ms=NOW_MS, kind="credit", transfer_id="t" * 200, reference="", amount_nano_usd=NanoUsd(1))
    long = replace(statement, movements=(movement,) * 200)

    assert statement_documents.to_pdf(statement, OPERATOR) == statement_documents.to_pdf(statement, OPERATOR)
    assert text_of(statement_documents.to_pdf(long, OPERATOR)).count("Reference") > 1


async def test_pdf_without_a_font_of_its_own_shows_what_it_can(books: Store) -> None:
    statement = replace(await example(books), movements=(), charges=(Charges(day="2026-11-24", model="千问"),))

    assert "??" in text_of(statement_documents.to_pdf(statement, OPERATOR))
