"""POST /v1/chat/completions: the path of a request.

Authenticate, read, admit, resolve, hold, forward to the commit point, pass the answer on, settle what it cost.
"""

from gateway.answering import answer
from gateway.auth import admit, authenticate
from gateway.charging import FAILED
from gateway.errors import InvalidRequest, Refusal, RequestTooLarge, UnsupportedMediaType
from gateway.failover import AllFailed, forward
from gateway.holding import Grip, take_hold
from gateway.http import JSON, Exchange, Request, Response
from gateway.lateness import respond_in_time
from gateway.ports import BodyTooLarge, Document, NotJson, Ports
from gateway.reading import read_call
from gateway.records import Attempt
from gateway.routing import Call, read_catalogue, resolve
from gateway.settling import public_attempts, settle, trace

MAX_BODY_BYTES = 20 * 2**20
MAX_IDEMPOTENCY_KEY_CHARS = 255


async def complete(exchange: Exchange, ports: Ports) -> Response:
    """Answer a chat completion, whole or as a stream; raises Refusal."""
    started_at_ms = ports.now_ms()
    key = await authenticate(exchange.request, ports)
    document, size_bytes = await _read(exchange.request)
    call = read_call(
        document,
        size_bytes,
        header=exchange.request.headers.get,
        request_id=exchange.id,
        key=key,
        started_at_ms=started_at_ms,
        idempotency_key=_idempotency_key(exchange.request),
    )
    admit(key, call.models)
    if call.stream:
        return await _begin(call, ports)
    return await _respond(call, await _hold(call, ports), ports, [])


async def _begin(call: Call, ports: Ports) -> Response:
    """A stream that has begun, or is late; raises Refusal."""
    await ports.turnstile.enter(ports.now_ms)
    entered_at_ms = ports.now_ms()
    try:
        grip = await _hold(call, ports)
        attempts: list[Attempt] = []
        work = _respond(call, grip, ports, attempts)
        response = await respond_in_time(
            work, lambda: {**trace(attempts, None), **grip.headers}, ports, request_id=call.request_id
        )
        ports.turnstile.note(ports.now_ms() - entered_at_ms)
        return response
    finally:
        ports.turnstile.leave()


async def _hold(call: Call, ports: Ports) -> Grip:
    return await take_hold(call, resolve(call, await read_catalogue(ports)), ports)


async def _respond(call: Call, grip: Grip, ports: Ports, attempts: list[Attempt]) -> Response:
    """The answer of the first candidate that gives one; raises Refusal. However it ends, the hold is settled: where
    there is no answer, at $0."""
    is_settled = False
    try:
        try:
            committed = await forward(call, grip.candidates, ports, attempts=attempts, max_tokens=grip.max_tokens)
        except AllFailed as failed:
            # Before the refusal: one who repeats the call with its Idempotency-Key must not hear that it still runs.
            await settle(call, FAILED, ports, attempts=attempts, lingers=False)
            is_settled = True
            raise _traced(failed.refusal, attempts) from failed
        response = answer(call, committed, ports)
    except BaseException:  # a fault of ours, or the call is given up
        if not is_settled:
            ports.background(settle(call, FAILED, ports, attempts=attempts))
        raise
    response.headers.update(grip.headers)
    return response


def _traced(refusal: Refusal, attempts: list[Attempt]) -> Refusal:
    refusal.headers.update(trace(attempts, None))
    refusal.metadata["attempts"] = [attempt.to_json() for attempt in public_attempts(attempts)]
    return refusal


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
