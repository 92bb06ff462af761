"""Reading usage records: page by page, newest first, within a time and an account."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from sqlalchemy import delete, update
from sqlalchemy.exc import IntegrityError

from control_plane import booking, usage
from control_plane.paging import Cursor, Page
from control_plane.store import Store
from gateway.records import UsageRecord
from tests.unit.control_plane.books import ALICE, BOB, FREE_RECORD, NOW_MS, RECORD, open_books, record_of

# Two started in the same millisecond, and one belongs to another account.
RECORDS = [
    record_of("req_a", started_at_ms=NOW_MS - 3),
    record_of("req_b", started_at_ms=NOW_MS - 2),
    record_of("req_c", started_at_ms=NOW_MS - 2, account_id=BOB),
    record_of("req_d", started_at_ms=NOW_MS - 1),
]


@pytest.fixture
async def books() -> AsyncIterator[Store]:
    async with open_books() as store:
        async with store.begin() as connection:
            await booking.book(connection, RECORDS, now_ms=NOW_MS)
        yield store


async def page(
    store: Store,
    *,
    account_id: str | None = None,
    from_ms: int | None = None,
    to_ms: int | None = None,
    cursor: str | None = None,
    limit: int = 10,
) -> Page[UsageRecord]:
    after = None if cursor is None else Cursor.decode(cursor)
    async with store.read() as connection:
        return await usage.page(
            connection, account_id=account_id, from_ms=from_ms, to_ms=to_ms, cursor=after, limit=limit
        )


def ids(found: Page[UsageRecord]) -> list[str]:
    return [record.request_id for record in found.items]


async def test_records_come_newest_first(books: Store) -> None:
    assert ids(await page(books)) == ["req_d", "req_c", "req_b", "req_a"]


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
async def test_pages_of_any_size_show_every_record_once(books: Store, limit: int) -> None:
    seen: list[str] = []
    cursor = None
    for _ in range(len(RECORDS)):
        found = await page(books, cursor=cursor, limit=limit)
        assert 0 < len(found.items) <= limit
        seen += ids(found)
        cursor = found.next_cursor
        if cursor is None:
            break

    assert cursor is None
    assert seen == ["req_d", "req_c", "req_b", "req_a"]


async def test_an_account_sees_its_own_records_only(books: Store) -> None:
    assert ids(await page(books, account_id=ALICE)) == ["req_d", "req_b", "req_a"]
    assert ids(await page(books, account_id=BOB)) == ["req_c"]
    assert ids(await page(books, account_id="acct_nobody")) == []


async def test_a_time_range_includes_its_start_and_not_its_end(books: Store) -> None:
    assert ids(await page(books, from_ms=NOW_MS - 2)) == ["req_d", "req_c", "req_b"]
    assert ids(await page(books, to_ms=NOW_MS - 2)) == ["req_a"]
    assert ids(await page(books, from_ms=NOW_MS - 2, to_ms=NOW_MS - 1)) == ["req_c", "req_b"]


@pytest.mark.parametrize(
    "record",
    [RECORD, FREE_RECORD, replace(RECORD, estimated=True, stream=False, state="partial"), replace(RECORD, attempts=())],
    ids=["complete", "free", "estimated", "no attempts"],
)
async def test_a_record_is_read_as_it_was_booked(books: Store, record: UsageRecord) -> None:
    async with books.begin() as connection:
        await booking.book(connection, [record], now_ms=NOW_MS)

        assert await usage.by_request_id(connection, [record.request_id]) == {record.request_id: record}


async def test_the_database_refuses_to_change_or_delete_a_booked_record(books: Store) -> None:
    for statement in (update(usage.usage_records).values(cost_nano_usd=0), delete(usage.usage_records)):
        async with books.begin() as connection:
            with pytest.raises(IntegrityError, match="usage_records is append-only"):
                await connection.execute(statement)


async def test_costs_are_summed_by_account(books: Store) -> None:
    async with books.read() as connection:
        assert await usage.costs_by_account(connection) == {ALICE: 12_000, BOB: 4_000}
