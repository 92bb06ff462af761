"""What becomes of money that was captured: settled, denied, refunded, reversed, disputed."""

import pytest

from tests.contract.paypal.world import Json, World, capture_in


async def order_of(world: World, capture: Json) -> Json:
    read = await world.get(f"/v2/payments/captures/{capture['id']}")
    return await world.get(f"/v2/checkout/orders/{read['supplementary_data']['related_ids']['order_id']}")


async def test_a_pending_capture_settles(world: World) -> None:
    capture = await world.captured("review")

    await world.simulate("POST", f"/captures/{capture['id']}/settle")

    settled = capture_in(await order_of(world, capture))
    assert (settled["status"], settled["seller_receivable_breakdown"]["paypal_fee"]["value"]) == ("COMPLETED", "0.52")
    assert "status_details" not in settled


@pytest.mark.parametrize("event_type", ["PAYMENT.CAPTURE.DENIED", "PAYMENT.CAPTURE.DECLINED"])
async def test_a_pending_capture_is_denied_under_either_name(world: World, event_type: str) -> None:
    capture = await world.captured("echeck")

    await world.simulate("POST", f"/captures/{capture['id']}/deny", {"event_type": event_type})

    assert (await world.get(f"/v2/payments/captures/{capture['id']}"))["status"] == "DECLINED"
    event = (await world.delivered())[-1]
    assert (event["event_type"], event["resource"]["status"]) == (event_type, "DECLINED")


@pytest.mark.parametrize("act", ["settle", "deny"])
async def test_only_a_pending_capture_ends_in_another_way(world: World, act: str) -> None:
    capture = await world.captured()

    answer = await world.http.post(f"/simulator/captures/{capture['id']}/{act}")

    assert answer.status_code == 400


async def test_the_next_capture_can_be_planned(world: World) -> None:
    await world.simulate("POST", "/next-capture", {"status": "PENDING", "reason": "UNILATERAL"})

    first, second = await world.captured(request_id="1"), await world.captured(request_id="2")

    assert (first["status"], first["status_details"]["reason"]) == ("PENDING", "UNILATERAL")
    assert second["status"] == "COMPLETED"


async def test_refunds_add_up_in_the_capture_and_in_the_order(world: World) -> None:
    capture = await world.captured(value="10.00")
    path = f"/v2/payments/captures/{capture['id']}/refund"
    part = {"amount": {"currency_code": "USD", "value": "4.00"}, "note_to_payer": "Sorry"}

    first = (await world.call("POST", path, part)).json()
    assert (await world.get(f"/v2/payments/captures/{capture['id']}"))["status"] == "PARTIALLY_REFUNDED"
    second = (await world.call("POST", path, {})).json()
    assert (await world.get(f"/v2/payments/captures/{capture['id']}"))["status"] == "REFUNDED"

    assert await world.get(f"/v2/payments/refunds/{first['id']}") == first
    assert second["amount"]["value"] == "6.00"
    assert second["seller_payable_breakdown"]["total_refunded_amount"]["value"] == "10.00"
    order = await order_of(world, capture)
    assert order["purchase_units"][0]["payments"]["refunds"] == [first, second]


async def test_a_refund_in_the_dashboard_is_a_refund(world: World) -> None:
    capture = await world.captured(value="10.00")

    refund = await world.simulate("POST", f"/captures/{capture['id']}/refund", {"value": "2.50", "note": "Sorry"})

    assert await world.get(f"/v2/payments/refunds/{refund['id']}") == refund
    assert (await world.delivered())[-1]["event_type"] == "PAYMENT.CAPTURE.REFUNDED"


async def test_a_reversal_is_a_refund_that_nobody_asked_for(world: World) -> None:
    capture = await world.captured(value="10.00")

    reversal = await world.simulate("POST", f"/captures/{capture['id']}/reverse")

    read = await world.get(f"/v2/payments/refunds/{reversal['id']}")
    assert (read["amount"]["value"], read["note_to_payer"]) == ("10.00", "Payment reversed")
    assert (await world.get(f"/v2/payments/captures/{capture['id']}"))["status"] == "REFUNDED"
    assert (await world.delivered())[-1]["event_type"] == "PAYMENT.CAPTURE.REVERSED"


async def test_no_more_is_reversed_than_is_left(world: World) -> None:
    capture = await world.captured(value="10.00")
    await world.simulate("POST", f"/captures/{capture['id']}/refund", {"value": "9.00"})

    answer = await world.http.post(f"/simulator/captures/{capture['id']}/reverse", json={"value": "1.01"})

    assert answer.status_code == 422


async def test_a_dispute_is_opened_moves_on_and_is_read(world: World) -> None:
    capture = await world.captured(value="10.00", custom_id="topup_9")
    opened = await world.simulate("POST", f"/captures/{capture['id']}/dispute", {"value": "3.00"})
    read = await world.get(f"/v1/customer/disputes/{opened['dispute_id']}")
    [transaction] = read["disputed_transactions"]
    assert (read["status"], read["dispute_amount"]["value"]) == ("OPEN", "3.00")
    assert (transaction["seller_transaction_id"], transaction["custom"]) == (capture["id"], "topup_9")

    await world.simulate("POST", f"/disputes/{opened['dispute_id']}/update", {"status": "UNDER_REVIEW"})

    read = await world.get(f"/v1/customer/disputes/{opened['dispute_id']}")
    assert (read["status"], read["dispute_life_cycle_stage"]) == ("UNDER_REVIEW", "CHARGEBACK")


async def test_disputes_are_found_by_their_capture(world: World) -> None:
    first, second = await world.captured(request_id="1"), await world.captured(request_id="2")
    dispute = await world.simulate("POST", f"/captures/{first['id']}/dispute")

    found = await world.get(f"/v1/customer/disputes?disputed_transaction_id={first['id']}")
    none = await world.get(f"/v1/customer/disputes?disputed_transaction_id={second['id']}")

    assert [item["dispute_id"] for item in found["items"]] == [dispute["dispute_id"]]
    assert "items" not in none


@pytest.mark.parametrize(
    ("outcome", "code", "refunded", "capture_status"),
    [
        ("seller", "RESOLVED_SELLER_FAVOUR", "0.00", "COMPLETED"),
        ("buyer", "RESOLVED_BUYER_FAVOUR", "3.00", "PARTIALLY_REFUNDED"),
        ("ACCEPTED", "ACCEPTED", "3.00", "PARTIALLY_REFUNDED"),
        ("CANCELED_BY_BUYER", "CANCELED_BY_BUYER", "0.00", "COMPLETED"),
    ],
)
async def test_what_the_buyer_wins_is_taken_back(
    world: World, outcome: str, code: str, refunded: str, capture_status: str
) -> None:
    capture = await world.captured(value="10.00")
    dispute = await world.simulate("POST", f"/captures/{capture['id']}/dispute", {"value": "3.00"})

    await world.simulate("POST", f"/disputes/{dispute['dispute_id']}/resolve", {"outcome": outcome})

    read = await world.get(f"/v1/customer/disputes/{dispute['dispute_id']}")
    assert read["status"] == "RESOLVED"
    assert read["dispute_outcome"]["outcome_code"] == code
    assert read["dispute_outcome"]["amount_refunded"]["value"] == refunded
    assert (await world.get(f"/v2/payments/captures/{capture['id']}"))["status"] == capture_status


async def test_a_dispute_can_be_lost_without_a_reversal(world: World) -> None:
    capture = await world.captured(value="10.00")
    dispute = await world.simulate("POST", f"/captures/{capture['id']}/dispute")

    body = {"outcome": "buyer", "reverses": False}
    await world.simulate("POST", f"/disputes/{dispute['dispute_id']}/resolve", body)

    assert (await world.get(f"/v2/payments/captures/{capture['id']}"))["status"] == "COMPLETED"


async def test_an_altered_order_is_not_what_was_asked_for(world: World) -> None:
    order_id = await world.approved()

    change = {"currency_code": "EUR", "value": "0.01", "payee_merchant_id": "ABCDEFGHJKLMN", "custom_id": "topup_2"}
    await world.simulate("POST", f"/orders/{order_id}/alter", change)
    order = (await world.call("POST", f"/v2/checkout/orders/{order_id}/capture", {})).json()

    capture = await world.get(f"/v2/payments/captures/{capture_in(order)['id']}")
    assert capture["amount"] == {"currency_code": "EUR", "value": "0.01"}
    assert (capture["payee"]["merchant_id"], capture["custom_id"]) == ("ABCDEFGHJKLMN", "topup_2")


async def test_the_books_show_everything(world: World) -> None:
    capture = await world.captured(value="10.00")
    await world.simulate("POST", f"/captures/{capture['id']}/dispute")

    books = await world.simulate("GET", "")

    assert {name: len(entries) for name, entries in books.items()} == {
        "orders": 1,
        "captures": 1,
        "refunds": 0,
        "disputes": 1,
        "events": 3,
    }
