"""The ledger: double entry, append-only, in integer nano-USD.

A Transfer moves an amount from the ledger account that it debits to the one that it credits. Its id is made from the
fact behind it (``credit:<account>:<reference>``, ``usage:<request id>``) and is the idempotency key: posting it again
changes nothing, posting other content under it is an error, and a correction is a transfer of its own.

A ledger account's balance is credits less debits, so what we owe a customer and what we earned are positive, where
money came from is negative, and the sum over all ledger accounts is zero, always.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, cast, get_args

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Text, bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane import projection
from control_plane.accounts import accounts
from control_plane.append_only import keep_append_only
from control_plane.store import Int64, insert_all, table
from gateway.frozen import frozen
from gateway.money import MAX_NANO_USD, NanoUsd
from gateway.records import Grant, GrantKind

TransferKind = Literal["credit", "trial", "top_up", "refund", "reversal", "usage", "fee", "writeoff"]
GRANT_KINDS: Final[tuple[GrantKind, ...]] = get_args(GrantKind)
Posted = Literal["created", "exists"]

ADMIN_CREDIT: Final = "external:admin_credit"
PAYPAL: Final = "external:paypal"
PAYPAL_FEE: Final = "fee:paypal"
TRIAL_PROMOTION: Final = "promo:trial"
USAGE_REVENUE: Final = "revenue:usage"
TOP_UP_FEE_REVENUE: Final = "revenue:top_up_fees"
WRITEOFF: Final = "writeoff"
_BALANCE_PREFIX: Final = "liability:account:"
_TRIAL_PREFIX: Final = "liability:trial:"

ledger_accounts = table(
    "ledger_accounts",
    Column("id", Text, primary_key=True),
    Column(
        "account_id", Text, ForeignKey(accounts.c.id), index=True
    ),  # whose money it is; NULL for the operator's own ledger accounts
    Column("balance_nano_usd", Int64, nullable=False),
)
transfers = table(
    "transfers",
    Column("id", Text, primary_key=True),
    Column("debit", Text, ForeignKey("ledger_accounts.id"), nullable=False),
    Column("credit", Text, ForeignKey("ledger_accounts.id"), nullable=False),
    Column("amount_nano_usd", Int64, nullable=False),
    Column("kind", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("created_at_ms", Int64, nullable=False),
    CheckConstraint("amount_nano_usd > 0", name="positive"),
    CheckConstraint("debit <> credit", name="two_sides"),
)
entries = table(
    "entries",
    Column("transfer_id", Text, ForeignKey("transfers.id"), primary_key=True),
    Column("ledger_account", Text, ForeignKey("ledger_accounts.id"), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("amount_nano_usd", Int64, nullable=False),
    # What an account was granted is read often, and it has few grants among very many charges.
    Index(None, "ledger_account", "kind"),
)
keep_append_only(transfers)
keep_append_only(entries)


class TransferConflict(Exception):
    """A transfer with this id exists and says something else."""

    def __init__(self, transfer_id: str) -> None:
        super().__init__(f"transfer {transfer_id} exists with other content")
        self.transfer_id = transfer_id


@frozen
class Transfer:
    """One movement of money between two ledger accounts; two are equal when they say the same, whenever made."""

    id: str
    debit: str
    credit: str
    amount_nano_usd: NanoUsd
    kind: TransferKind
    reference: str
    created_at_ms: int = field(compare=False)

    def __post_init__(self) -> None:
        if not 0 < self.amount_nano_usd <= MAX_NANO_USD:
            raise ValueError(f"transfer {self.id}: the amount is not above zero and within range")
        if self.debit == self.credit:
            raise ValueError(f"transfer {self.id}: both sides are {self.debit}")

    @property
    def sides(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """What it does to the two balances."""
        return (self.debit, -self.amount_nano_usd), (self.credit, self.amount_nano_usd)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountBalance:
    """What is left to an account, trial credit included, and what it has spent on usage since it exists."""

    balance_nano_usd: NanoUsd
    spent_nano_usd: NanoUsd


def balance_of(account_id: str) -> str:
    """The ledger account of a customer's own money."""
    return _BALANCE_PREFIX + account_id


def trial_of(account_id: str) -> str:
    """The ledger account of a customer's trial credit, which is spent first and never paid out."""
    return _TRIAL_PREFIX + account_id


def external_of(provider: str) -> str:
    """The ledger account of what a payment provider took in for us; it is negative by what lies there."""
    return f"external:{provider}"


def fee_of(provider: str) -> str:
    """The ledger account of what a payment provider kept as its fee."""
    return f"fee:{provider}"


async def post(connection: AsyncConnection, transfer: Transfer) -> Posted:
    """Book one transfer, or find that it is booked; raises TransferConflict."""
    return "created" if await post_all(connection, [transfer]) else "exists"


async def post_all(connection: AsyncConnection, batch: Sequence[Transfer]) -> list[Transfer]:
    """Book a batch in as many statements as one transfer takes, and return those that are new.

    Raises TransferConflict before anything of the batch is written.
    """
    known = await _stored(connection, [transfer.id for transfer in batch])
    created = []
    for transfer in batch:
        stored = known.setdefault(transfer.id, transfer)
        if stored is transfer:
            created.append(transfer)
        elif stored != transfer:
            raise TransferConflict(transfer.id)
    if created:
        await _open_ledger_accounts(connection, created)
        await insert_all(connection, transfers, [_transfer_row(transfer) for transfer in created])
        await insert_all(connection, entries, [row for transfer in created for row in _entry_rows(transfer)])
        await _move_balances(connection, created)
    return created


async def credit_account(
    connection: AsyncConnection, *, account_id: str, amount: NanoUsd, reference: str, now_ms: int
) -> str:
    """Give an account money on the operator's word, once per reference, and return the transfer's id.

    Raises TransferConflict when the reference was used for another amount.
    """
    transfer = Transfer(
        id=f"credit:{account_id}:{reference}",
        debit=ADMIN_CREDIT,
        credit=balance_of(account_id),
        amount_nano_usd=amount,
        kind="credit",
        reference=reference,
        created_at_ms=now_ms,
    )
    return await _post_grant(connection, account_id, transfer, "credit")


async def grant_trial(connection: AsyncConnection, *, account_id: str, amount: NanoUsd, now_ms: int) -> str:
    """Give an account its trial credit, once ever, and return the transfer's id; raises TransferConflict."""
    transfer = Transfer(
        id=f"trial:{account_id}",
        debit=TRIAL_PROMOTION,
        credit=trial_of(account_id),
        amount_nano_usd=amount,
        kind="trial",
        reference=account_id,
        created_at_ms=now_ms,
    )
    return await _post_grant(connection, account_id, transfer, "trial")


async def post_with_grants(
    connection: AsyncConnection, batch: Sequence[Transfer], *, account_id: str
) -> list[Transfer]:
    """Book a batch of an account's payments; its Wallet hears of all that moves the account's own money.

    Returns the transfers that are new. Raises TransferConflict before anything of the batch is written.
    """
    created = await post_all(connection, batch)
    own = balance_of(account_id)
    for transfer in created:
        for side, amount in transfer.sides:
            if side == own:
                kind = cast(GrantKind, transfer.kind)
                grant = Grant(id=transfer.id, kind=kind, amount_nano_usd=NanoUsd(amount))
                await projection.enqueue_grant(connection, account_id, grant)
    return created


async def own_money(connection: AsyncConnection, account_id: str) -> NanoUsd:
    """What is left to an account of what it paid in or was credited, without its trial credit."""
    query = select(ledger_accounts.c.balance_nano_usd).where(ledger_accounts.c.id == balance_of(account_id))
    return NanoUsd(int(await connection.scalar(query) or 0))


async def overdrawn(connection: AsyncConnection) -> dict[str, NanoUsd]:
    """The accounts that owe us, and their negative balances, trial credit included."""
    balances = await balances_by_account(connection)
    return {account_id: balance for account_id, balance in balances.items() if balance < 0}


async def balance(connection: AsyncConnection, account_id: str) -> AccountBalance:
    """What an account has and has spent; zeros when nothing was ever posted for it."""
    own = (balance_of(account_id), trial_of(account_id))
    left = await connection.scalar(
        select(func.sum(ledger_accounts.c.balance_nano_usd)).where(ledger_accounts.c.id.in_(own))
    )
    granted = await connection.scalar(
        select(func.sum(entries.c.amount_nano_usd))
        .where(entries.c.ledger_account.in_(own))
        .where(entries.c.kind.in_(GRANT_KINDS))
    )
    left_nano_usd, granted_nano_usd = int(left or 0), int(granted or 0)
    return AccountBalance(
        balance_nano_usd=NanoUsd(left_nano_usd), spent_nano_usd=NanoUsd(granted_nano_usd - left_nano_usd)
    )


async def balances_by_account(connection: AsyncConnection) -> dict[str, NanoUsd]:
    """What is left to every account that ever had money, trial credit included."""
    rows = await connection.execute(
        select(ledger_accounts.c.account_id, func.sum(ledger_accounts.c.balance_nano_usd))
        .where(ledger_accounts.c.account_id.is_not(None))
        .group_by(ledger_accounts.c.account_id)
    )
    return {account_id: NanoUsd(int(total)) for account_id, total in rows}


async def trial_balances(connection: AsyncConnection, account_ids: Iterable[str]) -> dict[str, NanoUsd]:
    """The trial credit left to each of the accounts, locked until the transaction ends where rows can be."""
    rows = await connection.execute(
        select(ledger_accounts.c.account_id, ledger_accounts.c.balance_nano_usd)
        .where(ledger_accounts.c.id.in_([trial_of(account_id) for account_id in account_ids]))
        .order_by(ledger_accounts.c.id)
        .with_for_update()
    )
    return {account_id: NanoUsd(left) for account_id, left in rows}


async def grants_of(connection: AsyncConnection, account_id: str) -> list[Grant]:
    """Every grant ever made to an account, as its Wallet must know them."""
    rows = await connection.execute(
        select(entries.c.transfer_id, entries.c.kind, entries.c.amount_nano_usd)
        .where(entries.c.ledger_account.in_((balance_of(account_id), trial_of(account_id))))
        .where(entries.c.kind.in_(GRANT_KINDS))
        .order_by(entries.c.transfer_id)
    )
    return [Grant(id=id_, kind=kind, amount_nano_usd=NanoUsd(amount)) for id_, kind, amount in rows]


async def _post_grant(connection: AsyncConnection, account_id: str, transfer: Transfer, kind: GrantKind) -> str:
    # The Wallet hears of the money by the same transaction, so neither can happen without the other.
    if await post(connection, transfer) == "created":
        grant = Grant(id=transfer.id, kind=kind, amount_nano_usd=transfer.amount_nano_usd)
        await projection.enqueue_grant(connection, account_id, grant)
    return transfer.id


async def _stored(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, Transfer]:
    rows = await connection.execute(select(transfers).where(transfers.c.id.in_(ids)))
    return {row["id"]: Transfer(**row) for row in rows.mappings()}


async def _open_ledger_accounts(connection: AsyncConnection, batch: Iterable[Transfer]) -> None:
    needed = {side for transfer in batch for side, _ in transfer.sides}
    rows = await connection.execute(select(ledger_accounts.c.id).where(ledger_accounts.c.id.in_(needed)))
    if missing := sorted(needed.difference(rows.scalars())):
        await connection.execute(insert(ledger_accounts), [_ledger_account_row(id_) for id_ in missing])


async def _move_balances(connection: AsyncConnection, batch: Iterable[Transfer]) -> None:
    moves: Counter[str] = Counter()
    for transfer in batch:
        for side, amount in transfer.sides:
            moves[side] += amount
    # Rows are locked in one order everywhere, so that two postings never wait for each other.
    await connection.execute(
        update(ledger_accounts)
        .where(ledger_accounts.c.id == bindparam("side"))
        .values(balance_nano_usd=ledger_accounts.c.balance_nano_usd + bindparam("amount")),
        [{"side": side, "amount": moves[side]} for side in sorted(moves)],
    )


def _transfer_row(transfer: Transfer) -> dict[str, object]:
    return {
        "id": transfer.id,
        "debit": transfer.debit,
        "credit": transfer.credit,
        "amount_nano_usd": transfer.amount_nano_usd,
        "kind": transfer.kind,
        "reference": transfer.reference,
        "created_at_ms": transfer.created_at_ms,
    }


def _entry_rows(transfer: Transfer) -> list[dict[str, object]]:
    return [
        {"transfer_id": transfer.id, "ledger_account": side, "kind": transfer.kind, "amount_nano_usd": amount}
        for side, amount in transfer.sides
    ]


def _ledger_account_row(ledger_account: str) -> dict[str, object]:
    owner = None
    for prefix in (_BALANCE_PREFIX, _TRIAL_PREFIX):
        if ledger_account.startswith(prefix):
            owner = ledger_account.removeprefix(prefix)
    return {"id": ledger_account, "account_id": owner, "balance_nano_usd": 0}
