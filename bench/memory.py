"""Whether memory stays flat over 100,000 requests."""

from bench import load
from bench.peers import GATEWAY, Field
from bench.process_stats import become_idle, rss_mb
from bench.results import Measurement, Section, Target

NAME = "memory"
PEERS = (GATEWAY,)
REQUESTS = 100_000
QUICK_REQUESTS = 2_000
SLICE_S = 20
CONNECTIONS = 10
SETTLED_AFTER = 0.2
"""Caches and the heap have their size after this share of the requests."""
GROWTH_LIMIT = 1.1


async def measure(field: Field, *, quick: bool) -> Section:
    peer, wanted = field[GATEWAY], QUICK_REQUESTS if quick else REQUESTS
    body = peer.body("Hello. ", stream=False, size_bytes=1024)
    order = load.Order(url=peer.completions_url, headers=peer.request_headers, body=body)
    samples = [(0, rss_mb(peer.serving))]
    failed = 0
    while samples[-1][0] < wanted:
        seen = await load.drive(order, connections=CONNECTIONS, seconds=SLICE_S)
        failed += seen.failed
        samples.append((samples[-1][0] + seen.requests, rss_mb(peer.serving)))
    await become_idle(peer.serving)
    settled_mb = next(mb for requests, mb in samples if requests >= SETTLED_AFTER * wanted)
    last_mb = rss_mb(peer.serving)
    measurements = [
        Measurement(case=f"after {requests} requests", peer=peer.name, metric="rss_mb", value=mb)
        for requests, mb in samples
    ]
    measurements.append(Measurement(case="at the end", peer=peer.name, metric="rss_mb", value=last_mb))
    targets = (
        Target(
            name=f"memory after {wanted} requests, of that after a fifth of them",
            bound="at most",
            limit=GROWTH_LIMIT,
            measured=last_mb / settled_mb,
            unit="times",
        ),
        Target(name=f"failed of {wanted} requests", bound="at most", limit=0, measured=failed, unit="of them"),
    )
    return Section(name=NAME, measurements=tuple(measurements), targets=targets)
