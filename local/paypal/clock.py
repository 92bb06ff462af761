"""The simulator's clock: the machine's, moved on by as much as it was told."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

# The times of refunds in webhooks come in PayPal's own zone.
PAYPAL_ZONE = timezone(timedelta(hours=-7))


class Clock:
    """Tells milliseconds since 1970 UTC. It only ever moves forward."""

    def __init__(self, now_ms: Callable[[], int] | None = None) -> None:
        self._now_ms = now_ms or (lambda: time.time_ns() // 1_000_000)
        self._ahead_ms = 0
        self._listeners: list[Callable[[], None]] = []

    def now_ms(self) -> int:
        return self._now_ms() + self._ahead_ms

    def advance(self, ms: int) -> None:
        """Moves on, and wakes those who wait for a time."""
        self._ahead_ms += ms
        for listener in self._listeners:
            listener()

    def on_advance(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)


def shown(at_ms: int) -> str:
    """As in answers: ``2026-01-31T09:30:00Z``."""
    return f"{_utc(at_ms):%Y-%m-%dT%H:%M:%SZ}"


def shown_with_ms(at_ms: int) -> str:
    """As in the head of a webhook: ``2026-01-31T09:30:00.123Z``."""
    return f"{_utc(at_ms):%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03}Z"


def shown_in_paypal_zone(at_ms: int) -> str:
    """As in the refunds of webhooks: ``2026-01-31T02:30:00-07:00``."""
    return _utc(at_ms).astimezone(PAYPAL_ZONE).isoformat(timespec="seconds")


def _utc(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms // 1000, UTC)
