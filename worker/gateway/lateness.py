"""A stream whose provider is late: the caller has its status line, hears from us, and failover goes on.

What the caller hears are SSE comments, which clients pass over; they keep proxies and SDKs from giving up. Once a
target answers, its stream follows; where none does, the refusal comes as the last event, in place of an end mark.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from gateway.answering import STREAM_HEADERS, error_event
from gateway.errors import InternalError, Refusal, where
from gateway.http import Response
from gateway.ports import LateBody, Ports

COMMIT_WAIT_MS = 10_000
"""How long the status line of a stream waits for a target that answers."""

HEARTBEAT_MS = 3_000
HEARTBEAT = b": waiting for a provider\n\n"


async def respond_in_time(
    work: Coroutine[Any, Any, Response], headers: Callable[[], Mapping[str, str]], ports: Ports, *, request_id: str
) -> Response:
    """The response that ``work`` makes, where that comes in time; else one to begin with, with these headers, behind
    which the work goes on. Raises what the work does."""
    task = asyncio.ensure_future(work)
    try:
        if await ports.finished(task, within_ms=COMMIT_WAIT_MS):
            return task.result()
    except asyncio.CancelledError:
        task.cancel()
        raise
    late = ports.late_body()
    ports.background(_deliver(task, late, ports, request_id))
    return Response(body=late.body, headers={**STREAM_HEADERS, **headers()})


async def _deliver(work: "asyncio.Future[Response]", late: LateBody, ports: Ports, request_id: str) -> None:
    is_finished = False
    while not is_finished:
        if not await late.write(HEARTBEAT):
            await _give_up(work, late)
            return
        is_finished = await ports.finished(work, within_ms=HEARTBEAT_MS)
    try:
        response = work.result()
    except Refusal as refusal:
        ports.log("refused_late", request_id=request_id, status=refusal.status, code=refusal.code)
        await _refuse(refusal, late)
    except Exception as error:
        ports.log("internal_error", request_id=request_id, error=type(error).__name__, at=where(error))
        await _refuse(InternalError("The gateway failed; the request id helps us find out why."), late)
    else:
        await late.write(b": attempts " + response.headers["x-haotokai-attempts"].encode() + b"\n\n")
        await late.pass_on(response.body)


async def _refuse(refusal: Refusal, late: LateBody) -> None:
    await late.write(error_event(refusal))
    await late.close()


async def _give_up(work: "asyncio.Future[Response]", late: LateBody) -> None:
    """The caller has left. Giving the work up settles it at nothing, unless it ended well at this very moment: then it
    is settled as any stream whose caller has left."""
    work.cancel()
    await asyncio.wait({work})
    if not work.cancelled() and work.exception() is None:
        await late.pass_on(work.result().body)
