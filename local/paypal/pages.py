"""The page where the buyer approves an order or turns back: a form that works without a script."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from jinja2 import Environment
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from local.paypal.books import Order
from local.paypal.desk import Desk
from local.paypal.errors import Refused
from local.paypal.orders import OPEN_STATUSES
from local.paypal.shapes import MERCHANT_NAME

TEMPLATE = Environment(autoescape=True, trim_blocks=True).from_string(
    (Path(__file__).parent / "checkout.html").read_text()
)
FUNDINGS = {
    "balance": "PayPal balance or card",
    "echeck": "Bank account by eCheck: pending for days",
    "review": "Balance, held for review: pending",
    "card-declined": "A card that its bank declines",
    "pay-later-declined": "Pay Later, which is declined",
    "action-required": "A card that needs one more step here",
    "refused": "A payment that PayPal refuses",
}
SLOW_FUNDINGS = ("echeck",)


def routes(desk: Desk) -> Iterator[Route]:
    yield Route("/checkoutnow", _shown(desk), methods=["GET"])
    yield Route("/checkoutnow", _decided(desk), methods=["POST"])


def _shown(desk: Desk) -> Callable[[Request], Response]:
    def shown(request: Request) -> Response:
        return _page(desk, request.query_params.get("token", ""))

    return shown


def _decided(desk: Desk) -> Callable[[Request], Any]:
    async def decided(request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        order = desk.books.orders.get(form.get("token", ""))
        if order is None or order.status not in OPEN_STATUSES:
            return _page(desk, form.get("token", ""))
        if form.get("action") != "pay":
            return _back_to(order.cancel_url, token=order.id) or _said("You have cancelled the payment.", order)
        funding = form.get("funding", "balance")
        if funding not in _fundings(order):
            return _said("There is no such way to pay.", order, status=400)
        desk.orders.approve(order, funding)
        desk.keeper.changed()
        back = _back_to(order.return_url, token=order.id, PayerID=str(order.payer_id))
        return back or _said("Thank you. You can close this page.", order)

    return decided


def _page(desk: Desk, order_id: str) -> Response:
    try:
        order = desk.books.order(order_id)
    except Refused as refusal:
        return _said("This payment is not known.", status=refusal.status)
    if order.status not in OPEN_STATUSES:
        return _said("This payment is finished.", order)
    return _rendered(order, fundings=_fundings(order))


def _fundings(order: Order) -> dict[str, str]:
    """PayPal hides what takes days from a merchant who wants his money at once."""
    hidden = SLOW_FUNDINGS if order.is_immediate_payment_required else ()
    return {value: name for value, name in FUNDINGS.items() if value not in hidden}


def _said(message: str, order: Order | None = None, *, status: int = 200) -> Response:
    return _rendered(order, message=message, status=status)


def _rendered(order: Order | None, *, status: int = 200, **values: Any) -> Response:
    amount = order.amount.shown() if order else None
    page = TEMPLATE.render(order=order, amount=amount, merchant_name=MERCHANT_NAME, **values)
    return HTMLResponse(page, status, {"cache-control": "no-store"})


def _back_to(url: str | None, **parameters: str) -> Response | None:
    """A redirect to the merchant with these parameters; None where he named no address."""
    if url is None:
        return None
    parts = urlsplit(url)
    query = "&".join(filter(None, (parts.query, urlencode(parameters))))
    return RedirectResponse(urlunsplit(parts._replace(query=query)), 303)
