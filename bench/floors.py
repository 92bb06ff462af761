"""The least that streams take in the runtime: what lies between it and this gateway is what can be gained in Python.

Beside the Workers of the other sections stand two with the gateway's pipes alone: one looks at each piece in
JavaScript, one has each pass Python. At the pace of a model it is the first event that is looked at.
"""

from bench import pace
from bench.peers import GATEWAY, GUARDING, METERING, PASS_THROUGH, RELAYING, Field
from bench.results import Rounds, Section, round_by_round
from bench.stream_calls import LONG, SHORT, add_cost_of_an_event, measure_case, warm_up

NAME = "floors"
PEERS = (PASS_THROUGH, METERING, GUARDING, RELAYING, GATEWAY)


async def measure(field: Field, *, quick: bool) -> Section:
    rounds, peers = Rounds(), field.among(PEERS)
    await warm_up(peers)
    for case in (SHORT, LONG, pace.QUICK_CASE) if quick else round_by_round((SHORT, LONG, pace.CASE)):
        for peer in peers:
            await measure_case(rounds, case, peer)
    for peer in peers:
        add_cost_of_an_event(rounds, peer)
    return Section(name=NAME, measurements=tuple(rounds.measurements()), targets=())
