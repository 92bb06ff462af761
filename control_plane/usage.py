"""Usage records: what every booked request used and cost. Rows never change, so a receipt reads the same forever."""

import json
from collections.abc import Iterable, Sequence

import orjson
from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, RowMapping, Text, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane.accounts import accounts
from control_plane.append_only import keep_append_only
from control_plane.paging import Cursor, Page, PageRequest, page_of, select_page
from control_plane.pricing import price_rows
from control_plane.store import Int64, insert_all, table
from gateway.money import NanoUsd
from gateway.records import Attempt, Usage, UsageRecord

usage_records = table(
    "usage_records",
    Column("request_id", Text, primary_key=True),
    Column("account_id", Text, ForeignKey(accounts.c.id), nullable=False),
    Column("key_id", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("served_model", Text),
    Column("provider", Text),
    Column("prompt_tokens", Int64, nullable=False),
    Column("cached_tokens", Int64, nullable=False),
    Column("completion_tokens", Int64, nullable=False),
    Column("reasoning_tokens", Int64, nullable=False),
    Column("cost_nano_usd", Int64, nullable=False),
    Column("price_row", Text, ForeignKey(price_rows.c.id)),
    Column("state", Text, nullable=False),
    Column("estimated", Integer, nullable=False),
    Column("stream", Integer, nullable=False),
    Column("attempts", Text, nullable=False),  # a JSON list
    Column("started_at_ms", Int64, nullable=False),
    Column("first_event_ms", Int64),
    Column("total_ms", Int64, nullable=False),
    Column("booked_at_ms", Int64, nullable=False),
    CheckConstraint("cost_nano_usd >= 0", name="cost"),
    Index(None, "account_id", "started_at_ms", "request_id"),
    Index(None, "started_at_ms", "request_id"),
    Index(None, "booked_at_ms"),
)
keep_append_only(usage_records)


async def add(connection: AsyncConnection, booked: Sequence[UsageRecord], *, now_ms: int) -> None:
    """Keep records that are not kept yet."""
    if booked:
        await insert_all(connection, usage_records, [_row(record, now_ms) for record in booked])


async def by_request_id(connection: AsyncConnection, ids: Iterable[str]) -> dict[str, UsageRecord]:
    """The booked records of those requests."""
    rows = await connection.execute(select(usage_records).where(usage_records.c.request_id.in_(list(ids))))
    return {row["request_id"]: _record(row) for row in rows.mappings()}


async def booked_within(connection: AsyncConnection, *, from_ms: int, to_ms: int, limit: int) -> list[UsageRecord]:
    """Up to ``limit`` of the records that were booked within [from_ms, to_ms)."""
    booked_at_ms = usage_records.c.booked_at_ms
    query = select(usage_records).where(booked_at_ms >= from_ms, booked_at_ms < to_ms).limit(limit)
    return [_record(row) for row in (await connection.execute(query)).mappings()]


async def page(
    connection: AsyncConnection,
    *,
    account_id: str | None,
    from_ms: int | None,
    to_ms: int | None,
    cursor: Cursor | None,
    limit: int,
) -> Page[UsageRecord]:
    """Records that started within [from_ms, to_ms), of one account or of all, newest first."""
    query = select(usage_records)
    if account_id is not None:
        query = query.where(usage_records.c.account_id == account_id)
    if from_ms is not None:
        query = query.where(usage_records.c.started_at_ms >= from_ms)
    if to_ms is not None:
        query = query.where(usage_records.c.started_at_ms < to_ms)
    request = PageRequest(limit=limit, cursor=cursor)
    started, request_id = usage_records.c.started_at_ms, usage_records.c.request_id
    rows = await connection.execute(select_page(query, request, created_at_ms=started, row_id=request_id))
    found = [_record(row) for row in rows.mappings()]
    cursors = [Cursor(created_at_ms=record.started_at_ms, id=record.request_id) for record in found]
    return page_of(found, request, cursors=cursors)


async def costs_by_account(connection: AsyncConnection) -> dict[str, NanoUsd]:
    """The sum of booked charges of every account with usage, from the records themselves."""
    account_id = usage_records.c.account_id
    rows = await connection.execute(select(account_id, func.sum(usage_records.c.cost_nano_usd)).group_by(account_id))
    return {id_: NanoUsd(int(total)) for id_, total in rows}


def _row(record: UsageRecord, now_ms: int) -> dict[str, object]:
    return {
        "request_id": record.request_id,
        "account_id": record.account_id,
        "key_id": record.key_id,
        "model": record.model,
        "served_model": record.served_model,
        "provider": record.provider,
        "prompt_tokens": record.usage.prompt_tokens,
        "cached_tokens": record.usage.cached_tokens,
        "completion_tokens": record.usage.completion_tokens,
        "reasoning_tokens": record.usage.reasoning_tokens,
        "cost_nano_usd": record.cost_nano_usd,
        "price_row": record.price_row,
        "state": record.state,
        "estimated": int(record.estimated),
        "stream": int(record.stream),
        "attempts": orjson.dumps(record.attempts).decode(),
        "started_at_ms": record.started_at_ms,
        "first_event_ms": record.first_event_ms,
        "total_ms": record.total_ms,
        "booked_at_ms": now_ms,
    }


def _record(row: RowMapping) -> UsageRecord:
    return UsageRecord(
        request_id=row["request_id"],
        account_id=row["account_id"],
        key_id=row["key_id"],
        model=row["model"],
        served_model=row["served_model"],
        provider=row["provider"],
        usage=Usage(
            prompt_tokens=row["prompt_tokens"],
            cached_tokens=row["cached_tokens"],
            completion_tokens=row["completion_tokens"],
            reasoning_tokens=row["reasoning_tokens"],
        ),
        cost_nano_usd=NanoUsd(row["cost_nano_usd"]),
        price_row=row["price_row"],
        state=row["state"],
        estimated=bool(row["estimated"]),
        stream=bool(row["stream"]),
        attempts=tuple(Attempt(**attempt) for attempt in json.loads(row["attempts"])),
        started_at_ms=row["started_at_ms"],
        first_event_ms=row["first_event_ms"],
        total_ms=row["total_ms"],
    )
