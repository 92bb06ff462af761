"""Whole answers: requests per second, latency, and CPU per request, for small and for large prompts."""

from dataclasses import dataclass

from bench import load
from bench.peers import GATEWAY, LITELLM, METERING, PASS_THROUGH, PORTKEY, REWRITING, UPSTREAM, Field, Peer
from bench.process_stats import become_idle, cpu_ms, rss_mb
from bench.results import ROUNDS, Rounds, Section, Target, round_by_round

NAME = "json"
PEERS = (UPSTREAM, PASS_THROUGH, METERING, GATEWAY, LITELLM, PORTKEY, REWRITING)
LARGE_BYTES = 2**20
ROUNDS_OF_SMALL = 6
"""Each is short, and what the machine does beside them is a tenth of what they take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Prompts of one size over so many connections, for answers of at most so many tokens."""

    name: str
    size_bytes: int
    connections: int
    max_tokens: int = 256
    rounds: int = 1


SMALL = Case(name="json 1 KB, 10 at once", size_bytes=1024, connections=10, rounds=ROUNDS_OF_SMALL)
LARGE = Case(name="json 1 MB, 10 at once", size_bytes=LARGE_BYTES, connections=10, rounds=ROUNDS)
# The gateway asks for an answer that may be long as a stream of 200 events, and puts it together.
ASSEMBLED = Case(name="json 1 KB, 10 at once, assembled", size_bytes=1024, connections=10, max_tokens=1024)
QUICK_CASES = (SMALL, ASSEMBLED, LARGE)
CASES = (
    Case(name="json 1 KB, 1 at once", size_bytes=1024, connections=1),
    SMALL,
    ASSEMBLED,
    Case(name="json 1 KB, 100 at once", size_bytes=1024, connections=100),
    Case(name="json 1 MB, 1 at once", size_bytes=LARGE_BYTES, connections=1),
    LARGE,
    Case(name="json 1 MB, 100 at once", size_bytes=LARGE_BYTES, connections=100),
)

WARM_UP_S = 20
"""The engine compiles Python's interpreter anew while it runs hot: the first thousand calls take twice as much, and
some thousands more a little more."""


async def measure(field: Field, *, quick: bool) -> Section:
    rounds, seconds = Rounds(), 4 if quick else 6
    for peer in field.among(PEERS):
        await load.drive(_order(peer, SMALL), connections=SMALL.connections, seconds=WARM_UP_S)
    for case in round_by_round(QUICK_CASES if quick else CASES):
        for peer in field.among(PEERS):
            await _measure(rounds, case, peer, seconds)
    return Section(name=NAME, measurements=tuple(rounds.measurements()), targets=tuple(_targets(rounds)))


def _order(peer: Peer, case: Case) -> load.Order:
    body = peer.body("Hello. ", stream=False, size_bytes=case.size_bytes, max_tokens=case.max_tokens)
    return load.Order(url=peer.completions_url, headers=peer.request_headers, body=body)


async def _measure(rounds: Rounds, case: Case, peer: Peer, seconds: int) -> None:
    await become_idle(peer.serving)
    serving_ms, beside_ms = cpu_ms(peer.serving), cpu_ms(peer.beside)
    seen = await load.drive(_order(peer, case), connections=case.connections, seconds=seconds)
    await become_idle(peer.serving)
    rounds.add(
        case.name,
        peer.name,
        requests_per_s=seen.requests_per_s,
        failed_requests=seen.failed,
        p50_ms=seen.p50_ms,
        p99_ms=seen.p99_ms,
        cpu_ms_per_request=(cpu_ms(peer.serving) - serving_ms) / seen.requests,
        cpu_ms_per_request_beside=(cpu_ms(peer.beside) - beside_ms) / seen.requests,
        rss_mb=rss_mb(peer.serving),
    )


def _targets(rounds: Rounds) -> list[Target]:
    wanted = [
        ("CPU per JSON request, of the pass-through Worker's", SMALL, PASS_THROUGH, 3.0),
        ("CPU per JSON request, of LiteLLM's", SMALL, LITELLM, 0.25),
        ("CPU per JSON request with a 1 MB body, of the pass-through Worker's", LARGE, PASS_THROUGH, 1.5),
        ("CPU per JSON request with a 1 MB body, of the rewriting Worker's", LARGE, REWRITING, 1.5),
    ]
    return [
        Target(
            name=name,
            bound="at most",
            limit=limit,
            measured=rounds.ratio(case.name, "cpu_ms_per_request", GATEWAY, base),
            unit="times",
        )
        for name, case, base, limit in wanted
        if rounds.has(case.name, base)
    ]
