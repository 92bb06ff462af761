"""POST /internal/wallets/{account}/{operation}: the control plane's signed calls to a Wallet."""

import json
from typing import Any

from gateway.errors import Conflict, InvalidRequest, InvalidSignature, NotFound, RequestTooLarge, ServiceUnavailable
from gateway.fields import FieldError, Fields
from gateway.http import JSON, Exchange, Response
from gateway.ports import BodyTooLarge, PlatformError, Ports
from gateway.signing import SignatureRefused, SignedCall, verify

MAX_BODY_BYTES = 2**20
OPERATIONS = ("grants", "revocations", "state", "replay")


async def call_wallet(exchange: Exchange, ports: Ports) -> Response:
    """Verify the call and hand it to the Wallet, which uses its nonce up in the same step."""
    account_id, _, operation = exchange.rest.partition("/")
    if operation not in OPERATIONS or not account_id:
        raise NotFound(f"There is nothing at {exchange.request.path!r}.")
    body = await _body(exchange)
    nonce = _verify(exchange, body, ports)
    envelope = f'{{"nonce":{json.dumps(nonce)},"body":{_object_text(body)}}}'
    try:
        text = await ports.wallet(account_id, f"signed_{operation}", envelope)
    except PlatformError as error:
        raise ServiceUnavailable("The wallet does not answer right now.") from error
    refused = Fields.parse(text, "wallet reply").values.get("refused")
    if refused is not None:
        raise _refusal(refused)
    return Response(body=text, headers={"content-type": JSON})


async def _body(exchange: Exchange) -> bytes:
    try:
        return await exchange.request.body.read(limit_bytes=MAX_BODY_BYTES)
    except BodyTooLarge as error:
        raise RequestTooLarge(f"The body is longer than {MAX_BODY_BYTES} bytes.") from error


def _verify(exchange: Exchange, body: bytes, ports: Ports) -> str:
    request = exchange.request
    call = SignedCall(method=request.method, path=request.path, body=body)
    try:
        return verify(call, request.headers, secret=ports.internal_secret, now_s=ports.now_ms() // 1000)
    except SignatureRefused as error:
        raise InvalidSignature(f"The internal call was refused: {error}.") from error


def _object_text(body: bytes) -> str:
    """The body's text, one whole JSON object: put into another text, it can neither end nor add anything there."""
    text = body.decode("utf-8", "replace") or "{}"
    try:
        Fields.parse(text, "body")
    except FieldError as error:
        raise InvalidRequest("The body is not a JSON object.") from error
    return text


def _refusal(reason: Any) -> Exception:
    match reason:
        case "nonce_used":
            return InvalidSignature("The internal call was refused: it has been seen before.")
        case "grant_conflict":
            return Conflict("A grant of this id is already there with other content.")
        case _:
            return InvalidRequest(str(reason))
