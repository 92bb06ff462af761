"""The same PayPal-Request-Id has the same result: for six hours with orders, for 45 days with refunds."""

import asyncio

from tests.contract.paypal.world import DAY_S, HOUR_S, World, capture_in, issue_of, order_request


async def test_an_order_made_again_is_the_same_order(world: World) -> None:
    first = await world.call("POST", "/v2/checkout/orders", order_request(), request_id="1")
    second = await world.call("POST", "/v2/checkout/orders", order_request(), request_id="1")

    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]


async def test_another_id_makes_another_order(world: World) -> None:
    assert (await world.create(request_id="1"))["id"] != (await world.create(request_id="2"))["id"]


async def test_an_order_is_remembered_for_six_hours(world: World) -> None:
    first = await world.create()
    await world.advance(6 * HOUR_S - 1)
    assert (await world.create())["id"] == first["id"]

    await world.advance(1)

    assert (await world.create())["id"] != first["id"]


async def test_a_capture_made_again_is_the_same_capture_in_its_latest_state(world: World) -> None:
    order_id = await world.approved("echeck")
    path = f"/v2/checkout/orders/{order_id}/capture"
    first = await world.call("POST", path, {}, request_id="1")
    await world.simulate("POST", f"/captures/{capture_in(first.json())['id']}/settle")

    second = await world.call("POST", path, {}, request_id="1")

    assert (first.status_code, second.status_code) == (201, 200)
    assert capture_in(first.json())["id"] == capture_in(second.json())["id"]
    assert [capture_in(answer.json())["status"] for answer in (first, second)] == ["PENDING", "COMPLETED"]
    assert (await world.delivered())[-1]["event_type"] == "PAYMENT.CAPTURE.COMPLETED"


async def test_two_captures_at_once_with_one_id_take_the_money_once(world: World) -> None:
    path = f"/v2/checkout/orders/{await world.approved()}/capture"

    answers = await asyncio.gather(*(world.call("POST", path, {}, request_id="1") for _ in range(5)))

    assert {capture_in(answer.json())["id"] for answer in answers} == set(world.desk.books.captures)


async def test_after_six_hours_an_order_is_still_not_captured_twice(world: World) -> None:
    path = f"/v2/checkout/orders/{await world.approved()}/capture"
    await world.call("POST", path, {}, request_id="1")
    await world.advance(6 * HOUR_S)

    answer = await world.call("POST", path, {}, request_id="1")

    assert issue_of(answer) == "ORDER_ALREADY_CAPTURED"


async def test_a_refund_is_remembered_for_45_days(world: World) -> None:
    path = f"/v2/payments/captures/{(await world.captured(value='10.00'))['id']}/refund"
    part = {"amount": {"currency_code": "USD", "value": "1.00"}}
    first = await world.call("POST", path, part, request_id="1")
    await world.advance(45 * DAY_S - 1)
    assert (await world.call("POST", path, part, request_id="1")).json()["id"] == first.json()["id"]

    await world.advance(1)

    assert (await world.call("POST", path, part, request_id="1")).json()["id"] != first.json()["id"]


async def test_one_id_may_serve_two_captures(world: World) -> None:
    orders = [await world.approved(request_id=name) for name in "ab"]

    answers = [await world.call("POST", f"/v2/checkout/orders/{one}/capture", {}, request_id="1") for one in orders]

    assert [answer.status_code for answer in answers] == [201, 201]


async def test_a_refusal_is_not_remembered(world: World) -> None:
    order = await world.create()
    path = f"/v2/checkout/orders/{order['id']}/capture"
    assert (await world.call("POST", path, {}, request_id="1")).status_code == 422
    await world.simulate("POST", f"/orders/{order['id']}/approve")

    assert (await world.call("POST", path, {}, request_id="1")).status_code == 201


async def test_an_id_may_have_108_characters(world: World) -> None:
    fits = await world.call("POST", "/v2/checkout/orders", order_request(), request_id="1" * 108)
    too_long = await world.call("POST", "/v2/checkout/orders", order_request(), request_id="1" * 109)

    assert (fits.status_code, too_long.status_code) == (201, 400)
