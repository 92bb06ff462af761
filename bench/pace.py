"""Streams at the pace of a model, fifty events a second each: when a caller sees the first event, and the others."""

from dataclasses import replace

from bench.peers import Field
from bench.results import Rounds, Section, round_by_round
from bench.stream_calls import PEERS, Case, measure_case, timing_targets, warm_up

NAME = "pace"
# The first event of one and the same peer differs by five milliseconds from one round to the next.
CASE = Case(events=200, at_once=10, streams=100, interval_ms=20, rounds=3)
QUICK_CASE = replace(CASE, streams=50, rounds=1)


async def measure(field: Field, *, quick: bool) -> Section:
    rounds, peers = Rounds(), list(field.among(PEERS))
    await warm_up(peers)
    for case in round_by_round([QUICK_CASE if quick else CASE]):
        for peer in peers:
            await measure_case(rounds, case, peer)
    return Section(name=NAME, measurements=tuple(rounds.measurements()), targets=tuple(timing_targets(rounds, CASE)))
