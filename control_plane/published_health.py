"""The health that the newest version of the catalogue says, kept so that a restart neither forgets nor repeats it."""

from collections.abc import Iterable
from dataclasses import fields

from sqlalchemy import CheckConstraint, Column, Text, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane.provider_health import Published, Target
from control_plane.store import Int64, table
from gateway.records import TargetHealth

published_health = table(
    "published_health",
    Column("provider", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("health", Text, nullable=False),
    Column("first_event_ms", Int64),
    Column("tokens_per_second", Int64),
    Column("since_ms", Int64, nullable=False),
    CheckConstraint("health IN ('healthy', 'degraded', 'down')", name="health"),
)

_NAMES = tuple(field.name for field in fields(TargetHealth))


async def read(connection: AsyncConnection) -> dict[Target, Published]:
    """By target, in order."""
    query = select(published_health).order_by(published_health.c.provider, published_health.c.model)
    found = {}
    for row in (await connection.execute(query)).mappings():
        health = TargetHealth(**{name: row[name] for name in _NAMES})
        found[row["provider"], row["model"]] = Published(health=health, since_ms=row["since_ms"])
    return found


async def replace(connection: AsyncConnection, published: Iterable[Published]) -> None:
    """These and no others are told from now on."""
    await connection.execute(delete(published_health))
    rows = [_row(item) for item in published]
    if rows:
        await connection.execute(insert(published_health), rows)


def _row(item: Published) -> dict[str, object]:
    return {name: getattr(item.health, name) for name in _NAMES} | {"since_ms": item.since_ms}
