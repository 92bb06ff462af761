"""Refunds and reversals of one top-up, as they were booked."""

from dataclasses import dataclass
from typing import Literal, cast

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane.ledger import transfers
from control_plane.payment_provider import TopUp
from control_plane.topups import payment_facts
from gateway.money import NOTHING, NanoUsd


class RefundNotFound(Exception):
    """Nothing of this id was given back of the top-up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """Money that went back to the payer: a part of what was credited, and a part of the fee that was charged."""

    refund_id: str
    kind: Literal["refund", "reversal"]
    booked_at_ms: int
    credit_nano_usd: NanoUsd
    fee_nano_usd: NanoUsd

    @property
    def total_nano_usd(self) -> NanoUsd:
        return NanoUsd(self.credit_nano_usd + self.fee_nano_usd)


async def of_topup(connection: AsyncConnection, topup: TopUp) -> list[Returned]:
    """All that went back, oldest first."""
    facts = payment_facts.c
    query = select(facts.id, facts.kind).where(
        facts.topup_id == topup.id, facts.provider == topup.provider, facts.kind.in_(("refund", "reversal"))
    )
    kinds = {row.id: row.kind for row in await connection.execute(query)}
    found = [await _booked(connection, topup, refund_id, kind) for refund_id, kind in kinds.items()]
    return sorted(filter(None, found), key=lambda returned: (returned.booked_at_ms, returned.refund_id))


async def get(connection: AsyncConnection, topup: TopUp, refund_id: str) -> Returned:
    """Raises RefundNotFound."""
    for returned in await of_topup(connection, topup):
        if returned.refund_id == refund_id:
            return returned
    raise RefundNotFound


async def _booked(connection: AsyncConnection, topup: TopUp, refund_id: str, kind: str) -> Returned | None:
    """By its transfers; None where another top-up's money was meant, and nothing was booked here."""
    credit, fee = f"{topup.provider}:{kind}:{refund_id}", f"{topup.provider}:{kind}:{refund_id}:charged_fee"
    columns = transfers.c
    query = select(columns.id, columns.amount_nano_usd, columns.created_at_ms).where(columns.id.in_((credit, fee)))
    rows = {row.id: row for row in await connection.execute(query)}
    if not rows:
        return None
    return Returned(
        refund_id=refund_id,
        kind=cast(Literal["refund", "reversal"], kind),
        booked_at_ms=min(row.created_at_ms for row in rows.values()),
        credit_nano_usd=NanoUsd(rows[credit].amount_nano_usd) if credit in rows else NOTHING,
        fee_nano_usd=NanoUsd(rows[fee].amount_nano_usd) if fee in rows else NOTHING,
    )
