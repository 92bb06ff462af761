"""The life of a top-up, over HTTP, with PayPal behind it: what comes in credits once, and what goes back debits."""

from pathlib import Path

import pytest

from gateway.records import Grant
from local.paypal.orders import Outcome
from tests.contract.control_plane.paypal_world import (
    HOUR_MS,
    PayPalWorld,
    body_of,
    nano,
    paypal_running,
)
from tests.contract.control_plane.world import ADMIN_TOKEN, World, assert_problem, client_of, read


async def test_a_payment_is_credited_when_the_payer_comes_back(paypal: PayPalWorld) -> None:
    topup = await paypal.start("1.00")
    paypal.approve(topup)
    page = await paypal.come_back(topup)

    capture = paypal.capture(topup)
    assert (topup["state"], topup["approve_url"]) == ("created", paypal.desk.shapes.approval_url(paypal.order(topup)))
    assert 'data-state="captured"' in page.text
    assert await paypal.balance() == "1.00"
    assert await paypal.wallet() == [
        Grant(id=f"paypal:capture:{capture.id}", kind="top_up", amount_nano_usd=nano("1.00"))
    ]


async def test_a_payment_is_credited_by_webhooks_alone_when_the_browser_dies(paypal: PayPalWorld) -> None:
    topup = await paypal.start()
    paypal.approve(topup)

    answer = await paypal.deliver(paypal.event("CHECKOUT.ORDER.APPROVED"))

    assert answer.json() == {"outcome": "done"}
    assert (await paypal.shown(topup))["state"] == "captured"
    assert await paypal.balance() == "10.00"


async def test_the_order_asks_for_immediate_payment_a_card_form_and_our_reference(paypal: PayPalWorld) -> None:
    topup = await paypal.start("12.50")

    [call] = paypal.wire.made("POST", "/v2/checkout/orders")
    body = body_of(call)
    [unit] = body["purchase_units"]
    context = body["payment_source"]["paypal"]["experience_context"]
    assert call.headers["paypal-request-id"] == f"{topup['id']}:create"
    assert unit["custom_id"] == unit["invoice_id"] == topup["id"]
    assert unit["amount"] == {"currency_code": "USD", "value": "12.50"}
    assert context["payment_method_preference"] == "IMMEDIATE_PAYMENT_REQUIRED"
    assert (context["user_action"], context["shipping_preference"]) == ("PAY_NOW", "NO_SHIPPING")
    assert (context["landing_page"], context["brand_name"]) == ("GUEST_CHECKOUT", "haotokai")
    assert context["return_url"].endswith(f"/topups/{topup['id']}/return")
    assert context["cancel_url"].endswith(f"/topups/{topup['id']}/cancel")


async def test_paypals_own_fee_is_booked_and_the_customer_does_not_bear_it(paypal: PayPalWorld) -> None:
    topup = await paypal.paid("100.00")

    assert (topup["fee_usd"], topup["credited_usd"], topup["fee_is_estimate"]) == ("0.00", "100.00", False)
    assert await paypal.books() == {
        f"liability:account:{paypal.account_id}": "100.00",
        "external:paypal": "-96.02",
        "fee:paypal": "-3.98",
    }


async def test_a_deducted_fee_is_estimated_before_the_payment_and_exact_after_it(tmp_path: Path) -> None:
    async with paypal_running(tmp_path, top_up_fee_policy="deduct") as paypal:
        before = await paypal.start("100.00")
        paypal.approve(before)
        await paypal.come_back(before)
        after = await paypal.shown(before)

        assert (before["fee_usd"], before["credited_usd"], before["fee_is_estimate"]) == ("3.98", "96.02", True)
        assert (after["fee_usd"], after["credited_usd"], after["fee_is_estimate"]) == ("3.98", "96.02", False)
        assert await paypal.balance() == "96.02"
        assert await paypal.books() == {
            f"liability:account:{paypal.account_id}": "96.02",
            "external:paypal": "-96.02",
            "fee:paypal": "-3.98",
            "revenue:top_up_fees": "3.98",
        }


async def test_a_uniform_fee_is_shown_before_the_payment_and_kept(tmp_path: Path) -> None:
    async with paypal_running(tmp_path, top_up_fee_policy="uniform_fee", top_up_uniform_fee_usd="0.50") as paypal:
        topup = await paypal.paid("10.00")

        assert (topup["amount_usd"], topup["fee_usd"], topup["credited_usd"]) == ("10.00", "0.50", "9.50")
        assert await paypal.balance() == "9.50"


@pytest.mark.parametrize("amount", ["0.99", "1000.01", "1.005"])
async def test_an_amount_out_of_range_or_with_parts_of_a_cent_is_refused(paypal: PayPalWorld, amount: str) -> None:
    answer = await paypal.customer.post("/account/v1/topups", json={"amount_usd": amount})

    assert_problem(answer, 422, "invalid_request", pointer="/amount_usd")
    assert paypal.desk.books.orders == {}


@pytest.mark.parametrize("amount", ["1.00", "1000.00"])
async def test_the_least_and_the_most_can_be_paid(paypal: PayPalWorld, amount: str) -> None:
    assert (await paypal.start(amount))["amount_usd"] == amount


async def test_a_suspended_account_cannot_pay_in(paypal: PayPalWorld) -> None:
    await paypal.world.admin.patch(f"/admin/v1/accounts/{paypal.account_id}", json={"state": "suspended"})

    answer = await paypal.customer.post("/account/v1/topups", json={"amount_usd": "1.00"})

    assert_problem(answer, 409, "account_suspended")


async def test_an_account_may_leave_only_so_many_top_ups_unpaid(paypal: PayPalWorld) -> None:
    for _ in range(20):
        await paypal.start()
    refused = await paypal.customer.post("/account/v1/topups", json={"amount_usd": "1.00"})
    paypal.world.clock.now_ms += HOUR_MS + 1
    taken = await paypal.customer.post("/account/v1/topups", json={"amount_usd": "1.00"})

    assert_problem(refused, 429, "too_many_topups")
    assert taken.status_code == 201


async def test_a_top_up_of_another_account_does_not_exist_for_a_customer(paypal: PayPalWorld) -> None:
    topup = await paypal.start()
    other = await paypal.world.customer(await paypal.world.open_account("other@example.com"))

    assert_problem(await other.get(f"/account/v1/topups/{topup['id']}"), 404, "topup_not_found")
    assert (await read(other, "/account/v1/topups"))["items"] == []
    assert [item["id"] for item in (await read(paypal.customer, "/account/v1/topups"))["items"]] == [topup["id"]]
    assert [item["id"] for item in (await read(paypal.world.admin, "/admin/v1/topups"))["items"]] == [topup["id"]]


async def test_a_customer_who_reads_an_unpaid_top_up_has_it_looked_at_every_few_seconds(paypal: PayPalWorld) -> None:
    topup = await paypal.start()
    paypal.approve(topup)

    at_once = await read(paypal.customer, f"/account/v1/topups/{topup['id']}")
    paypal.world.clock.now_ms += 3_000
    later = await read(paypal.customer, f"/account/v1/topups/{topup['id']}")

    assert (at_once["state"], later["state"]) == ("created", "captured")


async def test_a_customer_reads_a_top_up_while_paypal_is_down(paypal: PayPalWorld) -> None:
    topup = await paypal.start()
    paypal.wire.down = True
    paypal.world.clock.now_ms += 3_000

    assert (await read(paypal.customer, f"/account/v1/topups/{topup['id']}"))["state"] == "created"


async def test_a_payer_who_cancels_is_charged_nothing_and_can_still_pay(paypal: PayPalWorld) -> None:
    topup = await paypal.start()

    page = await paypal.world.anyone.get(f"/topups/{topup['id']}/cancel")

    assert "Nothing was charged" in page.text
    assert topup["approve_url"] in page.text
    assert (await paypal.shown(topup))["state"] == "created"


async def test_a_payer_goes_on_to_the_portal_where_there_is_one(tmp_path: Path) -> None:
    async with paypal_running(tmp_path, portal_url="https://portal.example.com/billing") as paypal:
        topup = await paypal.start()
        paypal.approve(topup)

        answer = await paypal.come_back(topup)

        assert answer.status_code == 303
        assert answer.headers["location"] == f"https://portal.example.com/billing?topup={topup['id']}"


async def test_a_payer_who_comes_back_to_no_top_up_is_told_so(paypal: PayPalWorld) -> None:
    assert_problem(await paypal.world.anyone.get("/topups/topup_none/return"), 404, "topup_not_found")


async def test_a_declined_payer_can_pay_by_other_means(paypal: PayPalWorld) -> None:
    declined = await paypal.paid(funding="card-declined")
    page = await paypal.world.anyone.get(f"/topups/{declined['id']}/cancel")
    await paypal.refresh(declined)
    tried_by_then = len(paypal.wire.made("POST", "/capture"))
    paypal.approve(declined, "balance")
    await paypal.come_back(declined)

    assert declined["state"] == "declined"
    assert declined["approve_url"] in page.text
    assert tried_by_then == 1, "nothing is tried again before the payer has come back"
    assert (await paypal.shown(declined))["state"] == "captured"
    assert await paypal.balance() == "10.00"


async def test_a_pending_payment_is_credited_when_it_is_through(paypal: PayPalWorld) -> None:
    topup = await paypal.paid(funding="echeck")
    pending = await paypal.balance()
    paypal.desk.captures.settle(paypal.capture(topup))
    await paypal.deliver(paypal.event("PAYMENT.CAPTURE.COMPLETED"))

    assert (topup["state"], topup["alert"], pending) == ("pending", None, "0.00")
    assert (await paypal.shown(topup))["state"] == "captured"
    assert await paypal.balance() == "10.00"


@pytest.mark.parametrize("event_type", ["PAYMENT.CAPTURE.DENIED", "PAYMENT.CAPTURE.DECLINED"])
async def test_a_pending_payment_that_is_denied_credits_nothing(paypal: PayPalWorld, event_type: str) -> None:
    topup = await paypal.paid(funding="review")
    paypal.desk.captures.deny(paypal.capture(topup), event_type)

    answer = await paypal.deliver(paypal.event(event_type))

    assert answer.json() == {"outcome": "done"}
    assert await paypal.balance() == "0.00"
    assert (await paypal.shown(topup))["state"] == "declined"


async def test_a_payment_that_waits_for_the_merchant_is_shown_to_the_operator(paypal: PayPalWorld) -> None:
    paypal.desk.orders.next_outcomes.append(Outcome(status="PENDING", reason="UNILATERAL"))

    topup = await paypal.paid()

    [alert] = await paypal.alerts()
    assert (topup["state"], alert["topup_id"]) == ("pending", topup["id"])
    assert "UNILATERAL" in alert["detail"]


async def test_an_approval_that_ends_uncaptured_lapses(paypal: PayPalWorld) -> None:
    topup = await paypal.start()
    paypal.approve(topup)
    paypal.desk.orders.lapse(paypal.order(topup))

    for event in paypal.events:
        await paypal.deliver(event)

    assert (await paypal.shown(topup))["state"] == "lapsed"
    assert await paypal.balance() == "0.00"


async def test_a_payment_that_nobody_approves_lapses_after_days(paypal: PayPalWorld) -> None:
    topup = await paypal.start()
    paypal.world.clock.now_ms += 73 * HOUR_MS

    lapsed = await paypal.refresh(topup)
    page = await paypal.world.anyone.get(f"/topups/{topup['id']}/cancel")

    assert (lapsed["state"], lapsed["next_look_at"], lapsed["approve_url"]) == ("lapsed", None, None)
    assert "<a id=" not in page.text


async def test_without_credentials_there_are_no_payments(world: World) -> None:
    customer = await world.customer(await world.open_account())

    for answer in (
        await customer.post("/account/v1/topups", json={"amount_usd": "1.00"}),
        await world.anyone.post("/webhooks/paypal", content=b"{}"),
    ):
        assert_problem(answer, 503, "payments_not_configured")


async def test_top_ups_are_not_for_everyone(paypal: PayPalWorld) -> None:
    topup = await paypal.start()
    wrong = client_of(paypal.world.app, "wrong")

    assert_problem(await wrong.post("/account/v1/topups", json={"amount_usd": "1.00"}), 401, "unauthenticated")
    assert_problem(await wrong.get(f"/account/v1/topups/{topup['id']}"), 401, "unauthenticated")
    for client in (wrong, paypal.customer):
        assert_problem(await client.get("/admin/v1/alerts"), 401, "unauthenticated")
        for action in ("refresh", "refund"):
            assert_problem(await client.post(f"/admin/v1/topups/{topup['id']}/{action}"), 401, "unauthenticated")
    admin = client_of(paypal.world.app, ADMIN_TOKEN)
    assert_problem(await admin.get("/account/v1/topups"), 401, "unauthenticated")
