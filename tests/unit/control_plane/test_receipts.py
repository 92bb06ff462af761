"""The rules by which receipts are made: one for each booked request, in a chain, with the balance after it."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from control_plane import booking, ledger, pricing, receipt_chain, receipts
from control_plane.receipt_document import Standing
from control_plane.receipts import ReceiptAltered, ReceiptNotFound
from control_plane.store import Store
from gateway.money import NanoUsd, PicoUsd
from gateway.records import Peak, Rates, Tier
from tests.unit.control_plane.books import (
    ALICE,
    BOB,
    FREE_RECORD,
    NOW_MS,
    PRICE_ROW,
    RECORD,
    count,
    open_books,
    record_of,
)
from tests.unit.control_plane.chains import FAILED_OVER, KEY, book, chain, credit, give_trial, made, pay


@pytest.fixture
async def books() -> AsyncIterator[Store]:
    async with open_books() as store:
        yield store


async def test_a_receipt_says_all_that_is_needed_to_compute_the_charge_again(books: Store) -> None:
    await credit(books, 2_000_000_000)
    await book(books, FAILED_OVER)

    [line] = await chain(books)
    assert json.loads(line)["receipt"] == {
        "version": 1,
        "account_id": ALICE,
        "number": 1,
        "previous_hash": None,
        "booked_at_ms": NOW_MS,
        "request_id": "req_failed_over",
        "key_id": "key_1",
        "model": "kimi-k2",
        "served_model": "kimi-k2.6",
        "provider": "moonshot",
        "state": "complete",
        "estimated": False,
        "stream": True,
        "started_at_ms": NOW_MS - 5_000,
        "first_event_ms": 300,
        "total_ms": 900,
        "attempts": [
            attempt.to_json() | {"amount_usd": amount}
            for attempt, amount in zip(FAILED_OVER.attempts, ["0.00", "0.00", "0.001434"], strict=True)
        ],
        "usage": {
            "input_tokens": 600,
            "cached_input_tokens": 400,
            "output_tokens": 200,
            "reasoning_tokens": 50,
        },
        "price": {
            "row": PRICE_ROW.id,
            "source": "https://example.com/prices",
            "effective_from_ms": PRICE_ROW.effective_from_ms,
            "margin_basis_points": 0,
            "usd_per_million_tokens": {"input": "0.95", "cached_input": "0.16", "output": "4.00"},
        },
        "cost_nano_usd": 1_434_000,
        "amount_usd": "0.001434",
        "balance_after_usd": "1.998566",
        "received_usd": "2.00",
        "returned_usd": "0.00",
        "spent_usd": "0.001434",
    }


async def test_a_request_that_cost_nothing_has_a_receipt_without_a_price(books: Store) -> None:
    await book(books, FREE_RECORD)

    [receipt] = await made(books)
    assert receipt.record == FREE_RECORD
    assert receipt.price is None


async def test_a_receipt_gives_the_rates_of_the_hour_and_size_with_the_margin(books: Store) -> None:
    def rates(input_: int) -> Rates:
        return Rates(input=PicoUsd(input_), cached_input=PicoUsd(10_000), output=PicoUsd(30_000))

    weekly = (0, 1, 2, 3, 4, 5, 6)
    tiers = (Tier(up_to_input_tokens=1_000, rates=rates(20_000)), Tier(up_to_input_tokens=None, rates=rates(40_000)))
    tiered = replace(PRICE_ROW, id="tiered", tiers=tiers, margin_basis_points=500)
    always = Peak(utc_offset_minutes=0, weekdays=weekly, holidays=(), windows_minutes=((0, 1_440),), rates=rates(50))
    peak = replace(tiered, id="peak", peak=always)
    records = [
        replace(RECORD, request_id="req_1", price_row="tiered", cost_nano_usd=NanoUsd(23_100)),
        replace(
            RECORD,
            request_id="req_2",
            price_row="tiered",
            usage=replace(RECORD.usage, prompt_tokens=1_001),
            cost_nano_usd=NanoUsd(35_742),
        ),
        replace(RECORD, request_id="req_3", price_row="peak", cost_nano_usd=NanoUsd(10_532)),
    ]
    async with books.begin() as connection:
        await pricing.store_price_rows(connection, [tiered, peak], now_ms=NOW_MS)
    await book(books, *records)

    prices = [receipt.price for receipt in await made(books)]
    assert [price.rates.input for price in prices if price] == [20_000, 40_000, 50]
    assert [price.margin_basis_points for price in prices if price] == [500, 500, 500]
    receipt_chain.verify(await chain(books))


async def test_receipts_are_numbered_and_linked_account_by_account_across_batches(books: Store) -> None:
    await book(books, record_of("req_1"), record_of("req_2", account_id=BOB), record_of("req_3"))
    await book(books, record_of("req_4", account_id=BOB), record_of("req_5"))

    for account_id, ids in ((ALICE, ["req_1", "req_3", "req_5"]), (BOB, ["req_2", "req_4"])):
        found = await made(books, account_id)
        assert [receipt.record.request_id for receipt in found] == ids
        assert [receipt.number for receipt in found] == [*range(1, len(ids) + 1)]
        receipt_chain.verify(await chain(books, account_id))


async def test_only_what_is_booked_has_a_receipt_and_has_it_once(books: Store) -> None:
    wrong = replace(RECORD, request_id="req_wrong", cost_nano_usd=NanoUsd(1))
    async with books.begin() as connection:
        for _ in range(2):
            await booking.book(connection, [RECORD, wrong, RECORD], now_ms=NOW_MS)

        assert await count(connection, receipts.receipts) == 1


async def test_a_booking_that_is_rolled_back_leaves_no_gap(books: Store) -> None:
    async def fail() -> None:
        async with books.begin() as connection:
            await booking.book(connection, [record_of("req_1")], now_ms=NOW_MS)
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await fail()
    await book(books, record_of("req_2"))

    assert [receipt.number for receipt in await made(books)] == [1]


async def test_the_balance_counts_trial_credit_and_money_alike_and_may_be_negative(books: Store) -> None:
    await give_trial(books, 6_000)
    await book(books, record_of("req_1"), record_of("req_2"), record_of("req_3"))

    assert [receipt.standing.balance_nano_usd for receipt in await made(books)] == [2_000, -2_000, -6_000]


async def test_money_that_came_or_went_between_two_receipts_is_told_apart_from_charges(books: Store) -> None:
    await pay(books, "top_up", 50_000, "t")
    await book(books, record_of("req_1"))
    await pay(books, "refund", -10_000, "r")
    await pay(books, "reversal", -5_000, "d")
    await book(books, record_of("req_2"))
    await pay(books, "reversal", 5_000, "d:released")
    await give_trial(books, 1_000)
    await book(books, record_of("req_3"))

    standings = [receipt.standing for receipt in await made(books)]
    assert standings == [standing(50_000, 0, 4_000), standing(50_000, 15_000, 8_000), standing(51_000, 10_000, 12_000)]
    receipt_chain.verify(await chain(books))


def standing(received: int, returned: int, spent: int) -> Standing:
    return Standing(
        received_nano_usd=NanoUsd(received), returned_nano_usd=NanoUsd(returned), spent_nano_usd=NanoUsd(spent)
    )


@pytest.mark.parametrize("statement", ["UPDATE receipts SET hash = 'x'", "DELETE FROM receipts"])
async def test_a_receipt_cannot_be_changed_or_deleted(books: Store, statement: str) -> None:
    await book(books, RECORD)

    with pytest.raises(DBAPIError, match="append-only"):
        async with books.begin() as connection:
            await connection.execute(text(statement))


WITHOUT_GUARD = {
    "sqlite": "DROP TRIGGER receipts_refuses_update",
    "postgresql": "DROP TRIGGER receipts_refuses_change ON receipts",
}


async def test_a_receipt_that_was_altered_all_the_same_is_not_signed(books: Store) -> None:
    await book(books, RECORD)
    async with books.begin() as connection:
        await connection.execute(text(WITHOUT_GUARD[connection.dialect.name]))
        await connection.execute(text("UPDATE receipts SET body = replace(body, '0.001434', '0.001433')"))
        altered = await receipts.get(connection, "req_1")

    with pytest.raises(ReceiptAltered):
        altered.signed_by(KEY)


async def test_the_receipt_of_another_account_is_not_found(books: Store) -> None:
    await book(books, RECORD)

    async with books.read() as connection:
        assert (await receipts.get(connection, "req_1", owner=ALICE)).account_id == ALICE
        for request_id, owner in (("req_1", BOB), ("req_none", ALICE), ("req_none", None)):
            with pytest.raises(ReceiptNotFound):
                await receipts.get(connection, request_id, owner=owner)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("usage"), st.lists(st.integers(0, 3), min_size=1, max_size=4)),
        st.tuples(st.sampled_from(["credit", "top_up", "trial"]), st.integers(1, 50_000)),
        st.tuples(st.sampled_from(["refund", "reversal"]), st.integers(1, 50_000).map(lambda amount: -amount)),
        st.tuples(st.just("reversal"), st.integers(1, 50_000)),
    ),
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(steps=steps)
def test_however_money_comes_and_goes_the_chain_is_right_and_ends_with_the_ledgers_balance(steps: list[Any]) -> None:
    asyncio.run(_check_chain_after(steps))


async def _check_chain_after(steps: list[Any]) -> None:
    async with open_books() as store:
        for index, (kind, value) in enumerate(steps):
            if kind == "usage":
                await book(store, *(record_of(f"req_{index}_{i}", units=units) for i, units in enumerate(value)))
            elif kind == "trial":
                # It is given once.
                if "trial" not in (kind for kind, _ in steps[:index]):
                    async with store.begin() as connection:
                        await ledger.grant_trial(connection, account_id=ALICE, amount=value, now_ms=NOW_MS)
            elif kind == "credit":
                await credit(store, value, f"credit {index}")
            else:
                await pay(store, kind, value, str(index))
        await book(store, record_of("req_last"))

        last = receipt_chain.verify(await chain(store), public_key=KEY.public)
        async with store.read() as connection:
            in_books = await ledger.balance(connection, ALICE)
        assert last.receipt.standing.balance_nano_usd == in_books.balance_nano_usd
        assert last.receipt.standing.spent_nano_usd == in_books.spent_nano_usd
