"""What a million requests cost at Cloudflare, at the margin of the paid plan.

The rows that a request writes are counted by running the Wallet's own rules over SQLite: every table is WITHOUT ROWID
and has no further index, so a changed row is a written row. What else a request uses follows from how the edge works.
Prices: developers.cloudflare.com, the pricing pages of Workers, Durable Objects, KV and Queues, November 2026.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench import json_calls, report
from bench.peers import GATEWAY, Field
from bench.results import Measurement, Section
from gateway import wallet, wallet_delivery
from gateway.money import NanoUsd
from gateway.records import Grant, KeyLimits
from gateway.wallet_messages import HoldRequest, Settlement
from gateway.wallet_tables import Memory, create_tables

NAME = "bill"
PEERS = ()

USD_PER_MILLION = {
    "worker_requests": 0.30,
    "cpu_ms": 0.02,
    "durable_object_requests": 0.15,
    "durable_object_gb_s": 12.50,
    "rows_written": 1.00,
    "kv_reads": 0.50,
    "queue_operations": 0.40,
}
ASSUMED_CPU_MS = 5.0
"""Where no run has measured it."""
WALLET_CALL_MS = 2.0
WALLET_GB = 0.128
OPERATIONS_PER_MESSAGE = 3  # written, read, deleted
START_MS = 1_700_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """How a request's share of what many requests have in common comes about."""

    name: str
    wallet_calls: float
    acknowledged_together: int
    alarm_rows: float
    kv_reads: float
    messages: float


# A hold, a settlement, the alarm that sends, the word that it was booked, the alarm that finds nothing to send again.
ALONE = Traffic(
    name="each request alone", wallet_calls=5, acknowledged_together=1, alarm_rows=3, kv_reads=2, messages=1
)
# A settlement rides along with the next hold, and one alarm, message and word serve fifty.
BUSY = Traffic(
    name="fifty requests a second",
    wallet_calls=1.06,
    acknowledged_together=50,
    alarm_rows=0.04,
    kv_reads=0.02,
    messages=0.02,
)


async def measure(field: Field, *, quick: bool) -> Section:
    del field, quick
    cpu_ms = _measured_cpu_ms()
    measurements = [
        Measurement(case=traffic.name, peer=GATEWAY, metric=metric, value=value)
        for traffic in (ALONE, BUSY)
        for metric, value in _bill(traffic, cpu_ms=cpu_ms).items()
    ]
    return Section(name=NAME, measurements=tuple(measurements), targets=())


def _bill(traffic: Traffic, *, cpu_ms: float) -> dict[str, float]:
    """What a request uses of each thing that is billed, and the cost of a million requests."""
    used = {
        "worker_requests": 1 + traffic.messages,
        "cpu_ms": cpu_ms,
        "durable_object_requests": traffic.wallet_calls,
        "durable_object_gb_s": traffic.wallet_calls * WALLET_CALL_MS / 1000 * WALLET_GB,
        "rows_written": rows_per_request(traffic.acknowledged_together) + traffic.alarm_rows,
        "kv_reads": traffic.kv_reads,
        "queue_operations": traffic.messages * OPERATIONS_PER_MESSAGE,
    }
    subrequests = 1 + traffic.wallet_calls + traffic.kv_reads + traffic.messages
    cost = sum(amount * USD_PER_MILLION[name] for name, amount in used.items())
    return {**used, "subrequests": subrequests, "per_million_requests_usd": cost}


def rows_per_request(together: int) -> float:
    """From the hold to the word that the ledger has the record, which comes for so many requests ``together``."""
    store = _Store()
    create_tables(store)
    wallet.grant(store, [Grant(id="g", kind="credit", amount_nano_usd=NanoUsd(10**12))])
    _pass_through(store, ["first"])  # which also makes the key's row
    before = store.connection.total_changes
    _pass_through(store, [f"request {number}" for number in range(together)])
    return (store.connection.total_changes - before) / together


def _pass_through(store: "_Store", request_ids: Sequence[str]) -> None:
    for request_id in request_ids:
        wallet.hold(store, _hold_request(request_id))
        wallet.settle(store, _settlement(request_id), now_ms=START_MS)
    wallet_delivery.due_records(store, now_ms=START_MS)
    wallet_delivery.acknowledge(store, request_ids)


class _Store:
    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.memory = Memory()

    def execute(self, statement: str, *parameters: Any) -> None:
        self.connection.execute(statement, parameters)

    def query(self, statement: str, *parameters: Any) -> list[Sequence[Any]]:
        return self.connection.execute(statement, parameters).fetchall()


def _hold_request(request_id: str) -> HoldRequest:
    return HoldRequest(
        request_id=request_id,
        account_id="a",
        key_id="k",
        wanted_nano_usd=NanoUsd(1000),
        least_nano_usd=NanoUsd(1000),
        modest_nano_usd=None,
        tokens=100,
        limits=KeyLimits(),
        idempotency_key=None,
        now_ms=START_MS,
        expires_ms=START_MS + 600_000,
    )


def _settlement(request_id: str) -> Settlement:
    cost = NanoUsd(500)
    return Settlement(request_id=request_id, key_id="k", cost_nano_usd=cost, tokens=20, is_answered=True, record="{}")


def _measured_cpu_ms() -> float:
    wanted = (json_calls.SMALL.name, GATEWAY, "cpu_ms_per_request")
    for item in report.read().get(json_calls.NAME, {}).get("measurements", ()):
        if (item["case"], item["peer"], item["metric"]) == wanted:
            return float(item["value"])
    return ASSUMED_CPU_MS
