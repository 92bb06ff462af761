"""Cold start: from the start of a peer's process to its first answer, and what it takes of memory by then."""

import time

import httpx2

from bench.peers import GATEWAY, LITELLM, PASS_THROUGH, PORTKEY, Field
from bench.process_stats import rss_mb
from bench.results import Measurement, Section

NAME = "start"
PEERS = (PASS_THROUGH, GATEWAY, LITELLM, PORTKEY)
ANSWER_LIMIT_S = 60


async def measure(field: Field, *, quick: bool) -> Section:
    del quick
    measurements: list[Measurement] = []
    for peer in field.among(PEERS):
        body = peer.body("Hello. ", stream=False)
        async with httpx2.AsyncClient(headers=peer.request_headers, timeout=ANSWER_LIMIT_S) as client:
            began_s = time.monotonic()
            (await client.post(peer.completions_url, content=body)).raise_for_status()
            first_s = time.monotonic() - began_s
            (await client.post(peer.completions_url, content=body)).raise_for_status()
            second_s = time.monotonic() - began_s - first_s
        figures = {
            "until_ready_s": peer.start_s,
            "first_answer_ms": first_s * 1000,
            "second_answer_ms": second_s * 1000,
            "rss_mb": rss_mb(peer.serving),
        }
        measurements += [
            Measurement(case="from nothing", peer=peer.name, metric=metric, value=value)
            for metric, value in figures.items()
        ]
    return Section(name=NAME, measurements=tuple(measurements), targets=())
