"""The nonces of signed calls from the edge: each is good once, and is kept for as long as its call could be fresh."""

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
    await connection.execute(delete(nonces).where(nonces.c.seen_at_ms < now_ms - KEPT_FOR_MS))
    if await connection.scalar(select(nonces.c.nonce).where(nonces.c.nonce == nonce)) is not None:
        raise NonceReplayed
    await connection.execute(insert(nonces).values(nonce=nonce, seen_at_ms=now_ms))
