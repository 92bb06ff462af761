"""PayPal in trouble, or at odds with us: what was paid is credited once, and what does not match is credited never."""

import asyncio
from decimal import Decimal
from typing import Any

import httpx2
import pytest

from tests.contract.control_plane.paypal_world import HOUR_MS, MINUTE_MS, PayPalWorld
from tests.contract.control_plane.world import assert_problem, read


async def test_an_hour_without_paypal_ends_with_every_payment_credited_once(paypal: PayPalWorld) -> None:
    topups = [await paypal.start("5.00") for _ in range(4)]
    paypal.wire.down = True
    pages = []
    for topup in topups:
        paypal.approve(topup)
        pages.append(await paypal.come_back(topup))
    await sweep_for(paypal, HOUR_MS)
    while_down = await paypal.balance()
    paypal.wire.down = False
    await sweep_for(paypal, 15 * MINUTE_MS)
    after = await paypal.balance()
    await paypal.deliver_all()

    assert all("is being processed" in page.text for page in pages)
    assert (while_down, after) == ("0.00", "20.00")
    assert await paypal.balance() == "20.00"
    assert len(await paypal.wallet()) == 4


async def test_a_provider_that_is_down_is_not_called_for_every_top_up(paypal: PayPalWorld) -> None:
    for _ in range(10):
        await paypal.start()
    paypal.wire.down = True
    paypal.wire.calls.clear()
    paypal.world.clock.now_ms += 48 * HOUR_MS
    await paypal.world.services.sweep.round()

    assert len(paypal.wire.calls) == 3


async def test_a_webhook_is_asked_for_again_while_paypal_does_not_answer(paypal: PayPalWorld) -> None:
    topup = await paypal.start()
    paypal.approve(topup)
    event = paypal.event("CHECKOUT.ORDER.APPROVED")
    await paypal.deliver(b"{}")  # the certificate is known by now, so only the order cannot be read
    headers = paypal.signed(event.raw.encode())
    paypal.wire.down = True
    refused_once = await paypal.deliver(event, headers)
    paypal.wire.down = False
    taken = await paypal.deliver(event, headers)

    assert_problem(refused_once, 503, "payment_provider_unavailable")
    assert taken.json() == {"outcome": "done"}
    assert await paypal.balance() == "10.00"


async def test_a_webhook_that_came_to_nothing_is_made_up_for_by_the_sweep(paypal: PayPalWorld) -> None:
    topup = await paypal.start()
    paypal.approve(topup)

    await sweep_for(paypal, 25 * HOUR_MS)

    assert (await paypal.shown(topup))["state"] == "captured"


async def test_a_refund_whose_webhook_was_lost_is_found_by_the_sweep(paypal: PayPalWorld) -> None:
    topup = await paypal.paid()
    paypal.desk.captures.refund(paypal.capture(topup), None)

    await sweep_for(paypal, 25 * HOUR_MS)

    assert (await paypal.shown(topup))["state"] == "refunded"
    assert await paypal.balance() == "0.00"


@pytest.mark.parametrize("silences", [1, 2])
async def test_a_capture_whose_answer_is_lost_is_credited_once(paypal: PayPalWorld, silences: int) -> None:
    topup = await paypal.start()
    paypal.approve(topup)
    paypal.wire.silent["/capture"] = silences
    await paypal.come_back(topup)

    calls = paypal.wire.made("POST", "/capture")
    assert {call.headers["paypal-request-id"] for call in calls} == {f"{topup['id']}:capture"}
    assert len(paypal.desk.books.captures) == 1
    assert (await paypal.shown(topup))["state"] == "captured"
    assert await paypal.balance() == "10.00"


async def test_an_order_whose_answer_is_lost_is_made_once(paypal: PayPalWorld) -> None:
    paypal.wire.silent["/v2/checkout/orders"] = 1

    topup = await paypal.start()

    assert len(paypal.desk.books.orders) == 1
    assert topup["approve_url"]


async def test_an_order_that_paypal_never_answers_for_is_a_problem_and_lapses(paypal: PayPalWorld) -> None:
    paypal.wire.silent["/v2/checkout/orders"] = 2
    answer = await paypal.customer.post("/account/v1/topups", json={"amount_usd": "1.00"})
    paypal.world.clock.now_ms += HOUR_MS
    [topup] = (await read(paypal.world.admin, "/admin/v1/topups"))["items"]

    assert_problem(answer, 503, "payment_provider_unavailable")
    assert (await paypal.refresh(topup))["state"] == "lapsed"


async def test_an_order_that_is_captured_already_is_read_and_credited(paypal: PayPalWorld) -> None:
    topup = await paypal.start()
    paypal.approve(topup)
    order = paypal.order(topup)
    reads = 0

    def captured_by_another_hand(request: httpx2.Request) -> httpx2.Response | None:
        nonlocal reads
        if request.method == "GET" and request.url.path.endswith(order.id):
            reads += 1
            if reads == 1:
                stale = paypal.desk.shapes.order(order)
                paypal.desk.orders.capture(order.id)
                return httpx2.Response(200, json=stale)
        return None

    paypal.wire.replaced = captured_by_another_hand
    await paypal.come_back(topup)

    assert len(paypal.wire.made("POST", "/capture")) == 1
    assert await paypal.balance() == "10.00"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"value": "0.01"}, "another amount"),
        ({"value": "100.00"}, "another amount"),
        ({"currency": "MXN"}, "another currency"),
        ({"payee_merchant_id": "ANOTHERMERCHANT"}, "another payee"),
        ({"custom_id": "topup_of_another"}, "reference"),
    ],
)
async def test_what_does_not_match_is_neither_captured_nor_credited_and_shown(
    paypal: PayPalWorld, changed: dict[str, str], said: str
) -> None:
    topup = await paypal.start("10.00")
    paypal.approve(topup)
    alter(paypal, topup, changed)
    await paypal.come_back(topup)

    [alert] = await paypal.alerts()
    assert alert["topup_id"] == topup["id"]
    assert said in alert["detail"]
    assert paypal.wire.made("POST", "/capture") == []
    assert await paypal.balance() == "0.00"


@pytest.mark.parametrize(
    "changed", [{"value": "0.01"}, {"currency": "MXN"}, {"payee_merchant_id": "ANOTHER"}, {"custom_id": "topup_x"}]
)
async def test_a_capture_that_does_not_match_credits_nothing(paypal: PayPalWorld, changed: dict[str, str]) -> None:
    topup = await paypal.start("10.00")
    paypal.approve(topup)
    alter(paypal, topup, changed)
    paypal.desk.orders.capture(paypal.order(topup).id)
    answers = [await paypal.deliver(event) for event in paypal.events]
    shown = await paypal.refresh(topup)

    assert [answer.json()["outcome"] for answer in answers] == ["done", "done"]
    assert shown["alert"]
    assert await paypal.balance() == "0.00"


async def test_an_alert_goes_away_when_its_cause_has(paypal: PayPalWorld) -> None:
    topup = await paypal.start("10.00")
    paypal.approve(topup)
    alter(paypal, topup, {"value": "9.00"})
    await paypal.come_back(topup)
    alter(paypal, topup, {"value": "10.00"})
    shown = await paypal.refresh(topup)

    assert (shown["state"], shown["alert"]) == ("captured", None)


async def test_a_payment_to_another_merchant_is_not_begun(paypal: PayPalWorld) -> None:
    def to_another(request: httpx2.Request) -> httpx2.Response | None:
        if request.method == "POST" and request.url.path == "/v2/checkout/orders":
            order: dict[str, Any] = {
                "id": "ORDER1",
                "status": "CREATED",
                "purchase_units": [
                    {"amount": {"currency_code": "USD", "value": "1.00"}, "payee": {"merchant_id": "ANOTHER"}}
                ],
                "links": [{"rel": "payer-action", "href": "https://www.paypal.com/checkoutnow"}],
            }
            return httpx2.Response(201, json=order)
        return None

    paypal.wire.replaced = to_another
    answer = await paypal.customer.post("/account/v1/topups", json={"amount_usd": "1.00"})

    [alert] = await paypal.alerts()
    assert_problem(answer, 503, "payments_unavailable")
    assert "another merchant" in alert["detail"]


async def test_a_token_is_asked_for_once_by_many_calls_and_again_before_it_ends(paypal: PayPalWorld) -> None:
    await asyncio.gather(*(paypal.start() for _ in range(8)))
    at_first = len(paypal.wire.made("POST", "/v1/oauth2/token"))
    lifetime_ms = 32_400_000
    paypal.world.clock.now_ms += lifetime_ms - MINUTE_MS - 1
    await paypal.start()
    just_before = len(paypal.wire.made("POST", "/v1/oauth2/token"))
    paypal.world.clock.now_ms += 1
    await paypal.start()

    assert (at_first, just_before) == (1, 1)
    assert len(paypal.wire.made("POST", "/v1/oauth2/token")) == 2


async def test_a_token_that_is_refused_is_replaced_once_by_many_calls(paypal: PayPalWorld) -> None:
    await paypal.start()
    paypal.desk.tokens.revoke()
    started = await asyncio.gather(*(paypal.start() for _ in range(4)))

    assert len(started) == 4
    assert len(paypal.wire.made("POST", "/v1/oauth2/token")) == 2


async def test_credentials_that_paypal_does_not_take_are_a_problem(paypal: PayPalWorld) -> None:
    paypal.wire.replaced = lambda request: (
        httpx2.Response(401, json={"error": "invalid_client"}) if request.url.path.endswith("token") else None
    )

    answer = await paypal.customer.post("/account/v1/topups", json={"amount_usd": "1.00"})

    assert_problem(answer, 503, "payment_provider_unavailable")


async def test_an_order_that_paypal_has_forgotten_lapses(paypal: PayPalWorld) -> None:
    topup = await paypal.start()
    paypal.desk.books.orders.clear()

    assert (await paypal.refresh(topup))["state"] == "lapsed"


async def test_a_captured_top_up_stays_captured_when_paypal_forgets_its_order(paypal: PayPalWorld) -> None:
    topup = await paypal.paid()
    paypal.desk.books.orders.clear()

    shown = await paypal.refresh(topup)

    assert (shown["state"], shown["captured_usd"]) == ("captured", "10.00")
    assert await paypal.balance() == "10.00"


async def sweep_for(paypal: PayPalWorld, span_ms: int) -> None:
    """Rounds of the sweep, some minutes apart."""
    for _ in range(span_ms // (5 * MINUTE_MS)):
        paypal.world.clock.now_ms += 5 * MINUTE_MS
        await paypal.world.services.sweep.round()


def alter(paypal: PayPalWorld, topup: dict[str, Any], changed: dict[str, str]) -> None:
    order = paypal.order(topup)
    for name, value in changed.items():
        match name:
            case "value":
                order.amount = order.amount.of(Decimal(value))
            case "currency":
                order.amount = type(order.amount)(currency_code=value, value=order.amount.value)
            case _:
                setattr(order, name, value)
