"""The Worker's entrypoints: wiring only.

Default serves HTTP, the queue and the cron; Drill is the provider that fails on purpose; Wallet is the Durable Object
that alone says whether an account may spend.
"""

from typing import Any

from workers import DurableObject, WorkerEntrypoint

import event_loop
from bindings import EdgePorts, Lifetime, SqlStore, send_usage
from delivery import deliver, heartbeat
from drills import respond
from gateway import wallet
from gateway.app import serve
from gateway.wallet_calls import call
from gateway.wallet_delivery import due_records
from gateway.wallet_messages import UsageMessage
from gateway.wallet_tables import create_tables
from webapi import now_ms, request_from_js, response_to_js

event_loop.make_lean()


class Default(WorkerEntrypoint):
    """The public face."""

    async def fetch(self, request: Any) -> Any:
        # A caller who leaves must not end the work: its hold is settled all the same.
        lifetime = Lifetime(self.ctx)
        response = await lifetime.run(serve(request_from_js(request.js_object), EdgePorts(lifetime)))
        return response_to_js(response)

    async def queue(self, batch: Any, *_: Any) -> None:
        await deliver(batch)

    async def scheduled(self, *_: Any) -> None:
        await heartbeat()


class Drill(WorkerEntrypoint):
    """Reached only over the loopback binding: a call to a drill model in, its performance out."""

    async def fetch(self, request: Any) -> Any:
        lifetime = Lifetime(self.ctx)
        return await lifetime.run(respond(request.js_object, EdgePorts(lifetime).background))


class Wallet(DurableObject):
    """One account's Wallet. A call takes and gives a JSON text, and never pauses between reading and writing."""

    ALARM_DELAY_MS = 500
    """How long settled records gather before they are sent: one alarm serves all that settle in the meantime."""

    ALARM_LOST_AFTER_MS = 60_000
    """How long an alarm may be late, by retries and under load, before it counts as lost."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self._store = SqlStore(self.ctx)
        self._account_id = str(self.ctx.id.name)
        self._alarm_ms: int | None = None
        create_tables(self._store)

    async def call(self, operation: str, text: str, lines: str) -> str:
        at_ms = now_ms()
        reply = call(self._store, operation, text, account_id=self._account_id, now_ms=at_ms, lines=lines)
        if reply.due_ms is not None:
            # What was due before this object began is only known to its tables.
            due_ms = reply.due_ms if self._alarm_ms is not None else wallet.next_alarm_ms(self._store)
            await self._set_alarm(due_ms, at_ms)
        return reply.text

    async def alarm(self) -> None:
        self._alarm_ms = None
        at_ms = now_ms()
        wallet.tidy(self._store, now_ms=at_ms)
        while records := due_records(self._store, now_ms=at_ms):
            await send_usage(UsageMessage(self._account_id, list(records), ",".join(records.values())))
        await self._set_alarm(wallet.next_alarm_ms(self._store), at_ms)

    async def _set_alarm(self, due_ms: int | None, at_ms: int) -> None:
        """Keep the alarm at the next time when something falls due; it is written only when that comes earlier."""
        if due_ms is None:
            return
        alarm_ms = max(due_ms, at_ms + self.ALARM_DELAY_MS)
        # The platform gives an alarm up after some failures, and the next call sets it anew.
        is_lost = self._alarm_ms is not None and self._alarm_ms < at_ms - self.ALARM_LOST_AFTER_MS
        if self._alarm_ms is None or alarm_ms < self._alarm_ms or is_lost:
            self._alarm_ms = alarm_ms
            await self.ctx.storage.setAlarm(alarm_ms)
