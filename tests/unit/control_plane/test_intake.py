"""The intake: calls that come at the same time share a transaction, and each still stands for itself."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import count

import pytest
from sqlalchemy import select

from control_plane import ledger, usage
from control_plane.booking import Booking
from control_plane.intake import RECORDS_PER_TRANSACTION_MAX, Intake
from control_plane.ledger import Transfer, TransferConflict
from control_plane.nonces import NonceReplayed, nonces
from control_plane.store import Store
from gateway.money import NanoUsd
from gateway.records import UsageRecord
from tests.unit.control_plane import books
from tests.unit.control_plane.books import ALICE, NOW_MS, open_books, record_of


@dataclass(slots=True, kw_only=True)
class Desk:
    """An intake over real books. Its clock goes on by one with each transaction, so that they can be told apart."""

    store: Store
    intake: Intake
    nonces: "count[int]" = field(default_factory=count)

    def call(self, *records: UsageRecord, nonce: str | None = None) -> "asyncio.Task[Booking]":
        presented = f"nonce-{next(self.nonces)}" if nonce is None else nonce
        return asyncio.create_task(self.intake.take(presented, records))

    async def booked_at_ms(self) -> dict[str, int]:
        columns = usage.usage_records.c
        async with self.store.read() as connection:
            rows = await connection.execute(select(columns.request_id, columns.booked_at_ms))
        return {row.request_id: row.booked_at_ms for row in rows}


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    times_ms = count(NOW_MS)
    async with open_books() as store:
        yield Desk(store=store, intake=Intake(store=store, now_ms=lambda: next(times_ms)))


async def test_calls_that_come_during_a_transaction_share_the_next_one(desk: Desk) -> None:
    calls = [desk.call(record_of(f"req_{number}")) for number in range(4)]

    outcomes = await asyncio.gather(*calls)

    assert [outcome.booked for outcome in outcomes] == [("req_0",), ("req_1",), ("req_2",), ("req_3",)]
    assert await desk.booked_at_ms() == {f"req_{number}": NOW_MS for number in range(4)}


async def test_a_transaction_has_a_greatest_size(desk: Desk) -> None:
    half = RECORDS_PER_TRANSACTION_MAX // 2
    fitting = [record_of(f"req_{number}") for number in range(2 * half)]

    await asyncio.gather(desk.call(*fitting[:half]), desk.call(*fitting[half:]), desk.call(record_of("req_more")))

    times_ms = await desk.booked_at_ms()
    assert {times_ms[record.request_id] for record in fitting} == {NOW_MS}
    assert times_ms["req_more"] == NOW_MS + 1


async def test_a_record_in_two_calls_of_a_transaction_is_booked_by_the_first_and_known_to_the_second(
    desk: Desk,
) -> None:
    outcomes = await asyncio.gather(desk.call(record_of("req_1")), desk.call(record_of("req_1"), record_of("req_2")))

    assert list(outcomes) == [
        Booking(booked=("req_1",), known=(), quarantined=()),
        Booking(booked=("req_2",), known=("req_1",), quarantined=()),
    ]
    async with desk.store.read() as connection:
        assert await books.ledger_balance(connection, ledger.USAGE_REVENUE) == 8_000


async def test_a_nonce_is_good_once_within_a_transaction_and_after_it(desk: Desk) -> None:
    first, twin, other = await asyncio.gather(
        desk.call(record_of("req_1"), nonce="same"),
        desk.call(record_of("req_2"), nonce="same"),
        desk.call(record_of("req_3")),
        return_exceptions=True,
    )
    late = (await asyncio.gather(desk.call(record_of("req_4"), nonce="same"), return_exceptions=True))[0]

    assert isinstance(first, Booking)
    assert isinstance(twin, NonceReplayed)
    assert isinstance(other, Booking)
    assert isinstance(late, NonceReplayed)
    assert sorted(await desk.booked_at_ms()) == ["req_1", "req_3"]


async def test_a_call_that_cannot_be_booked_does_not_fail_those_that_came_with_it(desk: Desk) -> None:
    taken = Transfer(
        id="usage:req_bad",
        debit=ledger.balance_of(ALICE),
        credit=ledger.WRITEOFF,
        amount_nano_usd=NanoUsd(1),
        kind="writeoff",
        reference="it stands in the way",
        created_at_ms=NOW_MS,
    )
    async with desk.store.begin() as connection:
        await ledger.post(connection, taken)

    good, bad, also_good = await asyncio.gather(
        desk.call(record_of("req_1")),
        desk.call(record_of("req_bad"), nonce="of the bad one"),
        desk.call(record_of("req_2")),
        return_exceptions=True,
    )

    assert isinstance(bad, TransferConflict)
    assert isinstance(good, Booking)
    assert isinstance(also_good, Booking)
    assert sorted(await desk.booked_at_ms()) == ["req_1", "req_2"]
    async with desk.store.read() as connection:
        assert "of the bad one" not in (await connection.execute(select(nonces.c.nonce))).scalars().all()


async def test_a_caller_that_leaves_takes_no_other_call_with_it(desk: Desk) -> None:
    leaving, staying = desk.call(record_of("req_1")), desk.call(record_of("req_2"))
    await asyncio.sleep(0)
    leaving.cancel()

    assert (await staying).booked == ("req_2",)
    assert leaving.cancelled()
    assert sorted(await desk.booked_at_ms()) == ["req_1", "req_2"]


async def test_the_intake_works_on_after_it_had_nothing_to_do(desk: Desk) -> None:
    await desk.call(record_of("req_1"))

    assert (await desk.call(record_of("req_2"))).booked == ("req_2",)
