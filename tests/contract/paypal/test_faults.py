"""PayPal fails as a test asks: before it did what was asked, or after."""

import httpx2
import pytest

from tests.contract.paypal.world import World, capture_in


async def capture(world: World, order_id: str) -> httpx2.Response:
    return await world.call("POST", f"/v2/checkout/orders/{order_id}/capture", {}, request_id="1")


@pytest.mark.parametrize(
    ("status", "name"),
    [(429, "RATE_LIMIT_REACHED"), (500, "INTERNAL_SERVER_ERROR"), (503, "SERVICE_UNAVAILABLE")],
)
async def test_a_failure_before_has_no_effect(world: World, status: int, name: str) -> None:
    order_id = await world.approved()
    await world.simulate("POST", "/faults", {"operation": "orders.capture", "answer": str(status)})
    headers = {"authorization": f"Bearer {await world.token()}"}

    answer = await world.http.post(f"/v2/checkout/orders/{order_id}/capture", headers=headers)

    assert (answer.status_code, answer.json()["name"]) == (status, name)
    assert world.desk.books.captures == {}


async def test_a_failure_after_has_the_effect_and_the_same_id_tells(world: World) -> None:
    order_id = await world.approved()
    body = {"operation": "orders.capture", "answer": "500", "moment": "after"}
    await world.simulate("POST", "/faults", body)

    assert (await capture(world, order_id)).status_code == 500

    answer = await capture(world, order_id)
    assert (answer.status_code, [capture_in(answer.json())["id"]]) == (200, list(world.desk.books.captures))
    assert [event["event_type"] for event in await world.delivered()][-1] == "PAYMENT.CAPTURE.COMPLETED"


@pytest.mark.parametrize(("answer", "error"), [("timeout", httpx2.ReadTimeout), ("dropped", httpx2.ReadError)])
@pytest.mark.parametrize(("moment", "captures"), [("before", 0), ("after", 1)])
async def test_no_answer_may_mean_either(
    world: World, answer: str, error: type[Exception], moment: str, captures: int
) -> None:
    order_id = await world.approved()
    await world.simulate("POST", "/faults", {"operation": "orders.capture", "answer": answer, "moment": moment})

    with pytest.raises(error):
        await capture(world, order_id)

    assert len(world.desk.books.captures) == captures


async def test_a_fault_strikes_as_often_as_it_is_to_and_only_its_operation(world: World) -> None:
    order = await world.create()
    await world.simulate("POST", "/faults", {"operation": "orders.get", "answer": "503", "times": 2})

    statuses = [(await world.call("GET", f"/v2/checkout/orders/{order['id']}")).status_code for _ in range(3)]

    assert statuses == [503, 503, 200]


async def test_faults_can_be_called_off(world: World) -> None:
    order = await world.create()
    await world.simulate("POST", "/faults", {"operation": "orders.get"})

    await world.simulate("DELETE", "/faults")

    assert await world.get(f"/v2/checkout/orders/{order['id']}")


@pytest.mark.parametrize("answer", ["418", "NO_SUCH_ISSUE"])
async def test_a_fault_that_does_not_exist_is_refused(world: World, answer: str) -> None:
    refused = await world.http.post("/simulator/faults", json={"operation": "orders.get", "answer": answer})

    assert refused.status_code == 422


async def test_an_outage_stops_every_call_until_it_ends(world: World) -> None:
    order_id = await world.approved()
    headers = {"authorization": f"Bearer {await world.token()}"}
    await world.simulate("PUT", "/outage", {"on": True})
    paths = ("/v1/oauth2/token", f"/v2/checkout/orders/{order_id}/capture")
    statuses = [(await world.http.post(path, headers=headers)).status_code for path in paths]

    await world.simulate("PUT", "/outage", {"on": False})

    assert statuses == [503, 503]
    assert (await capture(world, order_id)).status_code == 201


async def test_calls_are_written_down_with_their_request_ids(world: World) -> None:
    order_id = await world.approved()
    await capture(world, order_id)

    calls = (await world.simulate("GET", "/calls?operation=orders.capture"))["calls"]

    path = f"/v2/checkout/orders/{order_id}/capture"
    assert calls == [{"operation": "orders.capture", "path": path, "request_id": "1", "status": 201}]


async def test_the_clock_moves_on(world: World) -> None:
    assert await world.simulate("GET", "/clock") == {"now": "2026-01-01T09:00:00.123Z"}

    await world.advance(3600)

    assert await world.simulate("GET", "/clock") == {"now": "2026-01-01T10:00:00.123Z"}


async def test_the_control_refuses_what_it_does_not_know(world: World) -> None:
    answer = await world.http.put("/simulator/deliveries", json={"hodl": True})

    assert answer.status_code == 422
