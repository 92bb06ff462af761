"""What Prometheus reads: one registry per application."""

import collections
from collections.abc import Iterable
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from control_plane.alerts import AlertKind
from gateway.records import Health

LATENCY_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """The figures of one running control plane."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.requests = Counter(
            "haotokai_requests", "Answered requests.", ["method", "route", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            "haotokai_request_seconds", "Time to answer.", ["route"], buckets=LATENCY_BUCKETS_S, registry=registry
        )
        self.deliveries = Counter(
            "haotokai_deliveries", "Calls that the projector made.", ["target", "outcome"], registry=registry
        )
        self.outbox_pending = Gauge(
            "haotokai_outbox_pending", "Outbox rows not yet delivered.", ["target"], registry=registry
        )
        self.outbox_lag_seconds = Gauge(
            "haotokai_outbox_lag_seconds", "Age of the oldest undelivered row.", ["target"], registry=registry
        )
        self.alerts = Gauge("haotokai_alerts", "What the operator should look at.", ["kind"], registry=registry)
        self.target_health = Gauge(
            "haotokai_target_health",
            "1 for the health that a provider's model is in.",
            ["provider", "model", "health"],
            registry=registry,
        )

    def show_alerts(self, kinds: Iterable[AlertKind]) -> None:
        """How many of each kind there are now, zero included."""
        counts = collections.Counter(kinds)
        for kind in get_args(AlertKind):
            self.alerts.labels(kind).set(counts[kind])

    def show_health(self, targets: Iterable[tuple[str, str, Health | None]]) -> None:
        """Each target's health now; one that is not known counts as healthy."""
        for provider, model, health in targets:
            for state in get_args(Health):
                self.target_health.labels(provider, model, state).set(int(state == (health or "healthy")))

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)
