"""The sweep: looks by itself at every top-up that may still change, so that no lost webhook loses money."""

import asyncio
import contextlib
from typing import Final

import structlog

from control_plane import inbox, topups
from control_plane.cashier import Cashier, PaymentsNotConfigured
from control_plane.clock import NowMs
from control_plane.payment_provider import ProviderUnavailable
from control_plane.store import Store

BATCH_MAX: Final = 100
# After so many silences in a row a provider is taken to be down until the next round.
SILENCES_MAX: Final = 3

log = structlog.get_logger()


class Sweep:
    """``run`` looks around every ``interval_s`` until it is cancelled; ``round`` is one time."""

    def __init__(self, *, store: Store, cashier: Cashier, interval_s: float, now_ms: NowMs) -> None:
        self._store = store
        self._cashier = cashier
        self._interval_s = interval_s
        self._now_ms = now_ms

    async def run(self) -> None:
        while True:
            try:
                await self.round()
            except Exception:
                # A database that is away for a moment must not end the sweep.
                log.exception("sweep_failed")
            await asyncio.sleep(self._interval_s)

    async def round(self) -> None:
        """Look at what is due, and forget webhooks that are too old to come again."""
        async with self._store.begin() as connection:
            await inbox.prune(connection, now_ms=self._now_ms())
            due = await topups.due(connection, now_ms=self._now_ms(), limit=BATCH_MAX)
        silences = 0
        for topup_id in due:
            silences = 0 if await self._look(topup_id) else silences + 1
            if silences == SILENCES_MAX:
                return

    async def _look(self, topup_id: str) -> bool:
        """Whether the provider answered."""
        try:
            await self._cashier.look(topup_id)
        except (ProviderUnavailable, PaymentsNotConfigured) as error:
            log.warning("topup_not_looked_at", topup_id=topup_id, reason=str(error) or type(error).__name__)
            await self._cashier.postpone(topup_id)
            return False
        except Exception:
            # One top-up that cannot be looked at must not keep the others from it.
            log.exception("topup_not_looked_at", topup_id=topup_id)
            with contextlib.suppress(Exception):
                await self._cashier.postpone(topup_id)
        return True
