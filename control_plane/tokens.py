"""Bearer tokens of people: admin tokens for the operator, account tokens for one customer's own account.

Only the SHA-256 of a token is stored. The operator's first token comes from the environment.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from sqlalchemy import CheckConstraint, Column, ForeignKey, Row, Text, UniqueConstraint, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane.paging import Cursor, Page, PageRequest, page_of, select_page
from control_plane.store import Int64, table

TokenKind = Literal["admin", "account"]

ACCOUNT_TOKEN_PREFIX = "hta_"  # noqa: S105 # it marks a token and is not one
BOOTSTRAP_ID = "tok_bootstrap"

access_tokens = table(
    "access_tokens",
    Column("id", Text, primary_key=True),
    Column("sha256", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("account_id", Text, ForeignKey("accounts.id"), index=True),
    Column("name", Text, nullable=False),
    Column("created_at_ms", Int64, nullable=False),
    Column("revoked_at_ms", Int64),
    UniqueConstraint("sha256"),
    CheckConstraint("(kind = 'admin') = (account_id IS NULL) AND kind IN ('admin', 'account')", name="kind"),
)


class TokenRefused(Exception):
    """The token is unknown, revoked or of the wrong kind; which, is not said."""


class TokenNotFound(Exception):
    """No token has this id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One token as it is kept; ``account_id`` is None for admin tokens."""

    id: str
    kind: TokenKind
    account_id: str | None
    name: str
    created_at_ms: int
    revoked_at_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownToken:
    """A new token with its text, which exists here and with the customer only."""

    token: Token
    text: str = field(repr=False)


async def bootstrap_admin(connection: AsyncConnection, text: str, *, now_ms: int) -> None:
    """Let ``text`` be the operator's token from the environment; an earlier one stops working."""
    await connection.execute(delete(access_tokens).where(access_tokens.c.id == BOOTSTRAP_ID))
    row = {"id": BOOTSTRAP_ID, "sha256": _digest(text), "kind": "admin", "name": "ADMIN_TOKEN", "created_at_ms": now_ms}
    await connection.execute(insert(access_tokens).values(row))


async def issue_account_token(
    connection: AsyncConnection, *, account_id: str, name: str, token_id: str, randomness: bytes, now_ms: int
) -> ShownToken:
    """A token for one account, from 32 random bytes."""
    text = ACCOUNT_TOKEN_PREFIX + base64.urlsafe_b64encode(randomness).decode().rstrip("=")
    token = Token(
        id=token_id, kind="account", account_id=account_id, name=name, created_at_ms=now_ms, revoked_at_ms=None
    )
    row = {"id": token_id, "sha256": _digest(text), "kind": "account", "account_id": account_id, "name": name}
    await connection.execute(insert(access_tokens).values(**row, created_at_ms=now_ms))
    return ShownToken(token=token, text=text)


async def authenticate(connection: AsyncConnection, text: str, kind: TokenKind) -> Token:
    """The token with this text, if it is in force and of this kind. Raises TokenRefused."""
    digest = _digest(text)
    row = (await connection.execute(select(access_tokens).where(access_tokens.c.sha256 == digest))).one_or_none()
    if row is None or not hmac.compare_digest(row.sha256, digest):
        raise TokenRefused
    token = _token(row)
    if token.kind != kind or token.revoked_at_ms is not None:
        raise TokenRefused
    return token


async def page(connection: AsyncConnection, account_id: str, request: PageRequest) -> Page[Token]:
    """The tokens of one account, newest first."""
    query = select(access_tokens).where(access_tokens.c.account_id == account_id)
    query = select_page(query, request, created_at_ms=access_tokens.c.created_at_ms, row_id=access_tokens.c.id)
    found = [_token(row) for row in await connection.execute(query)]
    cursors = [Cursor(created_at_ms=token.created_at_ms, id=token.id) for token in found]
    return page_of(found, request, cursors=cursors)


async def revoke_account_token(connection: AsyncConnection, token_id: str, *, now_ms: int) -> None:
    """Final; revoking twice changes nothing. Raises TokenNotFound, also for admin tokens."""
    ours = (access_tokens.c.id == token_id) & (access_tokens.c.kind == "account")
    if (await connection.execute(select(access_tokens.c.id).where(ours))).one_or_none() is None:
        raise TokenNotFound
    in_force = ours & access_tokens.c.revoked_at_ms.is_(None)
    await connection.execute(update(access_tokens).where(in_force).values(revoked_at_ms=now_ms))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _token(row: Row[Any]) -> Token:
    return Token(
        id=row.id,
        kind=cast(TokenKind, row.kind),
        account_id=row.account_id,
        name=row.name,
        created_at_ms=row.created_at_ms,
        revoked_at_ms=row.revoked_at_ms,
    )
