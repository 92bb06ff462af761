"""POST /v1/chat/completions: the path of a request.

Authenticate, read, admit, resolve, hold, forward to the commit point, pass the answer on, settle what it cost.
"""

import asyncio
from dataclasses import replace

from gateway.answering import answer
from gateway.attempt import Committed
from gateway.auth import admit, authenticate
from gateway.charging import FAILED
from gateway.errors import InsufficientBalance, InvalidRequest, RequestTooLarge, UnsupportedMediaType
from gateway.failover import AllFailed, forward
from gateway.holding import Grip, take_hold
from gateway.http import JSON, Exchange, Request, Response
from gateway.lateness import answer_late
from gateway.ports import BodyTooLarge, Document, NotJson, Ports
from gateway.routing import Call, Candidate, read_call, read_catalogue, resolve
from gateway.settling import public_attempts, settle, trace

MAX_BODY_BYTES = 20 * 2**20
MAX_IDEMPOTENCY_KEY_CHARS = 255
COMMIT_WAIT_MS = 10_000
"""How long the status line of a stream waits for a target that answers."""


async def complete(exchange: Exchange, ports: Ports) -> Response:
    """Answer a chat completion, whole or as a stream; raises Refusal."""
    started_at_ms = ports.now_ms()
    key = await authenticate(exchange.request, ports)
    document, size_bytes = await _read(exchange.request)
    call = read_call(
        document,
        size_bytes,
        header=exchange.request.header,
        request_id=exchange.id,
        key=key,
        started_at_ms=started_at_ms,
        idempotency_key=_idempotency_key(exchange.request),
    )
    admit(key, call.models)
    candidates, grip = await _hold(call, resolve(call, await read_catalogue(ports)), ports)
    held = replace(call, max_tokens=grip.max_tokens)
    if not call.stream:
        return _answer(held, await _forward(call, candidates, grip, ports), grip, ports)
    work = asyncio.ensure_future(_forward(call, candidates, grip, ports))
    if await ports.finished(work, within_ms=COMMIT_WAIT_MS):
        return _answer(held, work.result(), grip, ports)
    return answer_late(work, lambda committed: _answer(held, committed, grip, ports), grip.headers, ports)


async def _hold(call: Call, candidates: tuple[Candidate, ...], ports: Ports) -> tuple[tuple[Candidate, ...], Grip]:
    """The hold, and for whom: a wallet that cannot pay for the models to fall back on may pay for the first."""
    try:
        return candidates, await take_hold(call, candidates, ports)
    except InsufficientBalance:
        first = tuple(candidate for candidate in candidates if candidate.model.id == call.model)
        if not first or len(first) == len(candidates):
            raise
        return first, await take_hold(call, first, ports)


def _answer(call: Call, committed: Committed, grip: Grip, ports: Ports) -> Response:
    response = answer(call, committed, ports)
    response.headers.update(grip.headers)
    return response


async def _forward(call: Call, candidates: tuple[Candidate, ...], grip: Grip, ports: Ports) -> Committed:
    """The answer of the first candidate that gives one. Where none does, the hold goes back at $0."""
    try:
        return await forward(call, candidates, ports, max_tokens=grip.max_tokens)
    except AllFailed as failed:
        # Before the refusal: one who repeats the call with its Idempotency-Key at once must not hear that it runs.
        await settle(call, FAILED, ports, attempts=failed.attempts, lingers=False)
        refusal = failed.refusal
        refusal.headers.update(trace(failed.attempts, None))
        refusal.metadata["attempts"] = public_attempts(failed.attempts)
        raise refusal from failed
    except BaseException:
        ports.background(settle(call, FAILED, ports))
        raise


async def _read(request: Request) -> tuple[Document, int]:
    media_type = (request.header("content-type") or JSON).partition(";")[0].strip().lower()
    if media_type != JSON:
        raise UnsupportedMediaType(f"The body must be {JSON}, not {media_type!r}.")
    try:
        return await request.body.document(limit_bytes=MAX_BODY_BYTES)
    except BodyTooLarge as error:
        raise RequestTooLarge(f"The body is longer than {MAX_BODY_BYTES // 2**20} MiB.") from error
    except NotJson as error:
        raise InvalidRequest("The body is not a JSON object.") from error


def _idempotency_key(request: Request) -> str | None:
    key = request.header("idempotency-key")
    if key is not None and not 1 <= len(key) <= MAX_IDEMPOTENCY_KEY_CHARS:
        raise InvalidRequest(f"Idempotency-Key must have 1 to {MAX_IDEMPOTENCY_KEY_CHARS} characters.")
    return key
