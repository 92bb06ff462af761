"""The price book keeps what it was given, forever."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from sqlalchemy import delete, update
from sqlalchemy.exc import IntegrityError

from control_plane.pricing import PriceRowConflict, price_rows, price_rows_by_id, store_price_rows
from control_plane.store import Store
from gateway.money import PicoUsd
from gateway.records import Peak, PriceRow, Rates
from tests.unit.control_plane.books import NOW_MS, PRICE_ROW, count, open_books

WITH_PEAK = replace(
    PRICE_ROW,
    id="other",
    peak=Peak(
        utc_offset_minutes=480,
        weekdays=(0, 4),
        holidays=("2026-10-01",),
        windows_minutes=((540, 720),),
        rates=Rates(input=PicoUsd(1), cached_input=PicoUsd(0), output=PicoUsd(2)),
    ),
)


@pytest.fixture
async def books() -> AsyncIterator[Store]:
    async with open_books() as store:
        yield store


@pytest.mark.parametrize("row", [PRICE_ROW, WITH_PEAK], ids=["plain", "peak"])
async def test_a_row_is_read_as_it_was_stored(books: Store, row: PriceRow) -> None:
    async with books.begin() as connection:
        await store_price_rows(connection, [row], now_ms=NOW_MS)

        assert await price_rows_by_id(connection, [row.id, "unknown"]) == {row.id: row}


async def test_storing_a_row_again_changes_nothing(books: Store) -> None:
    async with books.begin() as connection:
        await store_price_rows(connection, [PRICE_ROW, PRICE_ROW], now_ms=NOW_MS + 1)

        assert await count(connection, price_rows) == 1


async def test_an_id_cannot_be_given_to_other_content(books: Store) -> None:
    async with books.begin() as connection:
        with pytest.raises(PriceRowConflict):
            await store_price_rows(connection, [replace(PRICE_ROW, margin_basis_points=1)], now_ms=NOW_MS)


async def test_the_database_refuses_to_change_or_delete_a_row(books: Store) -> None:
    for statement in (update(price_rows).values(content="{}"), delete(price_rows)):
        async with books.begin() as connection:
            with pytest.raises(IntegrityError, match="price_rows is append-only"):
                await connection.execute(statement)
