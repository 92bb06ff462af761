"""Streams: CPU per stream and per event, time to the first event, and whether events are delayed or merged."""

from collections.abc import Iterable
from dataclasses import dataclass

from bench.peers import GATEWAY, LITELLM, METERING, PASS_THROUGH, PORTKEY, UPSTREAM, Field, Peer
from bench.process_stats import become_idle, cpu_ms
from bench.results import ROUNDS, Rounds, Section, Target, round_by_round
from bench.streams import Timings, time_streams

NAME = "streams"
PEERS = (UPSTREAM, PASS_THROUGH, METERING, GATEWAY, LITELLM, PORTKEY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """``streams`` streams of so many events, one every ``interval_ms``, ``at_once`` of them at a time."""

    events: int
    at_once: int
    streams: int
    interval_ms: int = 2
    rounds: int = 1

    @property
    def name(self) -> str:
        return f"stream of {self.events} events, {self.interval_ms} ms between, {self.at_once} at once"

    @property
    def prompt(self) -> str:
        return f"[[bench events={self.events} interval_ms={self.interval_ms}]]"


SHORT = Case(events=200, at_once=10, streams=100, rounds=ROUNDS)
LONG = Case(events=1000, at_once=10, streams=30, rounds=ROUNDS)
QUICK_CASES = (SHORT, LONG)
# One client could not read 100 streams at once in real time, were their events as near to each other.
CASES = (
    Case(events=50, at_once=1, streams=40),
    Case(events=50, at_once=10, streams=200),
    Case(events=50, at_once=100, streams=600, interval_ms=20),
    Case(events=200, at_once=1, streams=10),
    SHORT,
    Case(events=200, at_once=100, streams=300, interval_ms=20),
    Case(events=1000, at_once=1, streams=4),
    LONG,
    Case(events=1000, at_once=100, streams=100, interval_ms=20),
    Case(events=5000, at_once=1, streams=1),
    Case(events=5000, at_once=10, streams=10),
    Case(events=5000, at_once=100, streams=100, interval_ms=20),
)
ANOTHER_EVENT = "one more event"
# The first calls are slow: the engine compiles Python's interpreter anew while it runs hot.
WARM_UP = Case(events=50, at_once=10, streams=600)

# What a timer of the operating system may add or take from a delay.
DELAY_TOLERANCE_MS = 1.0
MERGED_TOLERANCE = 0.005


async def measure(field: Field, *, quick: bool) -> Section:
    rounds = Rounds()
    await warm_up(field.among(PEERS))
    for case in round_by_round(QUICK_CASES if quick else CASES):
        for peer in field.among(PEERS):
            await measure_case(rounds, case, peer)
    for peer in field.among(PEERS):
        add_cost_of_an_event(rounds, peer)
    return Section(name=NAME, measurements=tuple(rounds.measurements()), targets=tuple(_targets(rounds)))


async def warm_up(peers: Iterable[Peer]) -> None:
    for peer in peers:
        await _stream(peer, WARM_UP)


async def measure_case(rounds: Rounds, case: Case, peer: Peer) -> None:
    """Add what one peer's turn at a case gave."""
    await become_idle(peer.serving)
    serving_ms, beside_ms = cpu_ms(peer.serving), cpu_ms(peer.beside)
    seen = await _stream(peer, case)
    await become_idle(peer.serving)
    rounds.add(
        case.name,
        peer.name,
        failed_streams=seen.failed,
        lost_events=seen.lost,
        first_event_p50_ms=seen.first_event_p50_ms,
        first_event_p99_ms=seen.first_event_p99_ms,
        event_delay_p50_ms=seen.delay_p50_ms,
        event_delay_p99_ms=seen.delay_p99_ms,
        merged_events_share=seen.merged_share,
        cpu_ms_per_stream=(cpu_ms(peer.serving) - serving_ms) / case.streams,
        cpu_ms_per_stream_beside=(cpu_ms(peer.beside) - beside_ms) / case.streams,
    )


async def _stream(peer: Peer, case: Case) -> Timings:
    return await time_streams(
        peer.completions_url,
        peer.request_headers,
        peer.body(case.prompt, stream=True),
        streams=case.streams,
        at_once=case.at_once,
        events=case.events,
    )


def add_cost_of_an_event(rounds: Rounds, peer: Peer) -> None:
    """What a further event costs: the difference of long and short streams over that of their events."""
    short, long = (rounds.values(case.name, peer.name, "cpu_ms_per_stream") for case in (SHORT, LONG))
    for of_short, of_long in zip(short, long, strict=True):
        cost_us = (of_long - of_short) * 1000 / (LONG.events - SHORT.events)
        rounds.add(ANOTHER_EVENT, peer.name, cpu_us_per_event=cost_us)


def _targets(rounds: Rounds) -> list[Target]:
    cpu, per_event = "cpu_ms_per_stream", "cpu_us_per_event"
    ratios = _ratios(
        rounds,
        ("CPU per stream of 200 events, of the pass-through Worker's", SHORT.name, cpu, PASS_THROUGH, 3.0),
        ("CPU per stream of 200 events, of the metering Worker's", SHORT.name, cpu, METERING, 1.5),
        ("CPU per stream of 200 events, of Portkey's", SHORT.name, cpu, PORTKEY, 1.0),
        ("CPU per stream of 200 events, of LiteLLM's", SHORT.name, cpu, LITELLM, 0.125),
        ("CPU per further event, of the pass-through Worker's", ANOTHER_EVENT, per_event, PASS_THROUGH, 1.6),
    )
    return ratios + timing_targets(rounds, SHORT)


def timing_targets(rounds: Rounds, case: Case) -> list[Target]:
    """When the first event comes, and whether those behind it are delayed or merged."""
    what = f"{case.at_once} streams at once, {case.interval_ms} ms between events"
    first = "first_event_p50_ms"
    ratios = _ratios(rounds, (f"time to the first event, {what}, of Portkey's", case.name, first, PORTKEY, 1.0))
    differences = [
        ("time to the first event", first, 10.0, "ms"),
        ("delay of an event, p99", "event_delay_p99_ms", DELAY_TOLERANCE_MS, "ms"),
        ("share of merged events", "merged_events_share", MERGED_TOLERANCE, "of all"),
    ]
    return ratios + [
        Target(
            name=f"{name}, {what}, over the pass-through Worker's",
            bound="at most",
            limit=limit,
            measured=rounds.difference(case.name, metric, GATEWAY, PASS_THROUGH),
            unit=unit,
        )
        for name, metric, limit, unit in differences
    ]


def _ratios(rounds: Rounds, *wanted: tuple[str, str, str, str, float]) -> list[Target]:
    """Of those peers that ran: name, case, metric, peer, limit."""
    return [
        Target(
            name=name, bound="at most", limit=limit, measured=rounds.ratio(case, metric, GATEWAY, base), unit="times"
        )
        for name, case, metric, base, limit in wanted
        if rounds.has(case, base)
    ]
