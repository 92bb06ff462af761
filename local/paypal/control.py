"""The control: what PayPal, the buyer and his bank do that the API cannot ask for. Bodies and answers are JSON.

Buyers and money
    POST /simulator/orders/{id}/approve       {funding?}             as on the page; fundings are named in orders.py
    POST /simulator/orders/{id}/lapse                                the approval ends uncaptured, the order is VOIDED
    POST /simulator/orders/{id}/alter         {currency_code?, value?, payee_merchant_id?, custom_id?, invoice_id?}
                                              what is captured is not what the merchant asked for
    POST /simulator/next-capture              {status?, reason?} or {issue}
                                              the next capture is PENDING or DECLINED, or is refused with that issue
    POST /simulator/captures/{id}/settle                             a pending one is COMPLETED
    POST /simulator/captures/{id}/deny        {event_type?}          a pending one is DECLINED
    POST /simulator/captures/{id}/refund      {value?, note?}        by the merchant, in PayPal's dashboard
    POST /simulator/captures/{id}/reverse     {value?}               by PayPal or the bank
    POST /simulator/captures/{id}/dispute     {value?, reason?, stage?}
    POST /simulator/disputes/{id}/update      {status?, stage?}
    POST /simulator/disputes/{id}/resolve     {outcome, reverses?}   an outcome code, or seller or buyer. What the buyer
                                              wins is also reversed, as at PayPal, unless ``reverses`` is false
    GET  /simulator                                                  all that is in the books

Webhooks
    GET  /simulator/deliveries?event_type=&event_id=                 each with its attempts and their answers
    PUT  /simulator/deliveries                {hold?, copies?, delay_s?, at_once?}    from now on; see deliveries.py
    POST /simulator/deliveries/release        {order?: made | reversed, event_types?} lets held ones go
    POST /simulator/deliveries/hurry                                 what is delayed or to be tried again is due now
    POST /simulator/deliveries/drain                                 answers when nothing is due
    POST /simulator/events/{id}/repeat        {times?}               the same transmission once more
    POST /simulator/events                    {event_type, resource_type, resource, transaction_id?, summary?}
                                              any event, well signed, whatever it says

Trouble and time
    PUT  /simulator/outage                    {on}                   every call of the API is answered 503
    POST /simulator/faults                    {operation, answer, moment?, times?}    see faults.py
    DELETE /simulator/faults
    DELETE /simulator/tokens                                         every OAuth token is invalid at once
    GET  /simulator/calls?operation=                                 the calls that came, with their request ids
    GET  /simulator/clock
    POST /simulator/clock                     {advance_s}            moves on; what is due then is delivered now. To a
                                              merchant whose clock did not move, what is signed then is of the future
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.paypal.books import Capture, Delivery
from local.paypal.clock import shown, shown_with_ms
from local.paypal.deliveries import Policy
from local.paypal.desk import Desk
from local.paypal.errors import Refused
from local.paypal.faults import Fault
from local.paypal.instructions import (
    Advance,
    Alteration,
    AnyEvent,
    Approval,
    Body,
    Complaint,
    Denial,
    NextCapture,
    Outage,
    PayBack,
    Progress,
    Release,
    Repetition,
    Resolution,
)
from local.paypal.money import Json, Money
from local.paypal.orders import Outcome

OUTCOMES = {"seller": "RESOLVED_SELLER_FAVOUR", "buyer": "RESOLVED_BUYER_FAVOUR"}

Act = Callable[[Desk, dict[str, str], Any], Any]


def approve(desk: Desk, path: dict[str, str], body: Approval) -> Json:
    order = desk.books.order(path["id"])
    desk.orders.approve(order, body.funding)
    return desk.shapes.order(order)


def lapse(desk: Desk, path: dict[str, str], _: Body) -> Json:
    order = desk.books.order(path["id"])
    desk.orders.lapse(order)
    return desk.shapes.order(order)


def alter(desk: Desk, path: dict[str, str], body: Alteration) -> Json:
    order = desk.books.order(path["id"])
    order.amount = Money(
        currency_code=body.currency_code or order.amount.currency_code, value=body.value or order.amount.value
    )
    for name, value in body.model_dump(exclude={"currency_code", "value"}, exclude_none=True).items():
        setattr(order, name, value)
    return desk.shapes.order(order)


def plan_capture(desk: Desk, _: dict[str, str], body: NextCapture) -> None:
    reason = (body.reason or "OTHER") if body.status == "PENDING" else None
    desk.orders.next_outcomes.append(Outcome(status=body.status, reason=reason, issue=body.issue))


def settle(desk: Desk, path: dict[str, str], _: Body) -> Json:
    capture = desk.books.capture(path["id"])
    desk.captures.settle(capture)
    return desk.shapes.capture(capture)


def deny(desk: Desk, path: dict[str, str], body: Denial) -> Json:
    capture = desk.books.capture(path["id"])
    desk.captures.deny(capture, body.event_type)
    return desk.shapes.capture(capture)


def refund(desk: Desk, path: dict[str, str], body: PayBack) -> Json:
    capture = desk.books.capture(path["id"])
    return desk.shapes.refund(desk.captures.refund(capture, _part(capture, body.value), note=body.note))


def reverse(desk: Desk, path: dict[str, str], body: PayBack) -> Json:
    capture = desk.books.capture(path["id"])
    return desk.shapes.refund(desk.captures.reverse(capture, _part(capture, body.value)))


def dispute(desk: Desk, path: dict[str, str], body: Complaint) -> Json:
    capture = desk.books.capture(path["id"])
    opened = desk.captures.open_dispute(capture, _part(capture, body.value), body.reason, body.stage)
    return desk.shapes.dispute(opened)


def update_dispute(desk: Desk, path: dict[str, str], body: Progress) -> Json:
    found = desk.books.dispute(path["id"])
    desk.captures.update_dispute(found, body.status, body.stage)
    return desk.shapes.dispute(found)


def resolve_dispute(desk: Desk, path: dict[str, str], body: Resolution) -> Json:
    found = desk.books.dispute(path["id"])
    desk.captures.resolve_dispute(found, OUTCOMES.get(body.outcome, body.outcome), reverses=body.reverses)
    return desk.shapes.dispute(found)


def show_books(desk: Desk, _: dict[str, str], __: Body) -> Json:
    books, shapes = desk.books, desk.shapes
    return {
        "orders": [shapes.order(order) for order in books.orders.values()],
        "captures": [shapes.capture(capture) for capture in books.captures.values()],
        "refunds": [shapes.refund(refund) for refund in books.refunds.values()],
        "disputes": [shapes.dispute(dispute) for dispute in books.disputes.values()],
        "events": [{"id": event.id, "event_type": event.event_type} for event in books.events.values()],
    }


def set_policy(desk: Desk, _: dict[str, str], body: Policy) -> Json:
    desk.deliveries.policy = body
    return body.model_dump()


def release(desk: Desk, _: dict[str, str], body: Release) -> Json:
    return {"released": desk.deliveries.release(body.order, body.event_types)}


def hurry(desk: Desk, _: dict[str, str], __: Body) -> None:
    desk.deliveries.hurry()


async def drain(desk: Desk, _: dict[str, str], __: Body) -> Json:
    await desk.deliveries.drained()
    return show_deliveries(desk, {}, __)


def show_deliveries(desk: Desk, query: dict[str, str], _: Body) -> Json:
    shown_ones = (_delivery(desk, delivery) for delivery in desk.books.deliveries)
    wanted = {name: query[name] for name in ("event_type", "event_id") if name in query}
    return {"deliveries": [one for one in shown_ones if wanted.items() <= one.items()]}


def repeat(desk: Desk, path: dict[str, str], body: Repetition) -> None:
    desk.deliveries.repeat(desk.books.event(path["id"]), body.times)


def emit(desk: Desk, _: dict[str, str], body: AnyEvent) -> Json:
    event = desk.events.emit(
        body.event_type,
        body.resource_type,
        body.resource,
        transaction_id=body.transaction_id,
        summary=body.summary,
    )
    return {"id": event.id}


def set_outage(desk: Desk, _: dict[str, str], body: Outage) -> None:
    desk.faults.is_out = body.on


def add_fault(desk: Desk, _: dict[str, str], body: Fault) -> None:
    desk.faults.add(body)


def clear_faults(desk: Desk, _: dict[str, str], __: Body) -> None:
    desk.faults.clear()


def revoke_tokens(desk: Desk, _: dict[str, str], __: Body) -> None:
    desk.tokens.revoke()


def show_calls(desk: Desk, query: dict[str, str], _: Body) -> Json:
    operation = query.get("operation")
    return {"calls": [asdict(call) for call in desk.calls if operation in (None, call.operation)]}


def show_clock(desk: Desk, _: dict[str, str], __: Body) -> Json:
    return {"now": shown_with_ms(desk.clock.now_ms())}


def advance_clock(desk: Desk, _: dict[str, str], body: Advance) -> Json:
    desk.clock.advance(round(body.advance_s * 1000))
    return show_clock(desk, {}, body)


ACTS: tuple[tuple[str, str, type[BaseModel], Act], ...] = (
    ("GET", "", Body, show_books),
    ("POST", "/orders/{id}/approve", Approval, approve),
    ("POST", "/orders/{id}/lapse", Body, lapse),
    ("POST", "/orders/{id}/alter", Alteration, alter),
    ("POST", "/next-capture", NextCapture, plan_capture),
    ("POST", "/captures/{id}/settle", Body, settle),
    ("POST", "/captures/{id}/deny", Denial, deny),
    ("POST", "/captures/{id}/refund", PayBack, refund),
    ("POST", "/captures/{id}/reverse", PayBack, reverse),
    ("POST", "/captures/{id}/dispute", Complaint, dispute),
    ("POST", "/disputes/{id}/update", Progress, update_dispute),
    ("POST", "/disputes/{id}/resolve", Resolution, resolve_dispute),
    ("GET", "/deliveries", Body, show_deliveries),
    ("PUT", "/deliveries", Policy, set_policy),
    ("POST", "/deliveries/release", Release, release),
    ("POST", "/deliveries/hurry", Body, hurry),
    ("POST", "/deliveries/drain", Body, drain),
    ("POST", "/events", AnyEvent, emit),
    ("POST", "/events/{id}/repeat", Repetition, repeat),
    ("PUT", "/outage", Outage, set_outage),
    ("POST", "/faults", Fault, add_fault),
    ("DELETE", "/faults", Body, clear_faults),
    ("DELETE", "/tokens", Body, revoke_tokens),
    ("GET", "/calls", Body, show_calls),
    ("GET", "/clock", Body, show_clock),
    ("POST", "/clock", Advance, advance_clock),
)


def routes(desk: Desk) -> Iterator[Route]:
    for method, path, body, act in ACTS:
        yield Route(f"/simulator{path}", _endpoint(desk, body, act), methods=[method])


def _endpoint(desk: Desk, model: type[BaseModel], act: Act) -> Callable[[Request], Any]:
    """Path and query parameters and the body come in; what it answers goes out, or 204."""

    async def answered(request: Request) -> Response:
        try:
            body = model.model_validate_json(await request.body() or b"{}")
            answer = act(desk, dict(request.query_params) | request.path_params, body)
            if isinstance(answer, Awaitable):
                answer = await answer
        except ValidationError as error:
            return JSONResponse({"problems": error.errors(include_url=False, include_context=False)}, 422)
        except Refused as refusal:
            return JSONResponse(refusal.body, refusal.status)
        finally:
            desk.keeper.changed()
        return Response(status_code=204) if answer is None else JSONResponse(answer)

    return answered


def _part(capture: Capture, value: Decimal | None) -> Money | None:
    return None if value is None else capture.amount.of(value)


def _delivery(desk: Desk, delivery: Delivery) -> Json:
    return {
        "event_id": delivery.event_id,
        "event_type": desk.books.events[delivery.event_id].event_type,
        "transmission_id": delivery.headers["paypal-transmission-id"],
        "state": delivery.state,
        "due": shown(delivery.due_ms),
        "attempts": [asdict(attempt) for attempt in delivery.attempts],
    }
