"""Top-ups: the customer's routes, the operator's, and where the payer's browser comes back to."""

from html import escape
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from control_plane import refunds, topups
from control_plane.api import operations
from control_plane.api.bodies import NewDisputeFee, NewRefund, NewTopUp
from control_plane.api.dependencies import OwnAccountId, PageDep, ServicesDep, require_admin
from control_plane.api.problems import RESPONSES
from control_plane.api.schemas import PageOut
from control_plane.api.topup_schemas import AdminTopUpOut, DisputeFeeOut, ReturnedListOut, ReturnedOut, TopUpOut
from control_plane.identifiers import RANDOM_BYTES, make_id
from control_plane.payment_provider import ProviderUnavailable, TopUp
from control_plane.services import Services
from gateway.money import format_usd

account_router = APIRouter(prefix="/account/v1/topups", tags=["account"], responses=RESPONSES)
admin_router = APIRouter(
    prefix="/admin/v1/topups", tags=["admin"], dependencies=[Depends(require_admin)], responses=RESPONSES
)
payer_router = APIRouter(prefix="/topups", include_in_schema=False)

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<body style="font: 1.1rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 15vh auto; padding: 0 1rem">
<h1>{title}</h1>
<p id="state" data-state="{state}">{text}</p>
{link}
</body>
</html>
"""


@account_router.post("", status_code=201, summary="Begin a top-up")
async def create_topup(body: NewTopUp, account_id: OwnAccountId, services: ServicesDep) -> TopUpOut:
    """Pay `amount_usd` at `approve_url`, and `credited_usd` is credited: both are fixed, or estimated, here."""
    topup_id = make_id("topup", services.randomness(RANDOM_BYTES))
    topup = await services.cashier.start(account_id, body.amount_usd, topup_id=topup_id, provider=body.provider)
    return TopUpOut(**TopUpOut.fields_of(topup))


@account_router.get("", summary="List the top-ups, newest first")
async def list_own_topups(page_request: PageDep, account_id: OwnAccountId, services: ServicesDep) -> PageOut[TopUpOut]:
    async with services.store.read() as connection:
        page = await topups.page(connection, page_request, account_id=account_id)
    items = [TopUpOut(**TopUpOut.fields_of(topup)) for topup in page.items]
    return PageOut(items=items, next_cursor=page.next_cursor)


@account_router.get("/{topup_id}", summary="Read a top-up")
async def read_own_topup(topup_id: str, account_id: OwnAccountId, services: ServicesDep) -> TopUpOut:
    """While it is not paid the provider is asked again, every few seconds at most."""
    topup = await services.cashier.glance(topup_id, owner=account_id)
    return TopUpOut(**TopUpOut.fields_of(topup))


@admin_router.get("", summary="List top-ups, newest first")
async def list_topups(
    page_request: PageDep, services: ServicesDep, account_id: Annotated[str | None, Query(max_length=64)] = None
) -> PageOut[AdminTopUpOut]:
    async with services.store.read() as connection:
        page = await topups.page(connection, page_request, account_id=account_id)
    return PageOut(items=[_for_admin(topup) for topup in page.items], next_cursor=page.next_cursor)


@admin_router.get("/{topup_id}", summary="Read a top-up")
async def read_topup(topup_id: str, services: ServicesDep) -> AdminTopUpOut:
    async with services.store.read() as connection:
        return _for_admin(await topups.get(connection, topup_id))


@admin_router.post("/{topup_id}/refresh", summary="Ask the provider again")
async def refresh_topup(topup_id: str, services: ServicesDep) -> AdminTopUpOut:
    """Whatever became of the payment is booked, once."""
    return _for_admin(await services.cashier.look(topup_id))


@admin_router.post("/{topup_id}/refund", summary="Give a top-up back")
async def refund_topup(topup_id: str, services: ServicesDep, body: NewRefund | None = None) -> AdminTopUpOut:
    """All of it, or an amount in whole cents: not more than is left of the account's own money. Trial credit is
    never paid out. With a `reference` it is safe to ask again after an answer that was lost or unclear."""
    wanted = body or NewRefund()
    topup = await services.cashier.refund(topup_id, wanted.amount_usd, reference=wanted.reference)
    await operations.delivered_about(services, [topup.account_id])
    return _for_admin(topup)


@account_router.get("/{topup_id}/refunds", summary="List what went back of a top-up, oldest first")
async def list_refunds(topup_id: str, account_id: OwnAccountId, services: ServicesDep) -> ReturnedListOut:
    """Refunds, and what the provider or the payer's bank took back."""
    async with services.store.read() as connection:
        topup = await topups.get(connection, topup_id, owner=account_id)
        found = await refunds.of_topup(connection, topup)
    return ReturnedListOut(items=[ReturnedOut.model_validate(returned) for returned in found])


@admin_router.post("/{topup_id}/dispute-fees", summary="Book what a dispute cost")
async def book_dispute_fee(topup_id: str, body: NewDisputeFee, services: ServicesDep) -> DisputeFeeOut:
    """No call of the provider tells it, so its statement is copied here, once for each dispute. The customer does not
    bear it. The same amount again changes nothing; another one is 409."""
    async with services.store.begin() as connection:
        transfer_id = await topups.book_dispute_fee(
            connection, topup_id, body.dispute_id, body.amount_usd, now_ms=services.now_ms()
        )
    return DisputeFeeOut(transfer_id=transfer_id)


@payer_router.get("/{topup_id}/return")
async def return_from_provider(topup_id: str, services: ServicesDep) -> Response:
    """The payer has approved: take the money, and show what became of it."""
    try:
        topup = await services.cashier.look(topup_id, reason="approved")
    except ProviderUnavailable:
        # The sweep goes on with it.
        return _page("Thank you", "The payment is being processed. The balance will rise by itself.", state="unknown")
    await operations.delivered_about(services, [topup.account_id])
    return _to_portal(services, topup) or _page_about(topup)


@payer_router.get("/{topup_id}/cancel")
async def cancel_at_provider(topup_id: str, services: ServicesDep) -> Response:
    """The payer has changed his mind. Nothing was taken, and the same link can still be paid."""
    async with services.store.read() as connection:
        topup = await topups.get(connection, topup_id)
    return _to_portal(services, topup) or _page_about(topup)


def _for_admin(topup: TopUp) -> AdminTopUpOut:
    return AdminTopUpOut(**AdminTopUpOut.fields_of(topup))


def _to_portal(services: Services, topup: TopUp) -> Response | None:
    portal = services.settings.portal_url
    if portal is None:
        return None
    return RedirectResponse(f"{str(portal).rstrip('/')}?topup={topup.id}", status_code=303)


def _page_about(topup: TopUp) -> Response:
    amount = format_usd(topup.credited_nano_usd)
    if topup.is_settled:
        return _page("Thank you", f"{amount} USD has been credited.", state=topup.state)
    if topup.state in ("pending", "approved"):
        return _page("Thank you", f"{amount} USD will be credited when the payment is through.", state=topup.state)
    title = "Not paid" if topup.state != "declined" else "Declined"
    text = "Nothing was charged." if topup.state != "declined" else "The payment was declined, and nothing was charged."
    return _page(title, text, state=topup.state, pay_at=topup.pay_url)


def _page(title: str, text: str, *, state: str, pay_at: str | None = None) -> Response:
    link = "" if pay_at is None else f'<p><a id="pay" href="{escape(pay_at)}">Pay</a></p>'
    return HTMLResponse(PAGE.format(title=escape(title), text=escape(text), state=escape(state), link=link))
