"""The edge's heartbeat: when it was last heard of, and which catalogue it serves from."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import CheckConstraint, Column, Integer, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane.store import Int64, table
from gateway.fields import Fields

_THE_EDGE: Final = 1

heartbeats = table(
    "heartbeats",
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("catalogue_version", Int64, nullable=False),
    Column("at_ms", Int64, nullable=False),
    Column("received_at_ms", Int64, nullable=False),
    CheckConstraint("id = 1", name="one_edge"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """One sign of life; ``at_ms`` is by the edge's clock, and a catalogue that it does not have is version 0."""

    catalogue_version: int
    at_ms: int

    @classmethod
    def from_fields(cls, fields: Fields) -> "Heartbeat":
        return cls(
            catalogue_version=fields.optional(fields.integer, "catalogue_version") or 0,
            at_ms=fields.integer("at_ms"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LastHeartbeat:
    """The newest heartbeat and when it came, by our clock."""

    heartbeat: Heartbeat
    received_at_ms: int


async def record(connection: AsyncConnection, heartbeat: Heartbeat, *, now_ms: int) -> None:
    """Remember this one in place of the one before."""
    values = {
        "catalogue_version": heartbeat.catalogue_version,
        "at_ms": heartbeat.at_ms,
        "received_at_ms": now_ms,
    }
    known = await connection.execute(update(heartbeats).where(heartbeats.c.id == _THE_EDGE).values(values))
    if known.rowcount == 0:
        await connection.execute(insert(heartbeats).values(id=_THE_EDGE, **values))


async def last(connection: AsyncConnection) -> LastHeartbeat | None:
    """None before the first."""
    row = (await connection.execute(select(heartbeats))).one_or_none()
    if row is None:
        return None
    heartbeat = Heartbeat(catalogue_version=row.catalogue_version, at_ms=row.at_ms)
    return LastHeartbeat(heartbeat=heartbeat, received_at_ms=row.received_at_ms)
