"""A stream whose provider is late: the caller has its status line, hears from us, and failover goes on.

What the caller hears are SSE comments, which clients pass over; they keep proxies and SDKs from giving up. Once a
target answers, its stream follows; where none does, the refusal comes as the last event, in place of an end mark.
"""

import asyncio
import json
from collections.abc import Callable, Mapping

from gateway.attempt import Committed
from gateway.errors import Refusal, envelope
from gateway.http import EVENT_STREAM, Response
from gateway.ports import LateBody, Ports
from gateway.sse import data_event

HEARTBEAT_MS = 5_000
HEARTBEAT = b": waiting for a provider\n\n"


def answer_late(
    work: "asyncio.Future[Committed]",
    answer: Callable[[Committed], Response],
    headers: Mapping[str, str],
    ports: Ports,
) -> Response:
    """The response to begin with; ``work`` goes on behind it, and ``answer`` makes the rest once it has ended well."""
    late = ports.late_body()
    ports.background(_deliver(work, answer, late, ports))
    own = {"content-type": EVENT_STREAM, "cache-control": "no-cache", "x-accel-buffering": "no"}
    return Response(body=late.body, headers={**headers, **own})


async def _deliver(
    work: "asyncio.Future[Committed]", answer: Callable[[Committed], Response], late: LateBody, ports: Ports
) -> None:
    finished = False
    while not finished:
        if not await late.write(HEARTBEAT):
            await _give_up(work, answer, late)
            return
        finished = await ports.finished(work, within_ms=HEARTBEAT_MS)
    try:
        response = answer(work.result())
    except Refusal as refusal:
        await late.write(data_event(json.dumps(envelope(refusal), separators=(",", ":"))))
        await late.close()
    else:
        await late.write(f": attempts {response.headers['x-haotokai-attempts']}\n\n".encode())
        await late.pass_on(response.body)


async def _give_up(work: "asyncio.Future[Committed]", answer: Callable[[Committed], Response], late: LateBody) -> None:
    """The caller has left. Giving the work up settles it at nothing, unless it ended well at this very moment: then it
    is settled as any stream whose caller has left."""
    work.cancel()
    await asyncio.wait({work})
    if not work.cancelled() and work.exception() is None:
        await late.pass_on(answer(work.result()).body)
