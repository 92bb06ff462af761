"""The buyer approves an order on a page with a form, and comes back to the merchant."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from tests.contract.paypal.world import Json, Page, World, order_request


async def submit(world: World, page: Page, button: str, **fields: str) -> httpx2.Response:
    assert page.action is not None
    form = page.fields | {"action": page.buttons[button]} | fields
    return await world.http.post(page.action, data=form)


async def status_of(world: World, order: Json) -> Any:
    return (await world.get(f"/v2/checkout/orders/{order['id']}"))["status"]


async def test_the_page_shows_merchant_amount_and_what_is_bought(world: World) -> None:
    page = await world.page(await world.create("20.00"))

    for text in ("Acme & Sons", "20.00 USD", "Prepaid credit", "This is a simulator. No money moves."):
        assert text in page.text
    assert list(page.buttons) == ["Pay now", "Cancel"]


async def test_to_pay_approves_and_leads_back_with_order_and_payer(world: World) -> None:
    order = await world.create()

    answer = await submit(world, await world.page(order), "Pay now")

    target = urlsplit(answer.headers["location"])
    query = parse_qs(target.query)
    assert (answer.status_code, target.hostname, target.path) == (303, "merchant.test", "/back")
    assert (query["top_up"], query["token"]) == (["1"], [order["id"]])
    read = await world.get(f"/v2/checkout/orders/{order['id']}")
    assert (read["status"], [read["payer"]["payer_id"]]) == ("APPROVED", query["PayerID"])
    assert [event["event_type"] for event in await world.delivered()] == ["CHECKOUT.ORDER.APPROVED"]


async def test_to_cancel_leads_back_and_leaves_the_order_as_it_was(world: World) -> None:
    order = await world.create()

    answer = await submit(world, await world.page(order), "Cancel")

    assert answer.headers["location"] == f"http://merchant.test/cancelled?token={order['id']}"
    assert await status_of(world, order) == "PAYER_ACTION_REQUIRED"
    assert await world.delivered() == []


async def test_the_choice_of_funding_decides_the_capture(world: World) -> None:
    order = await world.create()

    await submit(world, await world.page(order), "Pay now", funding="pay-later-declined")

    answer = await world.call("POST", f"/v2/checkout/orders/{order['id']}/capture", {})
    assert answer.json()["details"][0]["issue"] == "INSTRUMENT_DECLINED"
    assert "Pay now" in (await world.page(order)).buttons


async def test_a_merchant_who_wants_his_money_at_once_gets_no_echeck(world: World) -> None:
    body = order_request()
    context = body["payment_source"]["paypal"]["experience_context"]
    context["payment_method_preference"] = "IMMEDIATE_PAYMENT_REQUIRED"
    order = (await world.call("POST", "/v2/checkout/orders", body, request_id="1")).json()
    page = await world.page(order)

    answer = await submit(world, page, "Pay now", funding="echeck")

    assert "echeck" not in page.fundings
    assert "echeck" in (await world.page(await world.create(request_id="2"))).fundings
    assert (answer.status_code, await status_of(world, order)) == (400, "PAYER_ACTION_REQUIRED")


async def test_a_paid_order_has_no_form(world: World) -> None:
    order = await world.create()
    page = await world.page(order)
    await submit(world, page, "Pay now")
    await world.call("POST", f"/v2/checkout/orders/{order['id']}/capture", {})

    answer = await submit(world, page, "Pay now")

    assert "This payment is finished." in answer.text
    assert Page.read(answer.text).action is None


async def test_an_unknown_order_has_no_form(world: World) -> None:
    answer = await world.http.get("/checkoutnow?token=UNKNOWN")

    assert (answer.status_code, Page.read(answer.text).action) == (404, None)


@pytest.mark.parametrize("button", ["Pay now", "Cancel"])
async def test_without_addresses_the_page_says_how_it_ended(world: World, button: str) -> None:
    body = order_request()
    del body["payment_source"]
    order = (await world.call("POST", "/v2/checkout/orders", body)).json()

    answer = await submit(world, await world.page(order), button)

    assert answer.status_code == 200
    assert Page.read(answer.text).action is None


async def test_what_the_merchant_writes_is_shown_as_text(world: World) -> None:
    order = await world.create(description="<script>alert(1)</script>")

    page = (await world.http.get(f"/checkoutnow?token={order['id']}")).text

    assert "<script>" not in page
