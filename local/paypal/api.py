"""PayPal's REST calls. Each is named as PayPal's OpenAPI files name it, and faults go by these names too."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx2
from starlette.datastructures import Headers, QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from local.paypal import intake
from local.paypal.books import Event, Refund
from local.paypal.desk import Desk, Made
from local.paypal.errors import Refused, refused
from local.paypal.faults import Fault
from local.paypal.identifiers import debug_id
from local.paypal.memory import ORDERS_KEPT_MS, PAYMENTS_KEPT_MS
from local.paypal.money import Json
from local.paypal.shapes import link

TOKEN_OPERATION = "oauth2.token"  # noqa: S105 (the call's name)
MAX_PAGE_EVENTS = 300
DEFAULT_PAGE_EVENTS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    path: str
    parameters: dict[str, str]
    query: QueryParams
    headers: Headers
    body: bytes

    @classmethod
    async def read(cls, request: Request) -> "Call":
        return cls(
            path=request.url.path,
            parameters=request.path_params,
            query=request.query_params,
            headers=request.headers,
            body=await request.body(),
        )

    @property
    def request_id(self) -> str | None:
        return self.headers.get("paypal-request-id")

    @property
    def wants_representation(self) -> bool:
        return self.headers.get("prefer", "return=minimal") == "return=representation"


Answer = tuple[int, Json]
Handler = Callable[[Desk, Call], Answer]


def issue_token(desk: Desk, call: Call) -> Answer:
    return desk.tokens.issue(call.headers.get("authorization", ""), call.body)


def create_order(desk: Desk, call: Call) -> Answer:
    body, request_id = intake.json_object(call.body), intake.request_id(call.request_id)
    order = intake.order(body, desk.merchant, desk.clock.now_ms())
    if order.has_payment_source and request_id is None:
        raise refused("PAYPAL_REQUEST_ID_REQUIRED")
    order_id, is_new = desk.memory.once(
        "orders.create", request_id, ORDERS_KEPT_MS, lambda: desk.orders.create(order).id
    )
    return _order(desk, call, order_id, is_new=is_new)


def get_order(desk: Desk, call: Call) -> Answer:
    return 200, desk.shapes.order(desk.books.order(call.parameters["id"]))


def capture_order(desk: Desk, call: Call) -> Answer:
    intake.json_object(call.body)
    order_id, is_new = desk.memory.once(
        f"orders.capture {call.parameters['id']}",
        intake.request_id(call.request_id),
        ORDERS_KEPT_MS,
        lambda: desk.orders.capture(call.parameters["id"]).id,
    )
    return _order(desk, call, order_id, is_new=is_new)


def get_capture(desk: Desk, call: Call) -> Answer:
    return 200, desk.shapes.capture(desk.books.capture(call.parameters["id"]))


def refund_capture(desk: Desk, call: Call) -> Answer:
    capture, wanted = desk.books.capture(call.parameters["id"]), intake.refund(intake.json_object(call.body))

    def act() -> str:
        refund: Refund = desk.captures.refund(capture, **wanted)
        return refund.id

    refund_id, _ = desk.memory.once(
        f"captures.refund {capture.id}", intake.request_id(call.request_id), PAYMENTS_KEPT_MS, act
    )
    refund = desk.books.refund(refund_id)
    return 201, desk.shapes.refund(refund) if call.wants_representation else desk.shapes.refund_minimal(refund)


def get_refund(desk: Desk, call: Call) -> Answer:
    return 200, desk.shapes.refund(desk.books.refund(call.parameters["id"]))


def list_disputes(desk: Desk, call: Call) -> Answer:
    capture_id = call.query.get("disputed_transaction_id")
    found = [d for d in desk.books.disputes.values() if capture_id in (None, d.capture_id)]
    links = [link(f"{desk.shapes.base_url}/v1/customer/disputes", "self")]
    items = [desk.shapes.dispute_summary(dispute) for dispute in reversed(found)]
    return 200, ({"items": items} if items else {}) | {"links": links}


def get_dispute(desk: Desk, call: Call) -> Answer:
    return 200, desk.shapes.dispute(desk.books.dispute(call.parameters["id"]))


def verify_signature(desk: Desk, call: Call) -> Answer:
    try:
        is_signed = desk.signer.verifies(call.body)
    except (ValueError, KeyError) as error:
        raise Refused(400) from error
    return 200, {"verification_status": "SUCCESS" if is_signed else "FAILURE"}


def list_events(desk: Desk, call: Call) -> Answer:
    """Newest first."""
    try:
        page_events = min(int(call.query.get("page_size", DEFAULT_PAGE_EVENTS)), MAX_PAGE_EVENTS)
    except ValueError as error:
        raise refused("INVALID_PARAMETER_VALUE", field="page_size") from error
    page = list(_events(desk, call.query))[:page_events]
    links = [link(f"{desk.shapes.base_url}/v1/notifications/webhooks-events", "self")]
    return 200, {"events": [json.loads(event.raw) for event in page], "count": len(page), "links": links}


def get_event(desk: Desk, call: Call) -> Answer:
    return 200, json.loads(desk.books.event(call.parameters["id"]).raw)


def resend_event(desk: Desk, call: Call) -> Answer:
    event = desk.books.event(call.parameters["id"])
    desk.deliveries.resend(event)
    return 202, json.loads(event.raw)


# method, path, name, handler
OPERATIONS: tuple[tuple[str, str, str, Handler], ...] = (
    ("POST", "/v1/oauth2/token", TOKEN_OPERATION, issue_token),
    ("POST", "/v2/checkout/orders", "orders.create", create_order),
    ("GET", "/v2/checkout/orders/{id}", "orders.get", get_order),
    ("POST", "/v2/checkout/orders/{id}/capture", "orders.capture", capture_order),
    ("GET", "/v2/payments/captures/{id}", "captures.get", get_capture),
    ("POST", "/v2/payments/captures/{id}/refund", "captures.refund", refund_capture),
    ("GET", "/v2/payments/refunds/{id}", "refunds.get", get_refund),
    ("GET", "/v1/customer/disputes", "disputes.list", list_disputes),
    ("GET", "/v1/customer/disputes/{id}", "disputes.get", get_dispute),
    ("POST", "/v1/notifications/verify-webhook-signature", "verify-webhook-signature.post", verify_signature),
    ("GET", "/v1/notifications/webhooks-events", "webhooks-events.list", list_events),
    ("GET", "/v1/notifications/webhooks-events/{id}", "webhooks-events.get", get_event),
    ("POST", "/v1/notifications/webhooks-events/{id}/resend", "webhooks-events.resend", resend_event),
)


def routes(desk: Desk) -> Iterator[Route]:
    for method, path, name, handler in OPERATIONS:
        yield Route(path, _endpoint(desk, name, handler), methods=[method], name=name)
    yield Route("/v1/notifications/certs/{id}", _certificate(desk), methods=["GET"])


def _endpoint(desk: Desk, name: str, handler: Handler) -> Callable[[Request], Any]:
    async def answered(request: Request) -> Response:
        call = await Call.read(request)
        fault = desk.faults.take(name)
        status, body = _handled(desk, name, handler, call, fault)
        if fault is not None and fault.answer in ("timeout", "dropped"):
            await _withhold(request, fault)
        desk.calls.append(Made(operation=name, path=call.path, request_id=call.request_id, status=status))
        return JSONResponse(body, status, {"paypal-debug-id": body.get("debug_id") or debug_id()})

    return answered


def _handled(desk: Desk, name: str, handler: Handler, call: Call, fault: Fault | None) -> Answer:
    """What PayPal does, and the answer to it. An outage or a fault may come before the one or the other."""
    try:
        if desk.faults.is_out:
            raise Refused(503)
        if fault is not None and fault.moment == "before":
            raise _failure(fault)
        if name != TOKEN_OPERATION:
            desk.tokens.check(call.headers.get("authorization", ""))
        answer = handler(desk, call)
        desk.keeper.changed()
        if fault is not None:
            raise _failure(fault)
        return answer
    except Refused as refusal:
        return refusal.status, refusal.body


def _failure(fault: Fault) -> Refused:
    if fault.answer.isdecimal():
        return Refused(int(fault.answer))
    if fault.answer in ("timeout", "dropped"):
        return Refused(500)  # nobody will see it
    return refused(fault.answer)


async def _withhold(request: Request, fault: Fault) -> None:
    """Gives no answer: returns once the connection is gone.

    Where there is no connection, because the caller has this application in its own process, it raises what a client
    makes of one.
    """
    transport = request.scope.get("state", {}).get("transport")
    if transport is None:
        raise httpx2.ReadTimeout("no answer") if fault.answer == "timeout" else httpx2.ReadError("dropped")
    if fault.answer == "dropped":
        transport.close()
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _order(desk: Desk, call: Call, order_id: str, *, is_new: bool) -> Answer:
    """201 for what was done now, 200 for what an earlier request with this id had done."""
    order = desk.books.order(order_id)
    body = desk.shapes.order(order) if call.wants_representation else desk.shapes.order_minimal(order)
    return (201 if is_new else 200), body


def _events(desk: Desk, query: QueryParams) -> Iterator[Event]:
    first_ms, last_ms = _time_ms(query, "start_time"), _time_ms(query, "end_time")
    for event in reversed(desk.books.events.values()):
        if (
            query.get("event_type") in (None, event.event_type)
            and query.get("transaction_id") in (None, event.transaction_id)
            and (first_ms is None or first_ms <= event.created_ms)
            and (last_ms is None or event.created_ms <= last_ms)
        ):
            yield event


def _time_ms(query: QueryParams, name: str) -> int | None:
    if name not in query:
        return None
    try:
        return int(datetime.fromisoformat(query[name]).timestamp() * 1000)
    except ValueError as error:
        raise refused("INVALID_PARAMETER_SYNTAX", field=name) from error


def _certificate(desk: Desk) -> Callable[[Request], Response]:
    def served(request: Request) -> Response:
        signing = desk.signer.signing
        if request.path_params["id"] != signing.certificate_id:
            return PlainTextResponse("", 404)
        return Response(signing.chain_pem, media_type="application/x-pem-file")

    return served
