"""Reconciliation: zero when everything has arrived, and the missing amount while something has not."""

from collections.abc import AsyncIterator

import pytest

from control_plane import booking, ledger
from control_plane.reconcile import AccountDifference, reconcile
from control_plane.store import Store
from gateway.money import NanoUsd
from gateway.records import WalletState
from tests.unit.control_plane.books import ALICE, BOB, NOW_MS, open_books, record_of


def wallet(account_id: str, *, granted: int, settled: int, held: int = 0) -> WalletState:
    return WalletState(
        account_id=account_id,
        granted_nano_usd=NanoUsd(granted),
        settled_nano_usd=NanoUsd(settled),
        held_nano_usd=NanoUsd(held),
        open_holds=int(held > 0),
        unacknowledged_records=0,
    )


@pytest.fixture
async def books() -> AsyncIterator[Store]:
    """Alice was granted 100000 and 5000 for a trial, and 8000 of usage is booked."""
    async with open_books() as store:
        async with store.begin() as connection:
            await ledger.credit_account(
                connection, account_id=ALICE, amount=NanoUsd(100_000), reference="x", now_ms=NOW_MS
            )
            await ledger.grant_trial(connection, account_id=ALICE, amount=NanoUsd(5_000), now_ms=NOW_MS)
            await booking.book(connection, [record_of("req_1"), record_of("req_2")], now_ms=NOW_MS)
        yield store


async def test_in_a_quiet_system_the_difference_is_zero_whatever_is_held(books: Store) -> None:
    async with books.read() as connection:
        [line] = await reconcile(connection, [wallet(ALICE, granted=105_000, settled=8_000, held=700)])

    assert line == AccountDifference(
        account_id=ALICE,
        wallet_nano_usd=NanoUsd(97_000),
        ledger_nano_usd=NanoUsd(97_000),
        usage_nano_usd=NanoUsd(8_000),
    )
    assert line.difference_nano_usd == 0


async def test_a_grant_on_its_way_shows_as_a_negative_difference(books: Store) -> None:
    async with books.read() as connection:
        [line] = await reconcile(connection, [wallet(ALICE, granted=100_000, settled=8_000)])

    assert line.difference_nano_usd == -5_000


async def test_usage_on_its_way_shows_as_a_negative_difference(books: Store) -> None:
    async with books.read() as connection:
        [line] = await reconcile(connection, [wallet(ALICE, granted=105_000, settled=8_001)])

    assert line.difference_nano_usd == -1


async def test_usage_that_no_wallet_settled_shows_as_a_positive_difference(books: Store) -> None:
    async with books.read() as connection:
        [line] = await reconcile(connection, [wallet(ALICE, granted=105_000, settled=4_000)])

    assert line.difference_nano_usd == 4_000


async def test_every_wallet_has_its_line_in_the_order_given(books: Store) -> None:
    async with books.read() as connection:
        lines = await reconcile(
            connection, [wallet(BOB, granted=0, settled=0), wallet(ALICE, granted=105_000, settled=8_000)]
        )

    assert [(line.account_id, line.difference_nano_usd) for line in lines] == [(BOB, 0), (ALICE, 0)]
    assert (lines[0].wallet_nano_usd, lines[0].ledger_nano_usd, lines[0].usage_nano_usd) == (0, 0, 0)
