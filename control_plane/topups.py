"""Top-ups as they are stored: their rows, the provider's ids that belong to them, and how what was seen is booked."""

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    Row,
    Text,
    UniqueConstraint,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane import ledger, payments
from control_plane.accounts import accounts
from control_plane.ledger import Transfer, TransferConflict
from control_plane.paging import Cursor, Page, PageRequest, page_of, select_page
from control_plane.payment_provider import ProviderState, Refs, TopUp
from control_plane.store import Int64, table
from gateway.money import NanoUsd

topups = table(
    "topups",
    Column("id", Text, primary_key=True),
    Column("account_id", Text, ForeignKey(accounts.c.id), nullable=False),
    Column("provider", Text, nullable=False),
    Column("amount_nano_usd", Int64, nullable=False),
    Column("fee_policy", Text, nullable=False),
    Column("fee_nano_usd", Int64, nullable=False),
    Column("state", Text, nullable=False),
    Column("payment_ref", Text),
    Column("payee", Text),
    Column("approve_url", Text),
    Column("capture_id", Text),
    Column("captured_nano_usd", Int64, nullable=False),
    Column("refunded_nano_usd", Int64, nullable=False),
    Column("declines", Integer, nullable=False),
    Column("alert", Text),
    Column("created_at_ms", Int64, nullable=False),
    Column("updated_at_ms", Int64, nullable=False),
    Column("observed_at_ms", Int64, nullable=False),
    Column("next_look_at_ms", Int64, index=True),
    UniqueConstraint("provider", "payment_ref"),
    CheckConstraint("amount_nano_usd > 0", name="amount"),
    Index(None, "account_id", "created_at_ms"),
    Index(None, "created_at_ms"),
)
# Each capture, refund and dispute belongs to one top-up, and what it was first seen as it stays.
payment_facts = table(
    "payment_facts",
    Column("provider", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("topup_id", Text, ForeignKey(topups.c.id), nullable=False, index=True),
    CheckConstraint("kind IN ('capture', 'refund', 'reversal', 'dispute')", name="kind"),
)

CONFLICT: Final = "the provider now says otherwise than was booked: "


class TopUpNotFound(Exception):
    """No top-up has this id, or it is another account's."""


class DisputeNotFound(Exception):
    """The top-up has no dispute of this id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What a provider said of a top-up; ``began_at_ms`` is when it was asked."""

    state: ProviderState
    began_at_ms: int


async def add(connection: AsyncConnection, topup: TopUp) -> None:
    await connection.execute(insert(topups).values(asdict(topup)))


async def save(connection: AsyncConnection, topup: TopUp) -> None:
    await connection.execute(update(topups).where(topups.c.id == topup.id).values(asdict(topup)))


async def get(connection: AsyncConnection, topup_id: str, *, owner: str | None = None, lock: bool = False) -> TopUp:
    """``owner`` is the only account whose top-up it may be. Raises TopUpNotFound."""
    query = select(topups).where(topups.c.id == topup_id)
    row = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None or owner not in (None, row.account_id):
        raise TopUpNotFound
    return _topup(row)


async def find(connection: AsyncConnection, provider: str, refs: Refs) -> str | None:
    """The id of the top-up that one of the provider's ids belongs to."""
    by_payment = select(topups.c.id).where(topups.c.provider == provider, topups.c.payment_ref.in_(refs.payments))
    ids = (*refs.captures, *refs.refunds, *refs.disputes)
    by_fact = select(payment_facts.c.topup_id).where(payment_facts.c.provider == provider, payment_facts.c.id.in_(ids))
    for query in (by_payment, by_fact):
        if found := (await connection.execute(query.limit(1))).scalar():
            return str(found)
    return None


async def known_refs(connection: AsyncConnection, topup_id: str) -> Refs:
    """What has been seen of the top-up so far."""
    kinds = await _known_kinds(connection, topup_id)
    return Refs(
        captures=tuple(id_ for id_, kind in kinds.items() if kind == "capture"),
        refunds=tuple(id_ for id_, kind in kinds.items() if kind in ("refund", "reversal")),
        disputes=tuple(id_ for id_, kind in kinds.items() if kind == "dispute"),
    )


async def apply(connection: AsyncConnection, topup_id: str, seen: Observation, *, now_ms: int) -> TopUp:
    """Book what follows from what was seen, send it to the Wallet and keep the top-up: in the caller's transaction.

    Seen again, it changes nothing. Something seen earlier than what is known already is booked, but the top-up's state
    stays.
    """
    topup = await get(connection, topup_id, lock=True)
    state = await _as_first_seen(connection, topup, seen.state)
    outcome = payments.reconcile(topup, state, now_ms=now_ms)
    claimed = await _claim(connection, outcome.topup, state) if outcome.groups else ()
    alerts = [f"{id_} belongs to another top-up" for id_ in claimed]
    for group in outcome.groups if not claimed else ():
        try:
            await ledger.post_with_grants(connection, group, account_id=topup.account_id)
        except TransferConflict as conflict:
            alerts.append(CONFLICT + conflict.transfer_id)
    changed = outcome.topup if not claimed else topup
    if seen.began_at_ms < topup.observed_at_ms:
        changed = replace(topup, capture_id=changed.capture_id)
    changed = replace(
        changed,
        alert="; ".join(alerts) or changed.alert,
        observed_at_ms=max(topup.observed_at_ms, seen.began_at_ms),
        updated_at_ms=now_ms if changed.state != topup.state else topup.updated_at_ms,
    )
    await save(connection, changed)
    return changed


async def book_dispute_fee(
    connection: AsyncConnection, topup_id: str, dispute_id: str, amount: NanoUsd, *, now_ms: int
) -> str:
    """What the provider charged us for a dispute, once, on the operator's word; returns the transfer's id.

    Raises TopUpNotFound, DisputeNotFound; TransferConflict when another amount was booked for the dispute.
    """
    topup = await get(connection, topup_id)
    if dispute_id not in (await known_refs(connection, topup_id)).disputes:
        raise DisputeNotFound
    fee = Transfer(
        id=f"{topup.provider}:dispute_fee:{dispute_id}",
        debit=ledger.fee_of(topup.provider),
        credit=ledger.external_of(topup.provider),
        amount_nano_usd=amount,
        kind="fee",
        reference=topup.id,
        created_at_ms=now_ms,
    )
    await ledger.post(connection, fee)
    return fee.id


async def due(connection: AsyncConnection, *, now_ms: int, limit: int) -> list[str]:
    """The top-ups that are to be looked at now, longest due first."""
    query = select(topups.c.id).where(topups.c.next_look_at_ms <= now_ms)
    return list((await connection.execute(query.order_by(topups.c.next_look_at_ms).limit(limit))).scalars())


async def count_open(connection: AsyncConnection, account_id: str, *, since_ms: int) -> int:
    """How many top-ups the account began lately that nobody has paid."""
    query = select(func.count()).where(
        topups.c.account_id == account_id, topups.c.created_at_ms >= since_ms, topups.c.captured_nano_usd == 0
    )
    return int(await connection.scalar(query) or 0)


async def page(connection: AsyncConnection, request: PageRequest, *, account_id: str | None = None) -> Page[TopUp]:
    """Top-ups, newest first, of one account or of all."""
    query = select(topups) if account_id is None else select(topups).where(topups.c.account_id == account_id)
    query = select_page(query, request, created_at_ms=topups.c.created_at_ms, row_id=topups.c.id)
    found = [_topup(row) for row in await connection.execute(query)]
    cursors = [Cursor(created_at_ms=topup.created_at_ms, id=topup.id) for topup in found]
    return page_of(found, request, cursors=cursors)


async def with_alerts(connection: AsyncConnection, *, limit: int) -> list[TopUp]:
    """The top-ups that the operator should look at, newest first."""
    query = select(topups).where(topups.c.alert.is_not(None)).order_by(topups.c.created_at_ms.desc()).limit(limit)
    return [_topup(row) for row in await connection.execute(query)]


async def _as_first_seen(connection: AsyncConnection, topup: TopUp, state: ProviderState) -> ProviderState:
    """A refund that was booked as a reversal, or the other way round, stays what it was: its transfer has that name."""
    kinds = await _known_kinds(connection, topup.id)
    refunds = []
    for refund in state.refunds:
        kind = kinds.get(refund.id, refund.kind)
        refunds.append(replace(refund, kind="reversal" if kind == "reversal" else "refund"))
    return replace(state, refunds=tuple(refunds))


async def _claim(connection: AsyncConnection, topup: TopUp, state: ProviderState) -> Collection[str]:
    """Make what was seen the top-up's own. Returns what is another's, and then claims nothing."""
    kinds: dict[str, str] = {dispute.id: "dispute" for dispute in state.disputes}
    kinds |= {refund.id: refund.kind for refund in state.refunds}
    kinds |= {capture.id: "capture" for capture in state.captures}
    owners = await _owners(connection, topup.provider, kinds)
    foreign = sorted(id_ for id_, owner in owners.items() if owner != topup.id)
    new = [id_ for id_ in kinds if id_ not in owners]
    if new and not foreign:
        rows = [{"provider": topup.provider, "id": id_, "kind": kinds[id_], "topup_id": topup.id} for id_ in new]
        await connection.execute(insert(payment_facts), rows)
    return foreign


async def _owners(connection: AsyncConnection, provider: str, ids: Iterable[str]) -> dict[str, str]:
    query = select(payment_facts.c.id, payment_facts.c.topup_id)
    query = query.where(payment_facts.c.provider == provider, payment_facts.c.id.in_(list(ids)))
    return {row.id: row.topup_id for row in await connection.execute(query)}


async def _known_kinds(connection: AsyncConnection, topup_id: str) -> dict[str, str]:
    query = select(payment_facts.c.id, payment_facts.c.kind).where(payment_facts.c.topup_id == topup_id)
    return {row.id: row.kind for row in await connection.execute(query)}


def _topup(row: Row[Any]) -> TopUp:
    return TopUp(**row._mapping)
