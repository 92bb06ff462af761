"""The rules by which usage is booked: once, checked, from the trial credit first, and never lost."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from control_plane import booking, ledger, usage, usage_reports
from control_plane.booking import CLOCK_SKEW_MAX_MS, Booking
from control_plane.ledger import AccountBalance
from control_plane.quarantine import Quarantined, quarantine
from control_plane.store import Store
from gateway.money import NanoUsd
from gateway.records import UsageRecord
from tests.unit.control_plane.books import (
    ALICE,
    BOB,
    FREE_RECORD,
    NOW_MS,
    PRICE_ROW,
    RECORD,
    count,
    ledger_balance,
    open_books,
    record_of,
    transfer_ids,
)


@pytest.fixture
async def books() -> AsyncIterator[Store]:
    async with open_books() as store:
        yield store


async def book(store: Store, *batch: UsageRecord | Quarantined) -> Booking:
    async with store.begin() as connection:
        return await booking.book(connection, batch, now_ms=NOW_MS)


async def fund(store: Store, *, trial: int = 0, credit: int = 0) -> None:
    async with store.begin() as connection:
        if trial:
            await ledger.grant_trial(connection, account_id=ALICE, amount=NanoUsd(trial), now_ms=NOW_MS)
        if credit:
            await ledger.credit_account(
                connection, account_id=ALICE, amount=NanoUsd(credit), reference="funds", now_ms=NOW_MS
            )


async def quarantined_rows(store: Store) -> list[tuple[str, str]]:
    async with store.begin() as connection:
        rows = await connection.execute(select(quarantine.c.request_id, quarantine.c.reason))
        return [(row.request_id, row.reason) for row in rows]


async def test_a_new_record_is_booked_with_its_charge(books: Store) -> None:
    outcome = await book(books, RECORD)

    assert outcome == Booking(booked=("req_1",), known=(), quarantined=())
    async with books.begin() as connection:
        assert await usage.by_request_id(connection, ["req_1"]) == {"req_1": RECORD}
        assert await transfer_ids(connection) == ["usage:req_1"]
        assert await ledger_balance(connection, ledger.USAGE_REVENUE) == RECORD.cost_nano_usd
        assert await ledger.balance(connection, ALICE) == AccountBalance(
            balance_nano_usd=NanoUsd(-1_434_000), spent_nano_usd=NanoUsd(1_434_000)
        )


async def test_a_record_delivered_again_is_known_and_charged_once(books: Store) -> None:
    await book(books, RECORD)
    outcome = await book(books, RECORD)

    assert outcome == Booking(booked=(), known=("req_1",), quarantined=())
    async with books.begin() as connection:
        assert await ledger_balance(connection, ledger.USAGE_REVENUE) == RECORD.cost_nano_usd


async def test_a_record_twice_in_one_batch_is_charged_once(books: Store) -> None:
    outcome = await book(books, RECORD, RECORD)

    assert outcome == Booking(booked=("req_1",), known=("req_1",), quarantined=())
    async with books.begin() as connection:
        assert await ledger_balance(connection, ledger.USAGE_REVENUE) == RECORD.cost_nano_usd


async def test_a_request_that_cost_nothing_is_booked_without_a_transfer(books: Store) -> None:
    outcome = await book(books, FREE_RECORD)

    assert outcome.booked == ("req_free",)
    async with books.begin() as connection:
        assert await usage.by_request_id(connection, ["req_free"]) == {"req_free": FREE_RECORD}
        assert await transfer_ids(connection) == []


async def test_an_empty_batch_books_nothing(books: Store) -> None:
    assert await book(books) == Booking(booked=(), known=(), quarantined=())


REFUSALS: dict[str, tuple[UsageRecord, str]] = {
    "a nano too dear": (replace(RECORD, cost_nano_usd=NanoUsd(1_434_001)), "the cost should be 1434000 nano-USD"),
    "a nano too cheap": (replace(RECORD, cost_nano_usd=NanoUsd(1_433_999)), "the cost should be 1434000 nano-USD"),
    "unknown row": (replace(RECORD, price_row="kimi-k2/moonshot@2026-09-01#ffffffff"), "unknown price row"),
    "unknown account": (replace(RECORD, account_id="acct_nobody"), "unknown account"),
    "no row": (replace(RECORD, price_row=None), "a cost without a price row"),
    "too early": (
        replace(RECORD, started_at_ms=PRICE_ROW.effective_from_ms - 1),
        "the price row was not yet in force",
    ),
    "future": (
        replace(RECORD, started_at_ms=NOW_MS + CLOCK_SKEW_MAX_MS + 1),
        "the request started in the future",
    ),
}


@pytest.mark.parametrize(("record", "reason"), REFUSALS.values(), ids=REFUSALS.keys())
async def test_what_cannot_be_right_is_quarantined_and_the_rest_booked(
    books: Store, record: UsageRecord, reason: str
) -> None:
    outcome = await book(books, record, record_of("req_2"))

    assert [(item.request_id, item.reason) for item in outcome.quarantined] == [("req_1", reason)]
    assert outcome.booked == ("req_2",)
    assert await quarantined_rows(books) == [("req_1", reason)]
    async with books.begin() as connection:
        assert await transfer_ids(connection) == ["usage:req_2"]


@pytest.mark.parametrize("started_at_ms", [PRICE_ROW.effective_from_ms, NOW_MS + CLOCK_SKEW_MAX_MS])
async def test_a_request_may_start_when_its_price_does_and_as_late_as_clocks_differ(
    books: Store, started_at_ms: int
) -> None:
    outcome = await book(books, replace(RECORD, started_at_ms=started_at_ms))

    assert outcome.booked == ("req_1",)


async def test_other_content_under_a_booked_request_id_is_quarantined(books: Store) -> None:
    await book(books, RECORD)
    outcome = await book(books, record_of("req_1", units=3))

    assert [item.reason for item in outcome.quarantined] == ["the request was booked with other content"]
    async with books.begin() as connection:
        assert await usage.by_request_id(connection, ["req_1"]) == {"req_1": RECORD}
        assert await ledger_balance(connection, ledger.USAGE_REVENUE) == RECORD.cost_nano_usd


async def test_what_is_quarantined_is_kept_whole_and_once_however_often_it_comes(books: Store) -> None:
    wrong = replace(RECORD, cost_nano_usd=NanoUsd(1))
    for _ in range(2):
        await book(books, wrong, wrong)

    async with books.begin() as connection:
        kept = (await connection.execute(select(quarantine.c.record))).scalars().all()
    assert [json.loads(text) for text in kept] == [wrong.to_json()]


async def test_a_quarantined_record_whose_fault_is_mended_is_booked_when_it_comes_again(books: Store) -> None:
    await book(books, replace(RECORD, cost_nano_usd=NanoUsd(1)))
    outcome = await book(books, RECORD)

    assert outcome.booked == ("req_1",)


@pytest.mark.parametrize(
    "changes",
    [
        {"cost_nano_usd": None},
        {"total_ms": 2**53},
        {"model": "\ud800"},
        {"provider": "a\0b"},
        {"state": "unheard of"},
    ],
    ids=["no cost", "integer too large", "half a surrogate", "NUL", "unknown state"],
)
async def test_a_malformed_record_that_names_its_request_is_quarantined_as_it_came(
    books: Store, changes: dict[str, Any]
) -> None:
    value = RECORD.to_json() | changes
    [item] = usage_reports.read(json.dumps({"records": [value]}).encode())
    assert isinstance(item, Quarantined)
    outcome = await book(books, item)

    assert outcome.quarantined == (item,)
    async with books.begin() as connection:
        kept = (await connection.execute(select(quarantine.c.record))).scalar_one()
    assert json.loads(kept) == value


@pytest.mark.parametrize(
    ("trial", "ids", "trial_left", "balance_left"),
    [
        (0, ["usage:req_1"], 0, 96_000),
        (1, ["usage:req_1", "usage:req_1:trial"], 0, 96_001),
        (3_999, ["usage:req_1", "usage:req_1:trial"], 0, 99_999),
        (4_000, ["usage:req_1:trial"], 0, 100_000),
        (4_001, ["usage:req_1:trial"], 1, 100_000),
    ],
)
async def test_the_trial_credit_is_spent_before_the_customers_money(
    books: Store, trial: int, ids: list[str], trial_left: int, balance_left: int
) -> None:
    await fund(books, trial=trial, credit=100_000)
    await book(books, record_of("req_1", units=1))

    async with books.begin() as connection:
        assert [id_ for id_ in await transfer_ids(connection) if id_.startswith("usage")] == ids
        assert await ledger_balance(connection, ledger.trial_of(ALICE)) == trial_left
        assert await ledger_balance(connection, ledger.balance_of(ALICE)) == balance_left
        assert (await ledger.balance(connection, ALICE)).spent_nano_usd == 4_000


async def test_one_batch_spends_a_trial_credit_once(books: Store) -> None:
    await fund(books, trial=6_000)
    await book(books, record_of("req_1"), record_of("req_2"), record_of("req_3"))

    async with books.begin() as connection:
        assert await ledger_balance(connection, ledger.trial_of(ALICE)) == 0
        assert await ledger_balance(connection, ledger.balance_of(ALICE)) == -6_000


async def test_a_charge_beyond_the_balance_is_booked_all_the_same(books: Store) -> None:
    await fund(books, credit=1)
    await book(books, record_of("req_1"))

    async with books.begin() as connection:
        assert (await ledger.balance(connection, ALICE)).balance_nano_usd == -3_999


deliveries = st.lists(
    st.lists(
        st.builds(
            lambda number, units: record_of(f"req_{number}", units=units, account_id=ALICE if number % 2 else BOB),
            st.integers(0, 5),
            st.integers(0, 2),
        ),
        max_size=5,
    ),
    max_size=6,
)


@settings(max_examples=50, deadline=None)
@given(deliveries=deliveries, trial=st.integers(1, 20_000))
def test_however_records_are_delivered_the_books_agree_with_themselves(
    deliveries: list[list[UsageRecord]], trial: int
) -> None:
    """Any batches, with repeats and contradictions: what comes first is booked, once, and no other money moves."""
    first: dict[str, UsageRecord] = {}
    for record in (record for batch in deliveries for record in batch):
        first.setdefault(record.request_id, record)

    spent, left, revenue = asyncio.run(_deliver(deliveries, trial))

    assert spent == revenue == sum(record.cost_nano_usd for record in first.values())
    assert spent + left == trial


async def _deliver(deliveries: Sequence[Sequence[UsageRecord]], trial: int) -> tuple[int, int, int]:
    async with open_books() as store:
        await fund(store, trial=trial)
        for batch in deliveries:
            await book(store, *batch)
        async with store.begin() as connection:
            sides = [await ledger.balance(connection, account_id) for account_id in (ALICE, BOB)]
            assert await count(connection, usage.usage_records) == len({r.request_id for b in deliveries for r in b})
            return (
                sum(side.spent_nano_usd for side in sides),
                sum(side.balance_nano_usd for side in sides),
                await ledger_balance(connection, ledger.USAGE_REVENUE),
            )
