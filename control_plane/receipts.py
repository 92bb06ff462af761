"""Receipts as they are stored: one for every booked request, in a chain per account, made with the booking.

The hash is kept; the signature is made when a receipt is read, because Ed25519 always signs the same text alike.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

from sqlalchemy import Column, ForeignKey, Row, Text, UniqueConstraint, and_, func, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane import ledger
from control_plane.accounts import accounts
from control_plane.append_only import keep_append_only
from control_plane.ledger import TransferKind
from control_plane.paging import Cursor, Page, PageRequest, page_of, select_page
from control_plane.receipt_document import AppliedPrice, Receipt, SignedReceipt, Standing, canonical, digest
from control_plane.receipt_key import ReceiptKey
from control_plane.store import Int64, insert_all, table
from control_plane.usage import usage_records
from gateway.frozen import frozen
from gateway.money import NanoUsd
from gateway.records import UsageRecord

# What an account receives only grows; all else that moves its money, but for usage, counts as returned.
RECEIVED: Final[frozenset[TransferKind]] = frozenset({"credit", "trial", "top_up"})
OTHER_THAN_USAGE: Final = tuple(kind for kind in get_args(TransferKind) if kind != "usage")

receipts = table(
    "receipts",
    Column("request_id", Text, ForeignKey(usage_records.c.request_id), primary_key=True),
    Column("account_id", Text, ForeignKey(accounts.c.id), nullable=False),
    Column("number", Int64, nullable=False),
    Column("previous_hash", Text),
    Column("hash", Text, nullable=False),
    Column("body", Text, nullable=False),  # the receipt in canonical JSON
    UniqueConstraint("account_id", "number"),
)
keep_append_only(receipts)


class ReceiptNotFound(Exception):
    """No receipt has this request id, or it is another account's."""


class ReceiptAltered(Exception):
    """A stored receipt is not what its hash says, so it must not be signed."""


@frozen
class StoredReceipt:
    """One receipt as it was made; ``body`` is its canonical text."""

    request_id: str
    account_id: str
    number: int
    previous_hash: str | None
    hash: str
    body: str

    def signed_by(self, key: ReceiptKey) -> SignedReceipt:
        """Raises ReceiptAltered."""
        if digest(self.body) != self.hash:
            raise ReceiptAltered(self.request_id)
        return SignedReceipt(body=self.body, hash=self.hash, public_key=key.public.text, signature=key.sign(self.body))


@dataclass(slots=True, kw_only=True)
class _Chain:
    """Where an account's chain ends, as a batch makes it longer."""

    number: int
    hash: str | None
    standing: Standing

    def add(self, record: UsageRecord, price: AppliedPrice | None, now_ms: int) -> StoredReceipt:
        receipt = Receipt(
            number=self.number + 1,
            previous_hash=self.hash,
            booked_at_ms=now_ms,
            record=record,
            price=price,
            standing=self.standing.spending(record.cost_nano_usd),
        )
        body = canonical(receipt.to_json())
        stored = StoredReceipt(
            request_id=record.request_id,
            account_id=record.account_id,
            number=receipt.number,
            previous_hash=receipt.previous_hash,
            hash=digest(body),
            body=body,
        )
        self.number, self.hash, self.standing = stored.number, stored.hash, receipt.standing
        return stored


async def issue(
    connection: AsyncConnection, booked: Sequence[tuple[UsageRecord, AppliedPrice | None]], *, now_ms: int
) -> None:
    """Make the receipts of records, each with its price, whose charges were just posted in this transaction.

    The caller holds the rows of the accounts, so that no two batches make one chain longer at once.
    """
    if not booked:
        return
    chains = await _open_chains(connection, [record for record, _ in booked])
    made = [chains[record.account_id].add(record, price, now_ms) for record, price in booked]
    await insert_all(connection, receipts, [_row(receipt) for receipt in made])


async def get(connection: AsyncConnection, request_id: str, *, owner: str | None = None) -> StoredReceipt:
    """``owner`` is the only account whose receipt it may be. Raises ReceiptNotFound."""
    row = (await connection.execute(select(receipts).where(receipts.c.request_id == request_id))).one_or_none()
    if row is None or owner not in (None, row.account_id):
        raise ReceiptNotFound
    return _stored(row)


async def page(connection: AsyncConnection, request: PageRequest, *, account_id: str) -> Page[StoredReceipt]:
    """An account's receipts, newest first."""
    query = select(receipts).where(receipts.c.account_id == account_id)
    # The number stands where other lists have the time: it rises in the same way.
    query = select_page(query, request, created_at_ms=receipts.c.number, row_id=receipts.c.request_id)
    found = [_stored(row) for row in await connection.execute(query)]
    cursors = [Cursor(created_at_ms=receipt.number, id=receipt.request_id) for receipt in found]
    return page_of(found, request, cursors=cursors)


async def after(connection: AsyncConnection, account_id: str, number: int, *, limit: int) -> list[StoredReceipt]:
    """The next receipts of an account's chain, oldest first."""
    query = select(receipts).where(receipts.c.account_id == account_id, receipts.c.number > number)
    return [_stored(row) for row in await connection.execute(query.order_by(receipts.c.number).limit(limit))]


async def _open_chains(connection: AsyncConnection, booked: Sequence[UsageRecord]) -> dict[str, _Chain]:
    """The chains as they were before the batch, whose charges the ledger has already."""
    account_ids = {record.account_id for record in booked}
    ends, standings = await _ends(connection, account_ids), await _standings(connection, account_ids)
    charged = Counter[str]()
    for record in booked:
        charged[record.account_id] += record.cost_nano_usd
    chains = {}
    for id_, standing in standings.items():
        number, last_hash = ends.get(id_, (0, None))
        chains[id_] = _Chain(number=number, hash=last_hash, standing=standing.spending(NanoUsd(-charged[id_])))
    return chains


async def _ends(connection: AsyncConnection, account_ids: Collection[str]) -> dict[str, tuple[int, str | None]]:
    """Number and hash of the last receipt of each account: one look into the index for each, however long it is."""
    others = receipts.alias()
    numbers = select(others.c.number).where(others.c.account_id == accounts.c.id).order_by(others.c.number.desc())
    is_last = receipts.c.number == numbers.limit(1).scalar_subquery()
    query = (
        select(receipts.c.account_id, receipts.c.number, receipts.c.hash)
        .join_from(accounts, receipts, and_(receipts.c.account_id == accounts.c.id, is_last))
        .where(accounts.c.id.in_(account_ids))
    )
    return {row.account_id: (row.number, row.hash) for row in await connection.execute(query)}


async def _standings(connection: AsyncConnection, account_ids: Collection[str]) -> dict[str, Standing]:
    """In one statement, because what a top-up adds meanwhile must show in the sum and in the balance, or in neither."""
    owners = {name(id_): id_ for id_ in account_ids for name in (ledger.balance_of, ledger.trial_of)}
    entries, balances = ledger.entries.c, ledger.ledger_accounts.c
    moved = (
        select(entries.ledger_account, entries.kind, func.sum(entries.amount_nano_usd))
        .where(entries.ledger_account.in_(owners), entries.kind.in_(OTHER_THAN_USAGE))
        .group_by(entries.ledger_account, entries.kind)
    )
    left = select(balances.id, literal("left"), balances.balance_nano_usd).where(balances.id.in_(owners))
    received, returned, unspent = Counter[str](), Counter[str](), Counter[str]()
    for ledger_account, kind, amount in await connection.execute(union_all(moved, left)):
        sums = unspent if kind == "left" else received if kind in RECEIVED else returned
        sums[owners[ledger_account]] += int(amount)
    return {
        id_: Standing(
            received_nano_usd=NanoUsd(received[id_]),
            returned_nano_usd=NanoUsd(-returned[id_]),
            spent_nano_usd=NanoUsd(received[id_] + returned[id_] - unspent[id_]),
        )
        for id_ in account_ids
    }


def _row(receipt: StoredReceipt) -> dict[str, object]:
    return {
        "request_id": receipt.request_id,
        "account_id": receipt.account_id,
        "number": receipt.number,
        "previous_hash": receipt.previous_hash,
        "hash": receipt.hash,
        "body": receipt.body,
    }


def _stored(row: Row[Any]) -> StoredReceipt:
    return StoredReceipt(**row._mapping)
