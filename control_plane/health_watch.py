"""The watch over the targets' health: reads what was booked lately, judges, and publishes what the edge should hear.

It works beside the intake, from rows that are booked already, and reads each stretch of time once: a bounded number of
its records, which is all of them up to a hundred requests a second and a sample beyond.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane import alerts, projection, published_health, usage
from control_plane.alerts import Alert, AlertKey
from control_plane.catalogue import LoadedCatalogue, publish, published
from control_plane.clock import NowMs
from control_plane.provider_health import (
    NOTHING_SEEN,
    SLICE_MS,
    WINDOW_MS,
    Published,
    Report,
    Tally,
    Target,
    differs,
    report,
    tally,
)
from control_plane.store import Store

ROUND_S: Final = 10.0
PUBLISHED_EVERY_MS: Final = 60_000
SLICE_RECORDS_MAX: Final = 1_000
COMMITTED_AFTER_MS: Final = 2_000
"""A slice is read so long after its end, when what was booked in it has been committed."""

log = structlog.get_logger()


class HealthWatch:
    """``run`` looks every ROUND_S until it is cancelled; ``round`` is one time. ``reports`` are the last round's."""

    def __init__(self, *, store: Store, loaded: LoadedCatalogue, now_ms: NowMs, published: Callable[[], None]) -> None:
        self._store = store
        self._loaded = loaded
        self._now_ms = now_ms
        self._published = published
        self._slices: dict[int, Mapping[Target, Tally]] = {}
        self._alerts: dict[AlertKey, Alert] = {}
        self.reports: tuple[Report, ...] = ()

    async def run(self) -> None:
        while True:
            try:
                await self.round()
            except Exception:
                # A database that is away for a moment must not end the watch.
                log.exception("health_watch_failed")
            await asyncio.sleep(ROUND_S)

    async def round(self) -> None:
        """Judge every target, and publish what the edge should hear, unless something was published just before."""
        now_ms = self._now_ms()
        async with self._store.read() as connection:
            self._slices = {start_ms: await self._slice(connection, start_ms) for start_ms in _window(now_ms)}
            told = await published_health.read(connection)
            catalogue = await published(connection, self._loaded)
        self.reports = tuple(self._report(target, told.get(target)) for target in self._loaded.watched)
        self._log_alerts()
        is_due = now_ms - catalogue.published_at_ms >= PUBLISHED_EVERY_MS
        if is_due and any(differs(catalogue.health.get(item.target), item.record) for item in self.reports):
            await self._publish(now_ms)

    async def _slice(self, connection: AsyncConnection, start_ms: int) -> Mapping[Target, Tally]:
        """What was booked in a slice of time, which is read once."""
        known = self._slices.get(start_ms)
        if known is not None:
            return known
        end_ms = start_ms + SLICE_MS
        records = await usage.booked_within(connection, from_ms=start_ms, to_ms=end_ms, limit=SLICE_RECORDS_MAX)
        return tally(records, ended_after_ms=end_ms - WINDOW_MS)

    def _report(self, target: Target, told: Published | None) -> Report:
        slices = [tallies.get(target, NOTHING_SEEN) for tallies in self._slices.values()]
        return report(target, slices, told)

    async def _publish(self, now_ms: int) -> None:
        """A new version of the catalogue, with what it says about health, in one transaction."""
        async with self._store.begin() as connection:
            await published_health.replace(connection, list(_to_publish(self.reports, now_ms)))
            catalogue = await publish(connection, self._loaded, now_ms)
            await projection.enqueue_catalogue(connection, catalogue)
        log.info("health_published", version=catalogue.version, targets=len(catalogue.health))
        self._published()

    def _log_alerts(self) -> None:
        """One line when an alert begins and one when it has ended."""
        found = {alert.key: alert for alert in alerts.of_providers(self.reports)}
        for key in found.keys() - self._alerts.keys():
            _log_alert("alert_began", found[key])
        for key in self._alerts.keys() - found.keys():
            _log_alert("alert_ended", self._alerts[key])
        self._alerts = found


def _window(now_ms: int) -> range:
    """The starts of the window's slices, the newest first."""
    end_ms = (now_ms - COMMITTED_AFTER_MS) // SLICE_MS * SLICE_MS
    return range(end_ms - SLICE_MS, end_ms - WINDOW_MS - 1, -SLICE_MS)


def _to_publish(reports: Iterable[Report], now_ms: int) -> Iterator[Published]:
    for item in reports:
        if item.record is not None:
            yield Published(health=item.record, since_ms=item.since_ms or now_ms)


def _log_alert(event: str, alert: Alert) -> None:
    log.warning(event, kind=alert.kind, provider=alert.provider, model=alert.model, detail=alert.detail)
