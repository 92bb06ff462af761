"""Where a request's time goes: requests that leave the gateway's path at ever later steps.

workerd's clock stands still while a request computes, so a profiler inside it sees nothing; what the process has used
is read from outside, and the difference between two steps is what lies between them.
"""

from dataclasses import dataclass, field

from bench import json_calls, load
from bench.peers import GATEWAY, PASS_THROUGH, Field, Peer
from bench.process_stats import become_idle, cpu_ms
from bench.results import ROUNDS, Rounds, Section

NAME = "steps"
PEERS = (PASS_THROUGH, GATEWAY)
CONNECTIONS = 10
BODY_BYTES = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How far this request gets."""

    name: str
    path: str
    method: str = "POST"
    model: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


STEPS = (
    Step(name="into Python and out again", method="GET", path="/healthz"),
    Step(name="to the refusal of a malformed key", path="/v1/chat/completions", headers={"authorization": "Bearer no"}),
    Step(name="to the refusal of an unknown model", path="/v1/chat/completions", model="no-such-model"),
    Step(name="one call of the Wallet that writes nothing", method="GET", path="/v1/credits"),
    Step(name="the full path", path="/v1/chat/completions"),
)


async def measure(field: Field, *, quick: bool) -> Section:
    rounds, peer = Rounds(), field[GATEWAY]
    await load.drive(_order(peer, STEPS[-1]), connections=CONNECTIONS, seconds=json_calls.WARM_UP_S)
    for _ in range(ROUNDS):
        for step in STEPS:
            await _measure(rounds, step, peer, seconds=3 if quick else 6)
    return Section(name=NAME, measurements=tuple(rounds.measurements()), targets=())


def _order(peer: Peer, step: Step) -> load.Order:
    url = peer.url.removesuffix("/v1") + step.path
    headers = peer.request_headers | step.headers
    body = b"" if step.method == "GET" else _body(peer, step.model)
    return load.Order(method=step.method, url=url, headers=headers, body=body)


def _body(peer: Peer, model: str | None) -> bytes:
    body = peer.body("Hello. ", stream=False, size_bytes=BODY_BYTES)
    return body if model is None else body.replace(peer.model.encode(), model.encode(), 1)


async def _measure(rounds: Rounds, step: Step, peer: Peer, *, seconds: int) -> None:
    await become_idle(peer.serving)
    before_ms = cpu_ms(peer.serving)
    seen = await load.drive(_order(peer, step), connections=CONNECTIONS, seconds=seconds)
    await become_idle(peer.serving)
    rounds.add(
        step.name,
        peer.name,
        requests_per_s=seen.requests_per_s,
        p50_ms=seen.p50_ms,
        cpu_ms_per_request=(cpu_ms(peer.serving) - before_ms) / seen.requests,
    )
