"""Quarantine: usage that was not booked, as it came, with the reason, until an operator has looked at it."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Column, Text, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane.paging import Cursor, Page, PageRequest, page_of, select_page
from control_plane.store import Int64, table

quarantine = table(
    "quarantine",
    Column("request_id", Text, primary_key=True),
    Column("content_sha256", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("record", Text, nullable=False),
    Column("received_at_ms", Int64, nullable=False, index=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A record that was not booked and why; ``record`` is what came, in JSON."""

    request_id: str
    reason: str
    record: str

    @property
    def content_sha256(self) -> str:
        return hashlib.sha256(self.record.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What stands in quarantine, since when."""

    request_id: str
    content_sha256: str
    reason: str
    record: str
    received_at_ms: int

    @property
    def cursor(self) -> Cursor:
        return Cursor(created_at_ms=self.received_at_ms, id=f"{self.request_id}:{self.content_sha256}")


async def page(connection: AsyncConnection, request: PageRequest) -> Page[Kept]:
    """What was not booked, newest first."""
    columns = quarantine.c
    row_id = columns.request_id + ":" + columns.content_sha256
    query = select_page(select(quarantine), request, created_at_ms=columns.received_at_ms, row_id=row_id)
    found = [Kept(**row) for row in (await connection.execute(query)).mappings()]
    return page_of(found, request, cursors=[kept.cursor for kept in found])


async def add(connection: AsyncConnection, refused: Iterable[Quarantined], *, now_ms: int) -> None:
    """Keep what was refused, once for the same content however often it comes."""
    by_identity = {(item.request_id, item.content_sha256): item for item in refused}
    if not by_identity:
        return
    request_ids = [request_id for request_id, _ in by_identity]
    query = select(quarantine.c.request_id, quarantine.c.content_sha256)
    for request_id, content_sha256 in await connection.execute(query.where(quarantine.c.request_id.in_(request_ids))):
        by_identity.pop((request_id, content_sha256), None)
    if by_identity:
        await connection.execute(insert(quarantine), [_row(item, now_ms) for item in by_identity.values()])


def _row(item: Quarantined, now_ms: int) -> dict[str, object]:
    return {
        "request_id": item.request_id,
        "content_sha256": item.content_sha256,
        "reason": item.reason,
        "record": item.record,
        "received_at_ms": now_ms,
    }
