"""API keys: made, rotated and revoked here, obeyed at the edge.

Only the SHA-256 of a secret is kept, and its first characters so that people can tell their keys apart. Every change
counts the key's version up and enqueues what the edge must know, in the caller's transaction. A rotated key keeps its
id, limits and history; the secret that it had is retired, and its hash stays known so that it stays refused.
"""

import json
from dataclasses import dataclass, field, replace
from typing import Any, cast

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
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

from control_plane import projection
from control_plane.accounts import Account, AccountState, AccountSuspended
from control_plane.paging import Cursor, Page, PageRequest, page_of, select_page
from control_plane.store import Int64, table
from gateway.credentials import SHOWN_CHARS, hash_api_key, make_api_key
from gateway.money import NanoUsd
from gateway.records import KeyLimits, KeyRecord, KeyState, SpendCapPeriod

ACTIVE_KEYS_MAX = 100

api_keys = table(
    "api_keys",
    Column("id", Text, primary_key=True),
    Column("account_id", Text, ForeignKey("accounts.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("models", Text),  # a JSON list; NULL for every model
    Column("requests_per_minute", Int64),
    Column("tokens_per_minute", Int64),
    Column("concurrent_requests", Int64),
    Column("spend_cap_nano_usd", Int64),
    Column("spend_cap_period", Text, nullable=False),
    Column("expires_at_ms", Int64),
    Column("version", Integer, nullable=False),
    Column("created_at_ms", Int64, nullable=False),
    Column("rotated_at_ms", Int64),
    Column("revoked_at_ms", Int64),
    UniqueConstraint("sha256"),
    CheckConstraint("state IN ('active', 'revoked')", name="state"),
    CheckConstraint("spend_cap_period IN ('day', 'month', 'total')", name="spend_cap_period"),
)
retired_secrets = table(
    "retired_secrets",
    Column("sha256", Text, primary_key=True),
    Column("key_id", Text, ForeignKey("api_keys.id"), nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("retired_at_ms", Int64, nullable=False),
)


class KeyNotFound(Exception):
    """No key has this id, or it is another account's."""


class KeyIsRevoked(Exception):
    """A revoked key stays revoked and cannot be rotated."""


class TooManyKeys(Exception):
    """The account has as many active keys as one account may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One API key without its secret. ``models`` None is every model."""

    id: str
    account_id: str
    name: str
    prefix: str
    sha256: str
    state: KeyState
    models: tuple[str, ...] | None
    limits: KeyLimits
    expires_at_ms: int | None
    version: int
    created_at_ms: int
    rotated_at_ms: int | None = None
    revoked_at_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTerms:
    """What a new key may do."""

    name: str
    models: tuple[str, ...] | None = None
    limits: KeyLimits = field(default_factory=KeyLimits)
    expires_at_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownKey:
    """A key with its secret, which exists here and with the customer only."""

    key: Key
    secret: str = field(repr=False)


async def create(
    connection: AsyncConnection, account: Account, terms: KeyTerms, *, key_id: str, randomness: bytes, now_ms: int
) -> ShownKey:
    """A new active key from 32 random bytes. Raises AccountSuspended, TooManyKeys."""
    if account.state != "active":
        raise AccountSuspended
    if await _count_active(connection, account.id) >= ACTIVE_KEYS_MAX:
        raise TooManyKeys
    secret = make_api_key(randomness)
    key = Key(
        id=key_id,
        account_id=account.id,
        name=terms.name,
        prefix=secret[:SHOWN_CHARS],
        sha256=hash_api_key(secret),
        state="active",
        models=terms.models,
        limits=terms.limits,
        expires_at_ms=terms.expires_at_ms,
        version=1,
        created_at_ms=now_ms,
    )
    await connection.execute(insert(api_keys).values(_row(key)))
    await _project(connection, key, account.state)
    return ShownKey(key=key, secret=secret)


async def rotate(
    connection: AsyncConnection, account: Account, key_id: str, *, randomness: bytes, now_ms: int
) -> ShownKey:
    """A new secret for the key; the one that it had is refused from now on. Raises KeyNotFound, KeyIsRevoked."""
    old = await _lock(connection, account.id, key_id)
    if old.state == "revoked":
        raise KeyIsRevoked
    if account.state != "active":
        raise AccountSuspended
    secret = make_api_key(randomness)
    key = replace(
        old,
        prefix=secret[:SHOWN_CHARS],
        sha256=hash_api_key(secret),
        version=old.version + 1,
        rotated_at_ms=now_ms,
    )
    await _save(connection, key)
    retired = {"sha256": old.sha256, "key_id": key.id, "version": key.version, "retired_at_ms": now_ms}
    await connection.execute(insert(retired_secrets).values(retired))
    await projection.enqueue_key(connection, old.sha256, retired_record(key, key.version))
    await _project(connection, key, account.state)
    return ShownKey(key=key, secret=secret)


async def revoke(connection: AsyncConnection, account: Account, key_id: str, *, now_ms: int) -> Key:
    """Refused from now on, for good, by KV and by the Wallet; revoking twice changes nothing. Raises KeyNotFound."""
    key = await _lock(connection, account.id, key_id)
    if key.state == "revoked":
        return key
    key = replace(key, state="revoked", version=key.version + 1, revoked_at_ms=now_ms)
    await _save(connection, key)
    await _project(connection, key, account.state)
    await projection.enqueue_revocation(connection, key.account_id, key.id)
    return key


async def project_account(connection: AsyncConnection, account: Account) -> list[Key]:
    """Project every active key of an account whose state has just changed, and return them."""
    query = select(api_keys).where(api_keys.c.account_id == account.id, api_keys.c.state == "active").with_for_update()
    projected = [replace(key_of(row), version=row.version + 1) for row in (await connection.execute(query)).all()]
    for key in projected:
        await _save(connection, key)
        await _project(connection, key, account.state)
    return projected


async def get(connection: AsyncConnection, key_id: str) -> Key:
    """Raises KeyNotFound."""
    row = (await connection.execute(select(api_keys).where(api_keys.c.id == key_id))).one_or_none()
    if row is None:
        raise KeyNotFound
    return key_of(row)


async def page(connection: AsyncConnection, account_id: str, request: PageRequest) -> Page[Key]:
    """The keys of one account, newest first, revoked ones included."""
    query = select(api_keys).where(api_keys.c.account_id == account_id)
    query = select_page(query, request, created_at_ms=api_keys.c.created_at_ms, row_id=api_keys.c.id)
    found = [key_of(row) for row in await connection.execute(query)]
    cursors = [Cursor(created_at_ms=key.created_at_ms, id=key.id) for key in found]
    return page_of(found, request, cursors=cursors)


def record_of(key: Key, account_state: AccountState) -> KeyRecord:
    """What the edge must know: a key of a suspended account is as good as revoked, until the account is resumed."""
    return KeyRecord(
        account_id=key.account_id,
        key_id=key.id,
        state="active" if (key.state, account_state) == ("active", "active") else "revoked",
        expires_at_ms=key.expires_at_ms,
        models=key.models,
        limits=key.limits,
        version=key.version,
    )


def retired_record(key: Key, version: int) -> KeyRecord:
    """What the edge must know of a secret that the key no longer has; ``version`` is that of its retirement."""
    return KeyRecord(
        account_id=key.account_id,
        key_id=key.id,
        state="revoked",
        expires_at_ms=key.expires_at_ms,
        models=key.models,
        limits=key.limits,
        version=version,
    )


def key_of(row: Row[Any]) -> Key:
    """A row of ``api_keys`` as a value."""
    return Key(
        id=row.id,
        account_id=row.account_id,
        name=row.name,
        prefix=row.prefix,
        sha256=row.sha256,
        state=cast(KeyState, row.state),
        models=None if row.models is None else tuple(json.loads(row.models)),
        limits=KeyLimits(
            requests_per_minute=row.requests_per_minute,
            tokens_per_minute=row.tokens_per_minute,
            concurrent_requests=row.concurrent_requests,
            spend_cap_nano_usd=None if row.spend_cap_nano_usd is None else NanoUsd(row.spend_cap_nano_usd),
            spend_cap_period=cast(SpendCapPeriod, row.spend_cap_period),
        ),
        expires_at_ms=row.expires_at_ms,
        version=row.version,
        created_at_ms=row.created_at_ms,
        rotated_at_ms=row.rotated_at_ms,
        revoked_at_ms=row.revoked_at_ms,
    )


async def _project(connection: AsyncConnection, key: Key, account_state: AccountState) -> None:
    await projection.enqueue_key(connection, key.sha256, record_of(key, account_state))


async def _lock(connection: AsyncConnection, account_id: str, key_id: str) -> Key:
    query = select(api_keys).where(api_keys.c.id == key_id, api_keys.c.account_id == account_id).with_for_update()
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise KeyNotFound
    return key_of(row)


async def _count_active(connection: AsyncConnection, account_id: str) -> int:
    query = select(func.count()).where(api_keys.c.account_id == account_id, api_keys.c.state == "active")
    return (await connection.execute(query)).scalar_one()


async def _save(connection: AsyncConnection, key: Key) -> None:
    await connection.execute(update(api_keys).where(api_keys.c.id == key.id).values(_row(key)))


def _row(key: Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "account_id": key.account_id,
        "name": key.name,
        "prefix": key.prefix,
        "sha256": key.sha256,
        "state": key.state,
        "models": None if key.models is None else json.dumps(key.models),
        "requests_per_minute": key.limits.requests_per_minute,
        "tokens_per_minute": key.limits.tokens_per_minute,
        "concurrent_requests": key.limits.concurrent_requests,
        "spend_cap_nano_usd": key.limits.spend_cap_nano_usd,
        "spend_cap_period": key.limits.spend_cap_period,
        "expires_at_ms": key.expires_at_ms,
        "version": key.version,
        "created_at_ms": key.created_at_ms,
        "rotated_at_ms": key.rotated_at_ms,
        "revoked_at_ms": key.revoked_at_ms,
    }
