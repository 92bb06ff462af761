"""An order is made, approved by the buyer and captured once."""

from decimal import Decimal

import pytest

from tests.contract.paypal.world import World, capture_in, order_request


async def test_an_order_goes_from_made_to_approved_to_captured(world: World) -> None:
    order = await world.create("20.00", invoice_id="invoice-1")
    assert order["status"] == "PAYER_ACTION_REQUIRED"

    await world.simulate("POST", f"/orders/{order['id']}/approve")
    assert (await world.get(f"/v2/checkout/orders/{order['id']}"))["status"] == "APPROVED"

    answer = await world.call("POST", f"/v2/checkout/orders/{order['id']}/capture", {})
    assert (answer.status_code, answer.json()["status"]) == (201, "COMPLETED")
    capture = capture_in(answer.json())
    assert (capture["status"], capture["amount"]) == ("COMPLETED", {"currency_code": "USD", "value": "20.00"})
    read = await world.get(f"/v2/payments/captures/{capture['id']}")
    assert read["supplementary_data"]["related_ids"]["order_id"] == order["id"]
    assert read["payee"]["merchant_id"] == world.desk.merchant.merchant_id
    assert (read["custom_id"], read["invoice_id"]) == ("topup_1", "invoice-1")


@pytest.mark.parametrize(("gross", "fee"), [("1.00", "0.52"), ("5.00", "0.66"), ("10.00", "0.84"), ("100.00", "3.98")])
async def test_the_fee_is_a_share_and_a_fixed_part(world: World, gross: str, fee: str) -> None:
    capture = await world.captured(value=gross)

    breakdown = capture["seller_receivable_breakdown"]
    assert breakdown["paypal_fee"]["value"] == fee
    assert Decimal(breakdown["net_amount"]["value"]) == Decimal(gross) - Decimal(fee)


async def test_without_a_payment_source_the_buyer_is_led_by_another_link(world: World) -> None:
    body = order_request()
    del body["payment_source"]

    order = (await world.call("POST", "/v2/checkout/orders", body)).json()

    assert order["status"] == "CREATED"
    assert [link["rel"] for link in order["links"]] == ["self", "approve", "capture"]


async def test_a_minimal_answer_has_id_status_and_links(world: World) -> None:
    answer = await world.call("POST", "/v2/checkout/orders", order_request(), request_id="1", minimal=True)

    assert set(answer.json()) == {"id", "status", "payment_source", "links"}


async def test_a_minimal_answer_to_a_capture_shows_the_capture(world: World) -> None:
    order_id = await world.approved()

    answer = await world.call("POST", f"/v2/checkout/orders/{order_id}/capture", {}, minimal=True)

    assert capture_in(answer.json())["status"] == "COMPLETED"
    assert "amount" not in answer.json()["purchase_units"][0]


async def test_a_payee_that_is_named_is_paid(world: World) -> None:
    capture = await world.captured(payee={"merchant_id": "ABCDEFGHJKLMN"})

    read = await world.get(f"/v2/payments/captures/{capture['id']}")
    assert read["payee"]["merchant_id"] == "ABCDEFGHJKLMN"


@pytest.mark.parametrize(("funding", "reason"), [("echeck", "ECHECK"), ("review", "PENDING_REVIEW")])
async def test_a_slow_payment_completes_the_order_while_its_capture_is_pending(
    world: World, funding: str, reason: str
) -> None:
    order_id = await world.approved(funding)

    order = (await world.call("POST", f"/v2/checkout/orders/{order_id}/capture", {})).json()

    assert order["status"] == "COMPLETED"
    assert capture_in(order)["status"] == "PENDING"
    assert capture_in(order)["status_details"] == {"reason": reason}
    assert "seller_receivable_breakdown" not in capture_in(order)


async def test_after_a_decline_the_buyer_can_pay_in_another_way(world: World) -> None:
    order_id = await world.approved("card-declined")
    declined = await world.call("POST", f"/v2/checkout/orders/{order_id}/capture", {}, request_id="capture")
    assert declined.status_code == 422

    await world.simulate("POST", f"/orders/{order_id}/approve", {"funding": "balance"})
    answer = await world.call("POST", f"/v2/checkout/orders/{order_id}/capture", {}, request_id="capture")

    assert capture_in(answer.json())["status"] == "COMPLETED"


async def test_an_approval_that_lapses_voids_the_order(world: World) -> None:
    order_id = await world.approved()

    await world.simulate("POST", f"/orders/{order_id}/lapse")

    assert (await world.get(f"/v2/checkout/orders/{order_id}"))["status"] == "VOIDED"
    assert (await world.delivered())[-1]["event_type"] == "CHECKOUT.PAYMENT-APPROVAL.REVERSED"
