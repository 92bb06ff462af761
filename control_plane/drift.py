"""What the edge should know by the database, said again (resync) or compared with what it does know (drift)."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, TypeVar, cast

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane import catalogue, keys, ledger, projection
from control_plane.accounts import AccountState, accounts
from control_plane.catalogue import LoadedCatalogue
from control_plane.cloudflare import BULK_DELETE_MAX_KEYS, BULK_GET_MAX_KEYS
from control_plane.edge import EdgeError
from control_plane.keys import api_keys, retired_secrets
from control_plane.store import Store
from gateway import records
from gateway.money import NanoUsd
from gateway.records import API_KEY_KV_PREFIX, CATALOGUE_KV_KEY, Catalogue, KeyRecord, WalletState, key_kv_name

WALLETS_IN_FLIGHT = 16

T = TypeVar("T")


class KeyValueReader(Protocol):
    """The namespace as it stands; raises CloudflareError."""

    def list_keys(self, prefix: str = ..., /) -> AsyncIterator[str]: ...

    async def bulk_get(self, keys: Sequence[str], /) -> dict[str, str]: ...

    async def bulk_delete(self, keys: Sequence[str], /) -> frozenset[str]: ...


class WalletReader(Protocol):
    """The Wallets as they stand; raises EdgeError."""

    async def wallet_state(self, account_id: str, /) -> WalletState: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Resync:
    """How much was enqueued again."""

    keys: int
    grants: int
    revocations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Different:
    """A KV record that says something else than the database; the version is None where it cannot be read."""

    name: str
    expected_version: int
    found_version: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletDrift:
    """A Wallet whose grants are not the ledger's; ``wallet_nano_usd`` is None where it did not answer."""

    account_id: str
    ledger_nano_usd: NanoUsd
    wallet_nano_usd: NanoUsd | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Every difference: KV names that are absent, unknown here, or say something else; and Wallets."""

    missing: tuple[str, ...]
    extra: tuple[str, ...]
    different: tuple[Different, ...]
    wallets: tuple[WalletDrift, ...]

    @property
    def in_sync(self) -> bool:
        return not (self.missing or self.extra or self.different or self.wallets)


async def resync(connection: AsyncConnection, loaded: LoadedCatalogue) -> Resync:
    """Enqueue the catalogue, every key, every grant and every revocation again: all of them can be repeated."""
    await projection.enqueue_catalogue(connection, await catalogue.published(connection, loaded))
    expected = await _expected_keys(connection)
    for sha256, record in expected.items():
        await projection.enqueue_key(connection, sha256, record)
    grants = 0
    for account_id in await ledger.balances_by_account(connection):
        for grant in await ledger.grants_of(connection, account_id):
            await projection.enqueue_grant(connection, account_id, grant)
            grants += 1
    revoked = select(api_keys.c.account_id, api_keys.c.id).where(api_keys.c.state == "revoked")
    revocations = (await connection.execute(revoked)).all()
    for account_id, key_id in revocations:
        await projection.enqueue_revocation(connection, account_id, key_id)
    return Resync(keys=len(expected), grants=grants, revocations=len(revocations))


async def find_drift(store: Store, kv: KeyValueReader, wallets: WalletReader, loaded: LoadedCatalogue) -> Drift:
    """Read everything back and compare. What is on its way shows as well, until it has arrived."""
    # The edge is read first, because what it has by then the database must know.
    found = await _read_kv(kv)
    async with store.read() as connection:
        expected: dict[str, KeyRecord | Catalogue] = {CATALOGUE_KV_KEY: await catalogue.published(connection, loaded)}
        expected |= {key_kv_name(sha256): record for sha256, record in (await _expected_keys(connection)).items()}
        granted = await _granted(connection)
    return Drift(
        missing=tuple(sorted(expected.keys() - found.keys())),
        extra=tuple(sorted(found.keys() - expected.keys())),
        different=tuple(_different(expected, found)),
        wallets=await _wallet_drift(wallets, granted),
    )


async def remove_extra(store: Store, kv: KeyValueReader) -> list[str]:
    """Delete the key records in KV that the database does not know. Returns the names that were deleted."""
    names = [name async for name in kv.list_keys(API_KEY_KV_PREFIX)]
    async with store.read() as connection:
        known = {key_kv_name(sha256) for sha256 in await _expected_keys(connection)}
    extra = [name for name in names if name not in known]
    failed: set[str] = set()
    for batch in _batches(extra, BULK_DELETE_MAX_KEYS):
        failed |= await kv.bulk_delete(batch)
    return [name for name in extra if name not in failed]


async def wallet_states(wallets: WalletReader, account_ids: Iterable[str]) -> list[WalletState | EdgeError]:
    """The states of these accounts' Wallets in the same order, or why one is not known."""
    slots = asyncio.Semaphore(WALLETS_IN_FLIGHT)

    async def ask(account_id: str) -> WalletState | EdgeError:
        async with slots:
            try:
                return await wallets.wallet_state(account_id)
            except EdgeError as error:
                return error

    return await asyncio.gather(*(ask(account_id) for account_id in account_ids))


async def _expected_keys(connection: AsyncConnection) -> dict[str, KeyRecord]:
    """What must stand in KV for every secret that was ever given out, by its hash."""
    query = select(api_keys, accounts.c.state.label("account_state")).join(accounts)
    records_by_hash: dict[str, KeyRecord] = {}
    by_id: dict[str, keys.Key] = {}
    for row in await connection.execute(query):
        key = by_id[row.id] = keys.key_of(row)
        records_by_hash[key.sha256] = keys.record_of(key, cast(AccountState, row.account_state))
    for row in await connection.execute(select(retired_secrets)):
        records_by_hash[row.sha256] = keys.retired_record(by_id[row.key_id], row.version)
    return records_by_hash


async def _granted(connection: AsyncConnection) -> dict[str, NanoUsd]:
    """What every account that ever had money was granted in all."""
    granted = {}
    for account_id in await ledger.balances_by_account(connection):
        balance = await ledger.balance(connection, account_id)
        granted[account_id] = NanoUsd(balance.balance_nano_usd + balance.spent_nano_usd)
    return granted


async def _read_kv(kv: KeyValueReader) -> dict[str, str]:
    names = [CATALOGUE_KV_KEY] + [name async for name in kv.list_keys(API_KEY_KV_PREFIX)]
    found: dict[str, str] = {}
    for batch in _batches(names, BULK_GET_MAX_KEYS):
        found |= await kv.bulk_get(batch)
    return found


def _different(expected: Mapping[str, KeyRecord | Catalogue], found: Mapping[str, str]) -> Iterable[Different]:
    for name in sorted(expected.keys() & found.keys()):
        record, content = expected[name], _json(found[name])
        if content != json.loads(records.encode(record.to_json())):
            version = content.get("version") if isinstance(content, dict) else None
            yield Different(
                name=name,
                expected_version=record.version,
                found_version=version if isinstance(version, int) else None,
            )


async def _wallet_drift(wallets: WalletReader, granted: Mapping[str, NanoUsd]) -> tuple[WalletDrift, ...]:
    drift = []
    states = await wallet_states(wallets, granted)
    for (account_id, amount), state in zip(granted.items(), states, strict=True):
        wallet = state.granted_nano_usd if isinstance(state, WalletState) else None
        if wallet != amount:
            drift.append(WalletDrift(account_id=account_id, ledger_nano_usd=amount, wallet_nano_usd=wallet))
    return tuple(drift)


def _json(text: str) -> object:
    try:
        return cast(object, json.loads(text))
    except ValueError:
        return None


def _batches(items: Sequence[T], size: int) -> Iterable[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
