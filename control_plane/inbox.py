"""The inbox: which webhooks have been dealt with. A row commits together with what its webhook brought about.

Of a webhook only ids are kept: its body names the payer.
"""

from typing import Final, Literal

from sqlalchemy import Column, Text, UniqueConstraint, delete, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane.payment_provider import VerifiedDelivery
from control_plane.store import Int64, table

# Far longer than a delivery stays fresh enough to be taken.
KEPT_FOR_MS: Final = 30 * 24 * 60 * 60 * 1000

Outcome = Literal["done", "irrelevant"]

inbox = table(
    "inbox",
    Column("provider", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("transmission_id", Text, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("topup_id", Text),
    Column("outcome", Text, nullable=False),
    Column("received_at_ms", Int64, nullable=False, index=True),
    UniqueConstraint("provider", "transmission_id"),
)


class AlreadySeen(Exception):
    """The event has been dealt with."""


class TransmissionReplayed(Exception):
    """The transmission brought another event before, so this one is forged."""


async def check_new(connection: AsyncConnection, provider: str, delivery: VerifiedDelivery) -> None:
    """Raises AlreadySeen, TransmissionReplayed."""
    own = inbox.c.provider == provider
    if await connection.scalar(select(inbox.c.event_id).where(own, inbox.c.event_id == delivery.event_id)):
        raise AlreadySeen
    if await connection.scalar(
        select(inbox.c.event_id).where(own, inbox.c.transmission_id == delivery.transmission_id)
    ):
        raise TransmissionReplayed


async def add(
    connection: AsyncConnection, provider: str, delivery: VerifiedDelivery, *, topup_id: str | None, now_ms: int
) -> None:
    """The webhook is dealt with in this transaction. Raises AlreadySeen, TransmissionReplayed."""
    await check_new(connection, provider, delivery)
    outcome: Outcome = "irrelevant" if topup_id is None else "done"
    row = {
        "provider": provider,
        "event_id": delivery.event_id,
        "transmission_id": delivery.transmission_id,
        "event_type": delivery.event_type,
        "topup_id": topup_id,
        "outcome": outcome,
        "received_at_ms": now_ms,
    }
    try:
        await connection.execute(insert(inbox).values(row))
    except IntegrityError as error:
        # The same webhook was dealt with at the same time by another process.
        raise AlreadySeen from error


async def prune(connection: AsyncConnection, *, now_ms: int) -> None:
    """Forget what can no longer be taken for new."""
    await connection.execute(delete(inbox).where(inbox.c.received_at_ms < now_ms - KEPT_FOR_MS))
