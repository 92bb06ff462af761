"""Webhooks are delivered until they are taken, and in any disorder that a test asks for."""

import pytest

from local.paypal.deliveries import MAX_ATTEMPTS
from tests.contract.paypal.world import DAY_S, HOUR_S, Json, World

APPROVED, COMPLETED = "CHECKOUT.ORDER.APPROVED", "PAYMENT.CAPTURE.COMPLETED"


async def deliveries(world: World) -> list[Json]:
    found: list[Json] = (await world.simulate("GET", "/deliveries"))["deliveries"]
    return found


async def test_what_is_taken_is_delivered_once(world: World) -> None:
    await world.captured()
    await world.delivered()
    await world.advance(3 * DAY_S)

    await world.delivered()

    assert world.receiver.event_types == [APPROVED, COMPLETED]
    assert [delivery["state"] for delivery in await deliveries(world)] == ["delivered", "delivered"]


@pytest.mark.parametrize("status", [301, 400, 404, 500, 503])
async def test_what_is_not_taken_is_delivered_again_just_as_it_was(world: World, status: int) -> None:
    world.receiver.answers = [status]
    await world.approved()
    await world.delivered()
    assert len(world.receiver.requests) == 1

    await world.advance(60)
    await world.delivered()

    first, second = world.receiver.requests
    assert (first.content, first.headers) == (second.content, second.headers)
    [delivery] = await deliveries(world)
    assert [attempt["status"] for attempt in delivery["attempts"]] == [status, 200]


async def test_after_25_attempts_a_delivery_is_given_up(world: World) -> None:
    world.receiver.answers = [500] * 100
    await world.approved()
    for _ in range(MAX_ATTEMPTS + 5):
        await world.delivered()
        await world.advance(4 * HOUR_S)

    assert len(world.receiver.requests) == MAX_ATTEMPTS == 25
    assert (await deliveries(world))[0]["state"] == "given up"


async def test_the_attempts_are_spread_over_three_days(world: World) -> None:
    world.receiver.answers = [500] * 100
    await world.approved()
    await world.delivered()
    hours = 0.0
    while (await deliveries(world))[0]["state"] == "waiting":
        await world.advance(HOUR_S / 4)
        await world.delivered()
        hours += 1 / 4

    assert 60 < hours <= 72


async def test_a_delivery_is_due_when_its_time_has_come(world: World) -> None:
    await world.simulate("PUT", "/deliveries", {"delay_s": 3600})
    await world.approved()
    await world.delivered()
    assert world.receiver.requests == []

    await world.advance(3600)

    await world.receiver.arrived(1)


async def test_what_waits_can_be_hurried(world: World) -> None:
    world.receiver.answers = [500]
    await world.approved()
    await world.delivered()

    await world.simulate("POST", "/deliveries/hurry")

    await world.receiver.arrived(2)
    assert (await deliveries(world))[0]["due"] == "2026-01-01T09:00:00Z"


async def test_copies_are_the_same_transmission(world: World) -> None:
    await world.simulate("PUT", "/deliveries", {"copies": 3})
    await world.approved()
    await world.delivered()

    assert len(world.receiver.requests) == 3
    assert len({request.headers["paypal-transmission-id"] for request in world.receiver.requests}) == 1


async def test_an_event_is_repeated_as_the_same_transmission(world: World) -> None:
    await world.approved()
    [event] = await world.delivered()

    await world.simulate("POST", f"/events/{event['id']}/repeat", {"times": 2})
    await world.delivered()

    assert len({request.headers["paypal-transmission-id"] for request in world.receiver.requests}) == 1
    assert len(world.receiver.requests) == 3


async def test_an_event_is_resent_in_a_transmission_of_its_own(world: World) -> None:
    await world.approved()
    [event] = await world.delivered()

    answer = await world.call("POST", f"/v1/notifications/webhooks-events/{event['id']}/resend", {})
    await world.delivered()

    first, second = world.receiver.requests
    assert answer.status_code == 202
    assert first.content == second.content
    assert first.headers["paypal-transmission-id"] != second.headers["paypal-transmission-id"]


@pytest.mark.parametrize(("order", "expected"), [("made", [APPROVED, COMPLETED]), ("reversed", [COMPLETED, APPROVED])])
async def test_held_events_come_when_they_are_released(world: World, order: str, expected: list[str]) -> None:
    await world.simulate("PUT", "/deliveries", {"hold": True})
    await world.captured()
    await world.delivered()
    assert world.receiver.requests == []

    assert await world.simulate("POST", "/deliveries/release", {"order": order}) == {"released": 2}

    await world.delivered()
    assert world.receiver.event_types == expected


async def test_some_types_can_be_released(world: World) -> None:
    await world.simulate("PUT", "/deliveries", {"hold": True})
    await world.captured()

    await world.simulate("POST", "/deliveries/release", {"event_types": [COMPLETED]})

    await world.delivered()
    assert world.receiver.event_types == [COMPLETED]


async def test_all_that_is_due_can_be_sent_at_once(world: World) -> None:
    await world.simulate("PUT", "/deliveries", {"hold": True, "copies": 5})
    await world.approved()
    await world.simulate("PUT", "/deliveries", {"at_once": True})

    await world.simulate("POST", "/deliveries/release")

    await world.receiver.arrived(5)


async def test_deliveries_are_found_by_their_type(world: World) -> None:
    await world.captured()

    found = await world.simulate("GET", f"/deliveries?event_type={COMPLETED}")

    assert [delivery["event_type"] for delivery in found["deliveries"]] == [COMPLETED]
