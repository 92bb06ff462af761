"""The price book: every price row that was ever published, kept as it was, so that old usage stays explicable."""

import json
from collections.abc import Iterable

from sqlalchemy import Column, Text, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane.append_only import keep_append_only
from control_plane.store import Int64, table
from gateway.fields import Fields
from gateway.records import PriceRow, encode

price_rows = table(
    "price_rows",
    Column("id", Text, primary_key=True),
    Column("content", Text, nullable=False),  # the PriceRow as it stands in the catalogue, in JSON
    Column("stored_at_ms", Int64, nullable=False),
)
catalogue_versions = table(
    "catalogue_versions",
    Column("version", Int64, primary_key=True, autoincrement=False),
    Column("content_sha256", Text, nullable=False),
    Column("published_at_ms", Int64, nullable=False),
)
keep_append_only(price_rows)
keep_append_only(catalogue_versions)


class PriceRowConflict(Exception):
    """Two price rows with one id say different things, which a hash of their content rules out but for a bug."""


async def store_price_rows(connection: AsyncConnection, rows: Iterable[PriceRow], *, now_ms: int) -> None:
    """Keep the rows that are new; raises PriceRowConflict."""
    by_id = {row.id: row for row in rows}
    known = await price_rows_by_id(connection, by_id)
    if changed := [id_ for id_, row in known.items() if row != by_id[id_]]:
        raise PriceRowConflict(", ".join(changed))
    new = [
        {"id": id_, "content": encode(row), "stored_at_ms": now_ms} for id_, row in by_id.items() if id_ not in known
    ]
    if new:
        await connection.execute(insert(price_rows), new)


async def price_rows_by_id(connection: AsyncConnection, ids: Iterable[str]) -> dict[str, PriceRow]:
    """The rows of those ids that were ever published."""
    query = select(price_rows.c.id, price_rows.c.content).where(price_rows.c.id.in_(list(ids)))
    rows = await connection.execute(query)
    return {id_: PriceRow.from_fields(Fields(json.loads(content), "price row")) for id_, content in rows}
