"""The outbox: what has to be delivered to the edge, row by row.

A row is pending until it is delivered, or refused for good; a finished row is kept for a while, for people to see.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from sqlalchemy import (
    CheckConstraint,
    Column,
    ColumnElement,
    Index,
    Integer,
    Row,
    Text,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane.clock import wall_clock_ms
from control_plane.paging import Cursor, CursorRefused, Page, PageRequest, page_of
from control_plane.store import Int64, table

Target = Literal["kv", "wallet"]
Kind = Literal["record", "grant", "revocation"]
OutboxState = Literal["pending", "delivered", "refused"]

LAST_ERROR_MAX_CHARS = 200

outbox = table(
    "outbox",
    Column("seq", Int64, primary_key=True, autoincrement=True),
    Column("target", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("version", Int64, nullable=False),
    Column("payload", Text, nullable=False),
    Column("state", Text, nullable=False, default="pending"),
    Column("attempts", Integer, nullable=False, default=0),
    Column("next_attempt_at_ms", Int64, nullable=False, default=0),
    Column("last_error", Text),
    Column("enqueued_at_ms", Int64, nullable=False, default=wall_clock_ms),
    Column("finished_at_ms", Int64),
    CheckConstraint("target IN ('kv', 'wallet')", name="target"),
    CheckConstraint("state IN ('pending', 'delivered', 'refused')", name="state"),
    Index(None, "state", "target", "next_attempt_at_ms"),
    Index(None, "subject", "state"),
    # Rows are waited for by number, so a number is never given again after its row was pruned.
    sqlite_autoincrement=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """One delivery. ``subject`` is a KV name or an account id; ``version`` orders KV records, 0 for Wallets."""

    seq: int
    target: Target
    kind: Kind
    subject: str
    version: int
    payload: str
    state: OutboxState
    attempts: int
    next_attempt_at_ms: int
    last_error: str | None
    enqueued_at_ms: int
    finished_at_ms: int | None


async def append(
    connection: AsyncConnection, *, target: Target, kind: Kind, subject: str, payload: str, version: int = 0
) -> int:
    """A new pending row, due at once. Returns its number."""
    row = {"target": target, "kind": kind, "subject": subject, "payload": payload, "version": version}
    result = await connection.execute(insert(outbox).values(row).returning(outbox.c.seq))
    return cast(int, result.scalar_one())


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How much of one target waits, and since when its oldest row does (None: nothing waits)."""

    target: Target
    pending: int
    oldest_at_ms: int | None


async def undelivered(connection: AsyncConnection, subjects: Iterable[str]) -> list[int]:
    """The numbers of the pending rows about these KV names and accounts."""
    query = select(outbox.c.seq).where(outbox.c.subject.in_(list(subjects)), outbox.c.state == "pending")
    return list((await connection.execute(query)).scalars())


async def states(connection: AsyncConnection, seqs: Sequence[int]) -> set[OutboxState]:
    """The states that these rows are in; a row that was pruned has been finished long ago."""
    query = select(outbox.c.state).where(outbox.c.seq.in_(seqs)).distinct()
    return set((await connection.execute(query)).scalars())


async def due_kv(connection: AsyncConnection, *, now_ms: int, limit: int) -> list[OutboxRow]:
    """Every pending row of up to ``limit`` KV names of which one is due, oldest first."""
    due = (
        select(outbox.c.subject)
        .where(_pending("kv"), outbox.c.next_attempt_at_ms <= now_ms)
        .group_by(outbox.c.subject)
        .order_by(func.min(outbox.c.seq))
        .limit(limit)
    )
    query = select(outbox).where(_pending("kv"), outbox.c.subject.in_(due)).order_by(outbox.c.seq)
    return [_outbox_row(row) for row in await connection.execute(query)]


async def delivered_versions(connection: AsyncConnection, subjects: Iterable[str]) -> dict[str, int]:
    """The newest version of each KV name that is known to have been written."""
    query = (
        select(outbox.c.subject, func.max(outbox.c.version).label("newest"))
        .where(outbox.c.state == "delivered", outbox.c.target == "kv", outbox.c.subject.in_(list(subjects)))
        .group_by(outbox.c.subject)
    )
    return {row.subject: row.newest for row in await connection.execute(query)}


async def heads(connection: AsyncConnection, *, limit: int) -> list[tuple[str, int]]:
    """Accounts with grants or revocations to deliver, and when the first of each is due; the earliest come first."""
    first = select(func.min(outbox.c.seq)).where(_pending("wallet")).group_by(outbox.c.subject)
    query = (
        select(outbox.c.subject, outbox.c.next_attempt_at_ms)
        .where(outbox.c.seq.in_(first))
        .order_by(outbox.c.next_attempt_at_ms, outbox.c.seq)
        .limit(limit)
    )
    return [(subject, at_ms) for subject, at_ms in await connection.execute(query)]


async def wallet_rows(connection: AsyncConnection, account_id: str, *, limit: int) -> list[OutboxRow]:
    """What the account's Wallet must learn next, in the order in which it happened."""
    query = select(outbox).where(_pending("wallet"), outbox.c.subject == account_id)
    return [_outbox_row(row) for row in await connection.execute(query.order_by(outbox.c.seq).limit(limit))]


async def finish_kv(connection: AsyncConnection, versions: Mapping[str, int], *, now_ms: int) -> None:
    """These versions stand in KV, so every pending row up to them is done."""
    done = (
        update(outbox)
        .where(_pending("kv"), outbox.c.subject == bindparam("name"), outbox.c.version <= bindparam("written"))
        .values(state="delivered", finished_at_ms=now_ms, last_error=None)
    )
    if versions:
        await connection.execute(done, [{"name": name, "written": version} for name, version in versions.items()])


async def finish(
    connection: AsyncConnection, seqs: Sequence[int], state: OutboxState, *, now_ms: int, reason: str | None = None
) -> None:
    """These rows need no further attempt."""
    values = {"state": state, "finished_at_ms": now_ms, "last_error": reason}
    await connection.execute(update(outbox).where(outbox.c.seq.in_(seqs)).values(values))


async def postpone(connection: AsyncConnection, seqs: Sequence[int], *, next_attempt_at_ms: int, reason: str) -> None:
    """One more attempt failed."""
    values = {"next_attempt_at_ms": next_attempt_at_ms, "last_error": reason[:LAST_ERROR_MAX_CHARS]}
    # Row by row, because a statement takes fewer values than a call to KV takes names.
    postponed = update(outbox).where(outbox.c.seq == bindparam("row")).values(attempts=outbox.c.attempts + 1, **values)
    await connection.execute(postponed, [{"row": seq} for seq in seqs])


async def next_due_kv(connection: AsyncConnection) -> int | None:
    """When the next KV row is due, or None when none is pending."""
    query = select(func.min(outbox.c.next_attempt_at_ms)).where(_pending("kv"))
    return cast("int | None", await connection.scalar(query))


async def prune(connection: AsyncConnection, *, finished_before_ms: int) -> None:
    """Forget rows that were finished long ago."""
    await connection.execute(
        delete(outbox).where(outbox.c.state != "pending", outbox.c.finished_at_ms < finished_before_ms)
    )


async def backlogs(connection: AsyncConnection) -> list[Backlog]:
    """What waits, per target."""
    found = []
    for target in get_args(Target):
        query = select(func.count(), func.min(outbox.c.enqueued_at_ms)).where(_pending(target))
        pending, oldest = (await connection.execute(query)).one()
        found.append(Backlog(target=target, pending=pending, oldest_at_ms=oldest))
    return found


async def page(
    connection: AsyncConnection, request: PageRequest, *, state: OutboxState | None = None
) -> Page[OutboxRow]:
    """Rows of the outbox, newest first. Raises CursorRefused."""
    query = select(outbox) if state is None else select(outbox).where(outbox.c.state == state)
    if request.cursor is not None:
        if not request.cursor.id.isdecimal():
            raise CursorRefused
        query = query.where(outbox.c.seq < int(request.cursor.id))
    query = query.order_by(outbox.c.seq.desc()).limit(request.limit + 1)
    found = [_outbox_row(row) for row in await connection.execute(query)]
    cursors = [Cursor(created_at_ms=row.enqueued_at_ms, id=str(row.seq)) for row in found]
    return page_of(found, request, cursors=cursors)


def _pending(target: Target) -> ColumnElement[bool]:
    return and_(outbox.c.state == "pending", outbox.c.target == target)


def _outbox_row(row: Row[Any]) -> OutboxRow:
    return OutboxRow(**row._mapping)
