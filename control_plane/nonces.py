"""The nonces of signed calls from the edge: each is good once, and is kept for as long as its call could be fresh."""

from collections.abc import Sequence
from itertools import compress
from typing import Final

from sqlalchemy import Column, Text, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane.store import Int64, table
from gateway.signing import FRESH_FOR_S

# A caller whose clock is ahead signs calls that stay fresh for twice the time.
KEPT_FOR_MS: Final = 2 * FRESH_FOR_S * 1000

nonces = table(
    "nonces",
    Column("nonce", Text, primary_key=True),
    Column("seen_at_ms", Int64, nullable=False, index=True),
)


class NonceReplayed(Exception):
    """The nonce was spent by an earlier call."""


async def spend(connection: AsyncConnection, nonce: str, *, now_ms: int) -> None:
    """Spend a nonce in the caller's transaction; raises NonceReplayed."""
    if await spend_all(connection, [nonce], now_ms=now_ms) == [False]:
        raise NonceReplayed


async def spend_all(connection: AsyncConnection, presented: Sequence[str], *, now_ms: int) -> list[bool]:
    """Spend nonces in the caller's transaction. Returns of each, in order, whether it was still good."""
    spent = set(await connection.scalars(select(nonces.c.nonce).where(nonces.c.nonce.in_(presented))))
    fresh = []
    for nonce in presented:
        fresh.append(nonce not in spent)
        spent.add(nonce)
    if rows := [{"nonce": nonce, "seen_at_ms": now_ms} for nonce in compress(presented, fresh)]:
        await connection.execute(insert(nonces), rows)
    return fresh


async def prune(connection: AsyncConnection, *, now_ms: int) -> None:
    """Forget the nonces of calls that have gone stale."""
    await connection.execute(delete(nonces).where(nonces.c.seen_at_ms < now_ms - KEPT_FOR_MS))
