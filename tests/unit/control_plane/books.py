"""What the tests of the books share: a database in memory, and records that are right until a test changes them."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane import accounts, booking, ledger, pricing, projection
from control_plane.store import Store, metadata
from gateway.money import NanoUsd, PicoUsd
from gateway.records import NO_USAGE, Attempt, PriceRow, Rates, Tier, Usage, UsageRecord
from tests.databases import database_url

NOW_MS = 1_795_500_000_000
ALICE, BOB = "acct_alice", "acct_bob"

PRICE_ROW = PriceRow(
    id="kimi-k2/moonshot@2026-09-01#00000000",
    effective_from_ms=1_788_220_800_000,
    effective_until_ms=None,
    tiers=(
        Tier(
            up_to_input_tokens=None,
            rates=Rates(input=PicoUsd(950_000), cached_input=PicoUsd(160_000), output=PicoUsd(4_000_000)),
        ),
    ),
    peak=None,
    margin_basis_points=0,
    source="https://example.com/prices",
)

# 600 tokens at 0.95, 400 at 0.16 and 200 at 4.00 USD per million.
RECORD = UsageRecord(
    request_id="req_1",
    account_id=ALICE,
    key_id="key_1",
    model="kimi-k2",
    served_model="kimi-k2.6",
    provider="moonshot",
    usage=Usage(prompt_tokens=1000, cached_tokens=400, completion_tokens=200, reasoning_tokens=50),
    cost_nano_usd=NanoUsd(1_434_000),
    price_row=PRICE_ROW.id,
    state="complete",
    estimated=False,
    stream=True,
    attempts=(Attempt(provider="moonshot", model="kimi-k2.6", outcome="ok", status=200, ms=850),),
    started_at_ms=NOW_MS - 5_000,
    first_event_ms=300,
    total_ms=900,
)
FREE_RECORD = replace(
    RECORD,
    request_id="req_free",
    served_model=None,
    provider=None,
    usage=NO_USAGE,
    cost_nano_usd=NanoUsd(0),
    price_row=None,
    state="failed",
    first_event_ms=None,
)


def record_of(request_id: str, *, units: int = 1, **changes: Any) -> UsageRecord:
    """A record of so many output tokens, each of which costs 4000 nano-USD."""
    usage = Usage(prompt_tokens=0, cached_tokens=0, completion_tokens=units, reasoning_tokens=0)
    fields: dict[str, Any] = {
        "request_id": request_id,
        "usage": usage,
        "cost_nano_usd": NanoUsd(4_000 * units),
    } | changes
    return replace(RECORD, **fields)


@asynccontextmanager
async def open_books() -> AsyncIterator[Store]:
    """An empty database with two accounts and one price row."""
    assert booking, projection  # so that every table stands in the metadata
    store = Store.open(database_url(uuid.uuid4().hex) or "sqlite:///:memory:")
    try:
        async with store.begin() as connection:
            await connection.run_sync(metadata.create_all)
            for account_id in (ALICE, BOB):
                email = f"{account_id}@example.com"
                await accounts.create(connection, account_id=account_id, email=email, name=None, now_ms=NOW_MS)
            await pricing.store_price_rows(connection, [PRICE_ROW], now_ms=NOW_MS)
        yield store
    finally:
        await store.close()


async def count(connection: AsyncConnection, table: Any) -> int:
    return int(await connection.scalar(select(func.count()).select_from(table)) or 0)


async def ledger_balance(connection: AsyncConnection, ledger_account: str) -> int:
    query = select(ledger.ledger_accounts.c.balance_nano_usd).where(ledger.ledger_accounts.c.id == ledger_account)
    return int(await connection.scalar(query) or 0)


async def transfer_ids(connection: AsyncConnection) -> list[str]:
    return list((await connection.execute(select(ledger.transfers.c.id).order_by(ledger.transfers.c.id))).scalars())
