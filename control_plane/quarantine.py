"""Quarantine: usage that was not booked, as it came, with the reason, until an operator has looked at it."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Column, Text, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

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


async def add(connection: AsyncConnection, refused: Iterable[Quarantined], *, now_ms: int) -> None:
    """Keep what was refused, once for the same content however often it comes."""
    by_identity = {(item.request_id, item.content_sha256): item for item in refused}
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
