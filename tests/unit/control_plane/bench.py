"""What the projector's tests share: a projector with a store of its own, against stand-ins that keep state."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import insert

from control_plane import outbox, projection
from control_plane.cloudflare import CloudflareKV
from control_plane.edge import EdgeClient
from control_plane.metrics import Metrics
from control_plane.outbox import OutboxRow
from control_plane.paging import PageRequest
from control_plane.projector import (
    Backoff,
    Projector,
)
from control_plane.store import Store
from gateway.money import NanoUsd
from gateway.records import Grant, KeyLimits, KeyRecord
from tests.contract.control_plane.stand_ins import (
    API_TOKEN,
    INTERNAL_SECRET,
    Clock,
    FakeCloudflare,
    FakeEdge,
)
from tests.databases import database_url, put_schema

ALICE, BOB = "acct_alice", "acct_bob"
WAIT_S = 30.0  # Far more than a delivery to a stand-in takes: a test ends when it is done.
FIRST_BACKOFF_MS, MOST_BACKOFF_MS = 100, 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A projector with its store and its surroundings."""

    store: Store
    cloudflare: FakeCloudflare
    edge: FakeEdge
    clock: Clock
    projector: Projector
    kv: CloudflareKV
    wallets: EdgeClient

    async def enqueue_key(self, name: str, version: int) -> int:
        async with self.store.begin() as connection:
            return await projection.enqueue_key(connection, name, record(version))

    async def enqueue_keys(self, names: int, *, versions: int = 1, payload: str = "{}") -> None:
        """Many at once, each in so many versions."""
        row = {"target": "kv", "kind": "record", "payload": payload}
        rows = [
            row | {"subject": f"key:{name}", "version": version}
            for version in range(1, versions + 1)
            for name in range(names)
        ]
        async with self.store.begin() as connection:
            await connection.execute(insert(outbox.outbox), rows)

    async def enqueue_grant(self, account_id: str, grant_id: str, amount: int = 1) -> int:
        async with self.store.begin() as connection:
            return await projection.enqueue_grant(connection, account_id, grant(grant_id, amount))

    async def enqueue_revocation(self, account_id: str, key_id: str) -> int:
        async with self.store.begin() as connection:
            return await projection.enqueue_revocation(connection, account_id, key_id)

    async def rows(self) -> list[OutboxRow]:
        """Every row, oldest first."""
        async with self.store.read() as connection:
            return list(reversed((await outbox.page(connection, PageRequest(limit=200))).items))

    async def states(self) -> list[str]:
        return [row.state for row in await self.rows()]

    @asynccontextmanager
    async def projecting(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.projector.run())
        try:
            yield
        finally:
            self.projector.stop()
            await task


class BrokenOnce:
    """A KV namespace that breaks in an unexpected way at the first write."""

    def __init__(self) -> None:
        self.broke = asyncio.Event()
        self.written: list[str] = []

    async def bulk_write(self, pairs: Mapping[str, str]) -> frozenset[str]:
        if not self.broke.is_set():
            self.broke.set()
            raise RuntimeError("nobody expected this")
        self.written += pairs
        return frozenset()


@asynccontextmanager
async def open_bench(file: Path, *, kv_interval_ms: int = 0) -> AsyncIterator[Bench]:
    clock, cloudflare = Clock(), FakeCloudflare()
    edge = FakeEdge(clock=clock)
    put_schema(file)
    store = Store.open(database_url(str(file)) or f"sqlite:///{file}")
    await store.migrate()
    kv = CloudflareKV(
        base_url="https://cloudflare.test/client/v4",
        account_id="account",
        namespace_id="namespace",
        api_token=SecretStr(API_TOKEN),
        transport=cloudflare.transport,
    )
    wallets = EdgeClient(
        edge_url="http://edge.test",
        internal_secret=SecretStr(INTERNAL_SECRET),
        now_ms=clock,
        transport=edge.transport,
    )
    projector = Projector(
        store=store,
        kv=kv,
        wallets=wallets,
        metrics=Metrics(),
        now_ms=clock,
        kv_interval_ms=kv_interval_ms,
        backoff=Backoff(first_ms=FIRST_BACKOFF_MS, most_ms=MOST_BACKOFF_MS, jitter=lambda: 1.0),
    )
    yield Bench(store=store, cloudflare=cloudflare, edge=edge, clock=clock, projector=projector, kv=kv, wallets=wallets)
    await kv.close()
    await wallets.close()
    await store.close()


def record(version: int) -> KeyRecord:
    return KeyRecord(
        account_id=ALICE,
        key_id="key_1",
        state="active",
        expires_at_ms=None,
        models=None,
        limits=KeyLimits(),
        version=version,
    )


def grant(grant_id: str, amount: int = 1) -> Grant:
    return Grant(id=grant_id, kind="credit", amount_nano_usd=NanoUsd(amount))
