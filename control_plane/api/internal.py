"""What the edge calls, signed with the shared secret: settled usage, and a sign of life.

The signature covers the bytes that came, so it is checked before anything is parsed. The nonce is spent in the
transaction that does the work: a call that failed may be signed and sent again, one that worked may not be replayed.
"""

from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from control_plane import heartbeat, nonces, usage_reports
from control_plane.api.dependencies import ServicesDep
from control_plane.api.problems import Problem
from control_plane.booking import Booking
from control_plane.heartbeat import Heartbeat
from control_plane.nonces import NonceReplayed
from control_plane.quarantine import Quarantined
from control_plane.services import Services
from gateway.fields import FieldError, Fields
from gateway.records import UsageRecord
from gateway.signing import SignatureRefused, SignedCall, verify

BODY_MAX_BYTES: Final = 4 * 1024 * 1024

router = APIRouter(prefix="/internal", include_in_schema=False)


@router.post("/usage")
async def take_usage(request: Request, services: ServicesDep) -> Response:
    """Book a batch of usage records. A record of the answer, whatever became of it, need not be sent again."""
    body = await _read_body(request)
    nonce = _verified_nonce(request, body, services)
    batch = _read_batch(body)
    try:
        outcome = await services.intake.take(nonce, batch)
    except NonceReplayed as error:
        raise _signature_refused("the call was made before") from error
    return JSONResponse(_booking_json(outcome))


@router.post("/heartbeat")
async def take_heartbeat(request: Request, services: ServicesDep) -> Response:
    """Note that the edge lives, and which catalogue it has."""
    body = await _read_body(request)
    nonce = _verified_nonce(request, body, services)
    try:
        sign_of_life = Heartbeat.from_fields(Fields.parse(body, "heartbeat"))
    except FieldError as error:
        raise Problem(422, "invalid_request", "The request is not valid", detail=str(error)) from error
    now_ms = services.now_ms()
    async with services.store.begin() as connection:
        try:
            await nonces.spend(connection, nonce, now_ms=now_ms)
        except NonceReplayed as error:
            raise _signature_refused("the call was made before") from error
        await heartbeat.record(connection, sign_of_life, now_ms=now_ms)
    return Response(status_code=204)


async def _read_body(request: Request) -> bytes:
    """The raw bytes, refused as soon as they are too many."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_MAX_BYTES:
            raise Problem(413, "request_too_large", "The body is too large")
    return bytes(body)


def _verified_nonce(request: Request, body: bytes, services: Services) -> str:
    call = SignedCall(method=request.method, path=request.url.path, body=body)
    secret = services.settings.internal_secret.get_secret_value()
    try:
        return verify(call, request.headers, secret=secret, now_s=services.now_ms() // 1000)
    except SignatureRefused as error:
        raise _signature_refused(str(error)) from error


def _signature_refused(detail: str) -> Problem:
    return Problem(401, "signature_refused", "The signature was refused", detail=detail)


def _read_batch(body: bytes) -> list[UsageRecord | Quarantined]:
    try:
        return usage_reports.read(body)
    except FieldError as error:
        raise Problem.invalid("/", str(error)) from error


def _booking_json(outcome: Booking) -> dict[str, object]:
    return {
        "booked": list(outcome.booked),
        "known": list(outcome.known),
        "quarantined": [{"request_id": item.request_id, "reason": item.reason} for item in outcome.quarantined],
    }
