"""Webhooks have the shapes that PayPal's have, with what surprises in them."""

import json
from typing import Any

import pytest

from tests.contract.paypal.published import assert_is_a
from tests.contract.paypal.world import Json, World, linked

SCHEMAS = {
    "capture": ("capture-2", "payments_payment_v2.json"),
    "refund": ("refund", "payments_payment_v2.json"),
}


async def last(world: World) -> Json:
    event = (await world.delivered())[-1]
    assert_is_a("event", "notifications_webhooks_v1.json", event)
    if event["resource_type"] in SCHEMAS:
        assert_is_a(*SCHEMAS[event["resource_type"]], event["resource"])
    return event


async def test_an_approved_order_has_a_link_without_rel_and_an_empty_breakdown(world: World) -> None:
    order_id = await world.approved()

    event = await last(world)

    resource: Any = event["resource"]
    assert (event["event_type"], event["resource_type"]) == ("CHECKOUT.ORDER.APPROVED", "checkout-order")
    assert (resource["id"], resource["status"]) == (order_id, "APPROVED")
    assert resource["purchase_units"][0]["amount"]["breakdown"] == {}
    assert [link.get("rel") for link in resource["links"]] == ["self", None]


async def test_a_completed_capture_names_its_order_and_not_our_reference(world: World) -> None:
    capture = await world.captured(value="100.00", custom_id="topup_1", invoice_id="1")

    event = await last(world)

    assert event["event_type"] == "PAYMENT.CAPTURE.COMPLETED"
    assert event["summary"] == "Payment completed for $ 100.0 USD"
    assert event["resource"]["id"] == capture["id"]
    assert event["resource"]["supplementary_data"]["related_ids"]["order_id"]
    assert not {"custom_id", "invoice_id"} & event["resource"].keys()


async def test_a_capture_that_was_pending_leads_to_its_order_by_a_link_only(world: World) -> None:
    capture = await world.captured("echeck")
    pending = await last(world)
    await world.simulate("POST", f"/captures/{capture['id']}/settle")

    completed = await last(world)

    for event, event_type in ((pending, "PAYMENT.CAPTURE.PENDING"), (completed, "PAYMENT.CAPTURE.COMPLETED")):
        assert event["event_type"] == event_type
        assert not {"custom_id", "supplementary_data"} & event["resource"].keys()
        assert linked(event["resource"], "up") == linked(capture, "up")
    assert pending["resource"]["status_details"] == {"reason": "ECHECK"}


async def test_a_denied_capture_is_declined_and_has_our_reference(world: World) -> None:
    await world.simulate("POST", "/next-capture", {"status": "DECLINED"})
    await world.captured(custom_id="topup_1", invoice_id="invoice-1")

    event = await last(world)

    assert (event["event_type"], event["resource"]["status"]) == ("PAYMENT.CAPTURE.DENIED", "DECLINED")
    assert (event["resource"]["custom_id"], event["resource"]["invoice_id"]) == ("topup_1", "invoice-1")


@pytest.mark.parametrize(("act", "name"), [("refund", "REFUNDED"), ("reverse", "REVERSED")])
async def test_money_that_goes_back_is_a_refund_that_leads_to_its_capture_by_a_link(
    world: World, act: str, name: str
) -> None:
    capture = await world.captured(value="2.51")
    refund = await world.simulate("POST", f"/captures/{capture['id']}/{act}")

    event = await last(world)

    assert (event["event_type"], event["resource_type"]) == (f"PAYMENT.CAPTURE.{name}", "refund")
    assert event["summary"] == f"A $ 2.51 USD capture payment was {name.lower()}"
    assert event["resource"]["id"] == refund["id"]
    assert linked(event["resource"], "up").endswith(f"/v2/payments/captures/{capture['id']}")
    assert event["resource"]["create_time"] == "2026-01-01T02:00:00-07:00"


async def test_a_dispute_names_its_capture_and_has_no_items(world: World) -> None:
    capture = await world.captured()
    dispute = await world.simulate("POST", f"/captures/{capture['id']}/dispute")
    await world.simulate("POST", f"/disputes/{dispute['dispute_id']}/update")
    await world.simulate("POST", f"/disputes/{dispute['dispute_id']}/resolve", {"outcome": "seller"})

    events = (await world.delivered())[-3:]

    assert [event["event_type"] for event in events] == [
        f"CUSTOMER.DISPUTE.{kind}" for kind in ("CREATED", "UPDATED", "RESOLVED")
    ]
    for event in events:
        [transaction] = event["resource"]["disputed_transactions"]
        assert (transaction["seller_transaction_id"], transaction["items"]) == (capture["id"], [])
    assert events[-1]["resource"]["dispute_outcome"]["outcome_code"] == "RESOLVED_SELLER_FAVOUR"


async def test_what_the_buyer_wins_is_announced_twice(world: World) -> None:
    capture = await world.captured()
    dispute = await world.simulate("POST", f"/captures/{capture['id']}/dispute")

    await world.simulate("POST", f"/disputes/{dispute['dispute_id']}/resolve", {"outcome": "buyer"})

    types = [event["event_type"] for event in await world.delivered()]
    assert types[-2:] == ["PAYMENT.CAPTURE.REVERSED", "CUSTOMER.DISPUTE.RESOLVED"]


async def test_an_approval_that_lapsed_names_the_order_in_another_place(world: World) -> None:
    order_id = await world.approved()
    await world.simulate("POST", f"/orders/{order_id}/lapse")

    assert (await last(world))["resource"]["order_id"] == order_id


async def test_the_bytes_are_not_what_a_json_library_writes(world: World) -> None:
    await world.approved()
    await world.delivered()

    raw = world.receiver.requests[0].content
    assert raw != json.dumps(json.loads(raw), separators=(",", ":")).encode()
    assert raw != json.dumps(json.loads(raw)).encode()


async def test_events_are_listed_newest_first_and_read_by_their_ids(world: World) -> None:
    await world.captured()
    events = await world.delivered()

    listed = await world.get("/v1/notifications/webhooks-events")

    assert listed["events"] == events[::-1]
    assert await world.get(f"/v1/notifications/webhooks-events/{events[0]['id']}") == events[0]


async def test_a_list_of_events_can_be_narrowed(world: World) -> None:
    capture = await world.captured(request_id="1")
    await world.advance(60)
    await world.captured(request_id="2")

    async def types(query: str) -> list[str]:
        listed = await world.get(f"/v1/notifications/webhooks-events?{query}")
        return [event["event_type"] for event in listed["events"]]

    completed, approved = "PAYMENT.CAPTURE.COMPLETED", "CHECKOUT.ORDER.APPROVED"
    assert await types(f"event_type={completed}") == [completed, completed]
    assert await types(f"transaction_id={capture['id']}") == [completed]
    assert await types("page_size=1") == [completed]
    assert await types("start_time=2026-01-01T09:01:00Z") == [completed, approved]
    assert await types("end_time=2026-01-01T09:01:00Z") == [completed, approved]


async def test_a_list_of_events_takes_only_times_and_numbers(world: World) -> None:
    for query in ("start_time=yesterday", "end_time=1", "page_size=all"):
        answer = await world.call("GET", f"/v1/notifications/webhooks-events?{query}")

        assert answer.status_code == 400


async def test_any_event_can_be_sent_well_signed(world: World) -> None:
    body = {"event_type": "PAYMENT.CAPTURE.COMPLETED", "resource_type": "capture", "resource": {"id": "INVENTED"}}

    await world.simulate("POST", "/events", body)

    assert (await last(world))["resource"] == {"id": "INVENTED"}
