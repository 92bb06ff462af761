"""Accounts: who owns keys and a Wallet. Nothing is deleted; an account that must not spend is suspended."""

from dataclasses import dataclass
from typing import Any, Literal, cast

from sqlalchemy import CheckConstraint, Column, Row, Text, UniqueConstraint, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane.paging import Cursor, Page, PageRequest, page_of, select_page
from control_plane.store import Int64, table

AccountState = Literal["active", "suspended"]

accounts = table(
    "accounts",
    Column("id", Text, primary_key=True),
    Column("email", Text, nullable=False),
    Column("name", Text),
    Column("state", Text, nullable=False),
    Column("created_at_ms", Int64, nullable=False, index=True),
    UniqueConstraint("email"),
    CheckConstraint("state IN ('active', 'suspended')", name="state"),
)


class AccountNotFound(Exception):
    """No account has this id."""


class AccountSuspended(Exception):
    """The account must not get what was asked for while it is suspended."""


class EmailTaken(Exception):
    """Another account has this e-mail address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account; the e-mail address is lower case and belongs to no other account."""

    id: str
    email: str
    name: str | None
    state: AccountState
    created_at_ms: int


async def create(connection: AsyncConnection, *, account_id: str, email: str, name: str | None, now_ms: int) -> Account:
    """A new active account. Raises EmailTaken."""
    account = Account(id=account_id, email=email.lower(), name=name, state="active", created_at_ms=now_ms)
    row = {"id": account.id, "email": account.email, "name": name, "state": "active", "created_at_ms": now_ms}
    try:
        await connection.execute(insert(accounts).values(row))
    except IntegrityError as error:
        # Both databases name the column or its constraint.
        if "email" in str(error.orig):
            raise EmailTaken from error
        raise
    return account


async def get(connection: AsyncConnection, account_id: str) -> Account:
    """Raises AccountNotFound."""
    row = (await connection.execute(select(accounts).where(accounts.c.id == account_id))).one_or_none()
    if row is None:
        raise AccountNotFound
    return _account(row)


async def page(connection: AsyncConnection, request: PageRequest) -> Page[Account]:
    """Accounts, newest first."""
    query = select_page(select(accounts), request, created_at_ms=accounts.c.created_at_ms, row_id=accounts.c.id)
    found = [_account(row) for row in await connection.execute(query)]
    cursors = [Cursor(created_at_ms=account.created_at_ms, id=account.id) for account in found]
    return page_of(found, request, cursors=cursors)


async def rename(connection: AsyncConnection, account_id: str, name: str | None) -> None:
    await connection.execute(update(accounts).where(accounts.c.id == account_id).values(name=name))


async def set_state(connection: AsyncConnection, account_id: str, state: AccountState) -> None:
    """Only the account's own row; its keys are projected anew by ``keys.project_account``."""
    await connection.execute(update(accounts).where(accounts.c.id == account_id).values(state=state))


def _account(row: Row[Any]) -> Account:
    return Account(
        id=row.id,
        email=row.email,
        name=row.name,
        state=cast(AccountState, row.state),
        created_at_ms=row.created_at_ms,
    )
