"""Many streams at once: 500 on one wallet, and 1000 that are open together."""

import asyncio
from dataclasses import dataclass

from bench.peers import GATEWAY, METERING, PASS_THROUGH, Field, Peer
from bench.process_stats import become_idle, rss_mb
from bench.results import Measurement, Section, Target
from bench.streams import Timings, time_streams

NAME = "crowd"
PEERS = (PASS_THROUGH, METERING, GATEWAY)
SAMPLE_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """All streams begin together and stay open for ``events`` times ``interval_ms``."""

    name: str
    streams: int
    events: int
    interval_ms: int


PARALLEL = Case(name="500 streams on one wallet", streams=500, events=20, interval_ms=250)
OPEN = Case(name="1000 streams open", streams=1000, events=30, interval_ms=1000)
ALL_OPEN_AFTER = 0.5
"""All streams are open after this share of the time."""
GROWTH_LIMIT = 1.1


async def measure(field: Field, *, quick: bool) -> Section:
    measurements: list[Measurement] = []
    for case in (PARALLEL,) if quick else (PARALLEL, OPEN):
        for peer in field.among(PEERS):
            measurements += await _measure(case, peer)
    return Section(name=NAME, measurements=tuple(measurements), targets=tuple(_targets(measurements)))


async def _measure(case: Case, peer: Peer) -> list[Measurement]:
    await become_idle(peer.serving)
    samples_mb = [rss_mb(peer.serving)]
    streaming = asyncio.create_task(_stream(case, peer))
    while not streaming.done():  # the streams end in another process
        samples_mb.append(rss_mb(peer.serving))
        await asyncio.sleep(SAMPLE_S)
    seen = streaming.result()
    await become_idle(peer.serving)
    figures = {
        "failed_streams": seen.failed,
        "lost_events": seen.lost,
        "first_event_p50_ms": seen.first_event_p50_ms,
        "first_event_p99_ms": seen.first_event_p99_ms,
        "rss_before_mb": samples_mb[0],
        "rss_all_open_mb": samples_mb[int(len(samples_mb) * ALL_OPEN_AFTER)],
        "rss_most_mb": max(samples_mb),
        "rss_after_mb": rss_mb(peer.serving),
    }
    return [
        Measurement(case=case.name, peer=peer.name, metric=metric, value=value) for metric, value in figures.items()
    ]


async def _stream(case: Case, peer: Peer) -> Timings:
    return await time_streams(
        peer.completions_url,
        peer.request_headers,
        peer.body(f"[[bench events={case.events} interval_ms={case.interval_ms}]]", stream=True),
        streams=case.streams,
        at_once=case.streams,
        events=case.events,
    )


def _targets(measurements: list[Measurement]) -> list[Target]:
    known = {(item.case, item.metric): item.value for item in measurements if item.peer == GATEWAY}
    targets = [
        Target(
            name=f"{metric.replace('_', ' ')} of {case.name}",
            bound="at most",
            limit=0,
            measured=known[case.name, metric],
            unit="of them",
        )
        for case in (PARALLEL, OPEN)
        for metric in ("failed_streams", "lost_events")
        if (case.name, metric) in known
    ]
    if (OPEN.name, "rss_most_mb") in known:
        growth = known[OPEN.name, "rss_most_mb"] / known[OPEN.name, "rss_all_open_mb"]
        targets.append(
            Target(
                name="memory with 1000 streams open, most of what it is when all are",
                bound="at most",
                limit=GROWTH_LIMIT,
                measured=growth,
                unit="times",
            )
        )
    return targets
