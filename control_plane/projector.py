"""The projector: delivers the outbox to the edge, as often as it takes.

KV records leave in bulk calls, one a second at most, and of each name only the newest version. Grants and revocations
leave account by account, each account's in order, so that an account whose Wallet fails holds up no other. Nothing is
kept in memory that the outbox does not hold: a restart in the middle repeats a delivery and loses none.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import structlog

from control_plane import outbox
from control_plane.clock import NowMs, wall_clock_ms
from control_plane.cloudflare import BULK_WRITE_MAX_PAIRS, CloudflareError, CloudflareUnavailable
from control_plane.edge import EdgeConflict, EdgeError
from control_plane.metrics import Metrics
from control_plane.outbox import Kind, OutboxRow, OutboxState
from control_plane.store import Store
from gateway.fields import Fields
from gateway.records import Grant

KV_BATCH_NAMES = BULK_WRITE_MAX_PAIRS
KV_BATCH_BYTES = 50_000_000
"""Half of what Cloudflare takes in one call, because the values are quoted once more in its body."""
WALLET_BATCH_ROWS = 100
WALLETS_IN_FLIGHT = 16
HEADS_LIMIT = 1_000
POLL_MS = 5_000
DELIVERY_WAIT_S = 2.0
FINISHED_KEPT_FOR_MS = 7 * 24 * 60 * 60 * 1000
PRUNE_INTERVAL_MS = 60 * 60 * 1000

log = structlog.get_logger()


class KeyValueStore(Protocol):
    """Where KV records go; raises CloudflareError."""

    async def bulk_write(self, pairs: Mapping[str, str], /) -> frozenset[str]: ...


class Wallets(Protocol):
    """Where grants and revocations go; raises EdgeError."""

    async def apply_grants(self, account_id: str, grants: Sequence[Grant], /) -> None: ...

    async def revoke_keys(self, account_id: str, key_ids: Sequence[str], /) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How long to wait after a failed attempt: twice as long each time, up to a limit, with jitter."""

    first_ms: int = 250
    most_ms: int = 60_000
    jitter: Callable[[], float] = random.random

    def delay_ms(self, attempts: int) -> int:
        """The wait after this many failures, at least half of it certain."""
        whole = min(self.most_ms, self.first_ms * 2 ** min(attempts - 1, 20))
        return int(whole * (0.5 + self.jitter() / 2))


class Projector:
    """Runs beside the API. ``deliver_kv`` and ``deliver_wallet`` are single steps, ``run`` is all of them forever."""

    def __init__(
        self,
        *,
        store: Store,
        kv: KeyValueStore,
        wallets: Wallets,
        metrics: Metrics,
        now_ms: NowMs = wall_clock_ms,
        kv_interval_ms: int = 1_000,
        backoff: Backoff | None = None,
    ) -> None:
        self._store = store
        self._kv = kv
        self._wallets = wallets
        self._metrics = metrics
        self._now_ms = now_ms
        self._kv_interval_ms = kv_interval_ms
        self._backoff = backoff or Backoff()
        self._kv_failures = 0
        self._kv_closed_until_ms = 0
        self._in_flight: set[str] = set()
        self._kv_woken, self._wallets_woken = asyncio.Event(), asyncio.Event()
        self._progress, self._stopped = asyncio.Event(), asyncio.Event()

    def wake(self) -> None:
        """Something was committed to the outbox."""
        self._kv_woken.set()
        self._wallets_woken.set()

    async def delivered(self, row_ids: Iterable[int], *, timeout_s: float = DELIVERY_WAIT_S) -> bool:
        """Wait until the rows are delivered, or for ``timeout_s``: they stay in the outbox either way."""
        seqs = list(row_ids)
        self.wake()
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            # Taken before the look, so that progress made after it is not missed.
            progress = self._progress
            async with self._store.read() as connection:
                states = await outbox.states(connection, seqs)
            if "pending" not in states:
                return "refused" not in states
            try:
                async with asyncio.timeout_at(deadline):
                    await progress.wait()
            except TimeoutError:
                return False

    async def run(self) -> None:
        """Deliver until ``stop``; then what is under way is brought to its end."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._forever(self.deliver_kv, self._kv_woken))
            group.create_task(self._forever(lambda: self._start_wallets(group), self._wallets_woken))
            group.create_task(self._forever(self.prune, self._stopped))

    def stop(self) -> None:
        """Begin nothing new."""
        self._stopped.set()
        self.wake()

    async def deliver_kv(self) -> int:
        """Make one bulk call for what is due. Returns when to look again, in milliseconds since 1970."""
        now_ms = self._now_ms()
        if now_ms < self._kv_closed_until_ms:
            return self._kv_closed_until_ms
        if due := await self._due_kv(now_ms):
            try:
                failed = await self._kv.bulk_write({name: rows[-1].payload for name, rows in due.items()})
            except CloudflareError as error:
                await self._kv_call_failed(due, error)
            else:
                await self._kv_call_done(due, failed)
        async with self._store.read() as connection:
            next_ms = await outbox.next_due_kv(connection)
        return self._now_ms() + POLL_MS if next_ms is None else max(next_ms, self._kv_closed_until_ms)

    async def deliver_wallet(self, account_id: str) -> None:
        """Deliver one account's grants and revocations in order, until none is left or one fails."""
        while not self._stopped.is_set():
            async with self._store.read() as connection:
                rows = await outbox.wallet_rows(connection, account_id, limit=WALLET_BATCH_ROWS)
            if not rows or rows[0].next_attempt_at_ms > self._now_ms():
                return
            kind, batch = next(groupby(rows, key=lambda row: row.kind))
            if not await self._deliver_batch(account_id, kind, list(batch)):
                return

    async def prune(self) -> int:
        """Forget what was finished long ago. Returns when to do so again."""
        now_ms = self._now_ms()
        async with self._store.begin() as connection:
            await outbox.prune(connection, finished_before_ms=now_ms - FINISHED_KEPT_FOR_MS)
        return now_ms + PRUNE_INTERVAL_MS

    async def _forever(self, step: Callable[[], Awaitable[int]], woken: asyncio.Event) -> None:
        while not self._stopped.is_set():
            woken.clear()
            try:
                until_ms = await step()
            except Exception:
                # A database that is away for a moment must not end all delivery.
                log.exception("projection_step_failed")
                until_ms = self._now_ms() + POLL_MS
            if not self._stopped.is_set():
                await _wait(woken, (until_ms - self._now_ms()) / 1000)

    async def _due_kv(self, now_ms: int) -> dict[str, list[OutboxRow]]:
        """The rows to write, by KV name, the newest of each name last."""
        async with self._store.read() as connection:
            rows = await outbox.due_kv(connection, now_ms=now_ms, limit=KV_BATCH_NAMES)
            written = await outbox.delivered_versions(connection, {row.subject for row in rows})
        by_name: dict[str, list[OutboxRow]] = {}
        for row in sorted(rows, key=lambda row: (row.version, row.seq)):
            by_name.setdefault(row.subject, []).append(row)
        overtaken = {name for name, rows in by_name.items() if written.get(name, 0) > rows[-1].version}
        if overtaken:
            # A row that a newer one has overtaken must not undo what that one wrote.
            await self._finish_kv({name: written[name] for name in overtaken})
        return _of_one_call({name: rows for name, rows in by_name.items() if name not in overtaken})

    async def _kv_call_done(self, due: Mapping[str, Sequence[OutboxRow]], failed: frozenset[str]) -> None:
        self._kv_failures = 0
        self._kv_closed_until_ms = self._now_ms() + self._kv_interval_ms
        self._metrics.deliveries.labels("kv", "partial" if failed else "delivered").inc()
        await self._finish_kv({name: rows[-1].version for name, rows in due.items() if name not in failed})
        for name in failed & due.keys():
            delay_ms = self._backoff.delay_ms(due[name][-1].attempts + 1)
            log.warning("kv_name_not_written", subject=name, retry_in_ms=delay_ms)
            await self._postpone(due[name], delay_ms=delay_ms, reason="Cloudflare did not write this name")

    async def _kv_call_failed(self, due: Mapping[str, Sequence[OutboxRow]], error: CloudflareError) -> None:
        self._kv_failures += 1
        delay_ms = max(self._kv_interval_ms, self._backoff.delay_ms(self._kv_failures))
        if isinstance(error, CloudflareUnavailable) and error.retry_after_s is not None:
            delay_ms = max(delay_ms, int(error.retry_after_s * 1000))
        self._kv_closed_until_ms = self._now_ms() + delay_ms
        self._metrics.deliveries.labels("kv", "failed").inc()
        log.warning("kv_write_failed", names=len(due), reason=str(error), retry_in_ms=delay_ms)
        await self._postpone([row for rows in due.values() for row in rows], delay_ms=delay_ms, reason=str(error))

    async def _start_wallets(self, group: asyncio.TaskGroup) -> int:
        """Begin to deliver to every Wallet that is due and idle. Returns when the next one is due."""
        now_ms = self._now_ms()
        async with self._store.read() as connection:
            heads = await outbox.heads(connection, limit=HEADS_LIMIT)
        for account_id, at_ms in heads:
            if account_id in self._in_flight:
                continue
            if at_ms > now_ms:
                return at_ms
            if len(self._in_flight) == WALLETS_IN_FLIGHT:
                break
            self._in_flight.add(account_id)
            group.create_task(self._deliver_in_flight(account_id))
        return now_ms + POLL_MS

    async def _deliver_in_flight(self, account_id: str) -> None:
        try:
            await self.deliver_wallet(account_id)
        except Exception:
            log.exception("wallet_delivery_failed", account_id=account_id)
            await _wait(self._stopped, POLL_MS / 1000)
        finally:
            self._in_flight.discard(account_id)
            self._wallets_woken.set()

    async def _deliver_batch(self, account_id: str, kind: Kind, batch: Sequence[OutboxRow]) -> bool:
        """Whether the account's next rows may follow."""
        try:
            await self._send(account_id, kind, batch)
        except EdgeConflict as error:
            return await self._sort_out_conflict(account_id, kind, batch, error)
        except EdgeError as error:
            delay_ms = self._backoff.delay_ms(batch[0].attempts + 1)
            self._metrics.deliveries.labels("wallet", "failed").inc()
            log.warning("wallet_not_reached", account_id=account_id, reason=str(error), retry_in_ms=delay_ms)
            await self._postpone(batch[:1], delay_ms=delay_ms, reason=str(error))
            return False
        self._metrics.deliveries.labels("wallet", "delivered").inc()
        await self._finish(batch, "delivered")
        return True

    async def _send(self, account_id: str, kind: Kind, batch: Sequence[OutboxRow]) -> None:
        if kind == "grant":
            grants = [Grant.from_fields(Fields.parse(row.payload, "grant")) for row in batch]
            await self._wallets.apply_grants(account_id, grants)
        else:
            await self._wallets.revoke_keys(account_id, [row.payload for row in batch])

    async def _sort_out_conflict(
        self, account_id: str, kind: Kind, batch: Sequence[OutboxRow], error: EdgeConflict
    ) -> bool:
        """One row of the batch will never be taken: the others are delivered one by one, and it is refused."""
        if len(batch) > 1:
            for row in batch:
                if not await self._deliver_batch(account_id, kind, [row]):
                    return False
            return True
        self._metrics.deliveries.labels("wallet", "refused").inc()
        log.error("grant_refused", account_id=account_id, outbox_row=batch[0].seq, reason=str(error))
        await self._finish(batch, "refused", reason=str(error))
        return True

    async def _finish_kv(self, versions: Mapping[str, int]) -> None:
        async with self._store.begin() as connection:
            await outbox.finish_kv(connection, versions, now_ms=self._now_ms())
        self._made_progress()

    async def _finish(self, rows: Sequence[OutboxRow], state: OutboxState, *, reason: str | None = None) -> None:
        async with self._store.begin() as connection:
            seqs = [row.seq for row in rows]
            await outbox.finish(connection, seqs, state, now_ms=self._now_ms(), reason=reason)
        self._made_progress()

    async def _postpone(self, rows: Sequence[OutboxRow], *, delay_ms: int, reason: str) -> None:
        async with self._store.begin() as connection:
            at_ms = self._now_ms() + delay_ms
            await outbox.postpone(connection, [row.seq for row in rows], next_attempt_at_ms=at_ms, reason=reason)

    def _made_progress(self) -> None:
        self._progress.set()
        self._progress = asyncio.Event()


def _of_one_call(due: Mapping[str, list[OutboxRow]]) -> dict[str, list[OutboxRow]]:
    """The first of them, as many as fit into one body, and at least one."""
    fitting: dict[str, list[OutboxRow]] = {}
    size_bytes = 0
    for name, rows in due.items():
        size_bytes += len(rows[-1].payload.encode())
        if fitting and size_bytes > KV_BATCH_BYTES:
            break
        fitting[name] = rows
    return fitting


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    """Until the event is set, or for ``timeout_s``."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()
