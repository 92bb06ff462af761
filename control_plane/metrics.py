"""What Prometheus reads: one registry per application."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

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

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)
