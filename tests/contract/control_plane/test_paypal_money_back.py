"""Money that goes back, over HTTP, with PayPal behind it: refunds, reversals and disputes debit once."""

from pathlib import Path

import pytest

from gateway.money import NanoUsd
from gateway.records import Grant
from tests.contract.control_plane.paypal_world import (
    MINUTE_MS,
    PayPalWorld,
    money,
    nano,
    paypal_running,
)
from tests.contract.control_plane.world import assert_problem, read


async def test_a_refund_of_a_half_takes_back_a_half_of_the_credit_and_of_the_fee(tmp_path: Path) -> None:
    async with paypal_running(tmp_path, top_up_fee_policy="uniform_fee", top_up_uniform_fee_usd="0.50") as paypal:
        topup = await paypal.paid("10.00")
        await paypal.wallet()
        answer = await paypal.world.admin.post(f"/admin/v1/topups/{topup['id']}/refund", json={"amount_usd": "5.00"})

        assert answer.json()["state"] == "partly_refunded"
        assert await paypal.balance() == "4.75"
        assert (await paypal.books())["revenue:top_up_fees"] == "0.25"


async def test_a_refund_in_parts_debits_each_part_once(paypal: PayPalWorld) -> None:
    topup = await paypal.paid("10.00")
    await paypal.wallet()
    for amount in ("3.00", "3.00"):
        paypal.world.clock.now_ms += MINUTE_MS
        answer = await paypal.world.admin.post(f"/admin/v1/topups/{topup['id']}/refund", json={"amount_usd": amount})
        assert answer.status_code == 200, answer.text
    await paypal.deliver_all()

    shown = await paypal.shown(topup)
    assert (shown["state"], shown["refunded_usd"]) == ("partly_refunded", "6.00")
    assert await paypal.balance() == "4.00"
    assert [grant.amount_nano_usd for grant in await paypal.wallet()] == [nano("10"), -nano("3"), -nano("3")]


async def test_a_refund_without_an_amount_gives_back_all_that_is_left(paypal: PayPalWorld) -> None:
    topup = await paypal.paid("10.00")
    await paypal.wallet()
    answer = await paypal.world.admin.post(f"/admin/v1/topups/{topup['id']}/refund")

    assert (answer.json()["state"], answer.json()["refunded_usd"]) == ("refunded", "10.00")
    assert await paypal.balance() == "0.00"


async def test_a_refund_made_at_paypal_is_debited_here(paypal: PayPalWorld) -> None:
    topup = await paypal.paid("10.00")
    refund = paypal.desk.captures.refund(paypal.capture(topup), money("2.50"))

    await paypal.deliver(paypal.event("PAYMENT.CAPTURE.REFUNDED"))

    assert await paypal.balance() == "7.50"
    assert [grant.id for grant in await paypal.wallet()][1:] == [f"paypal:refund:{refund.id}"]


@pytest.mark.parametrize("silences", [1, 2])
async def test_a_refund_that_got_no_answer_is_made_and_debited_once(paypal: PayPalWorld, silences: int) -> None:
    topup = await paypal.paid("10.00")
    await paypal.wallet()
    url, body = f"/admin/v1/topups/{topup['id']}/refund", {"amount_usd": "4.00"}
    paypal.wire.silent["/refund"] = silences
    answer = await paypal.world.admin.post(url, json=body)

    assert answer.json()["refunded_usd"] == "4.00"
    assert len(paypal.wire.made("POST", "/refund")) == 2
    assert len({call.headers["paypal-request-id"] for call in paypal.wire.made("POST", "/refund")}) == 1
    assert await paypal.balance() == "6.00"


async def test_a_refund_that_is_asked_for_again_under_its_reference_is_given_once(paypal: PayPalWorld) -> None:
    topup = await paypal.paid("10.00")
    await paypal.wallet()
    url, body = f"/admin/v1/topups/{topup['id']}/refund", {"amount_usd": "4.00", "reference": "ticket-1"}
    answers = [await paypal.world.admin.post(url, json=body) for _ in range(3)]
    another = await paypal.world.admin.post(url, json=body | {"reference": "ticket-2"})

    assert [answer.json()["refunded_usd"] for answer in answers] == ["4.00"] * 3
    assert another.json()["refunded_usd"] == "8.00"
    assert await paypal.balance() == "2.00"


async def test_a_refund_is_unclear_while_paypal_is_down_and_booked_once_it_is_seen(paypal: PayPalWorld) -> None:
    topup = await paypal.paid("10.00")
    await paypal.wallet()
    url, body = f"/admin/v1/topups/{topup['id']}/refund", {"amount_usd": "4.00", "reference": "ticket-1"}
    paypal.wire.after = "/refund"
    unclear = await paypal.world.admin.post(url, json=body)
    paypal.wire.after, paypal.wire.down = None, False
    again = await paypal.world.admin.post(url, json=body)

    assert_problem(unclear, 503, "payment_provider_unavailable")
    assert again.json()["refunded_usd"] == "4.00"
    assert await paypal.balance() == "6.00"


@pytest.mark.parametrize("reference", ["", "a b", "é", "x" * 65])
async def test_a_reference_that_cannot_be_sent_is_refused(paypal: PayPalWorld, reference: str) -> None:
    topup = await paypal.paid("10.00")

    answer = await paypal.world.admin.post(f"/admin/v1/topups/{topup['id']}/refund", json={"reference": reference})

    assert_problem(answer, 422, "invalid_request", pointer="/reference")


async def test_no_more_is_given_back_than_is_left_of_the_customers_own_money(tmp_path: Path) -> None:
    async with paypal_running(tmp_path, trial_credit_usd="1.00") as paypal:
        topup = await paypal.paid("10.00")
        await paypal.wallet()
        await paypal.spend("9.00")

        refused = await paypal.world.admin.post(f"/admin/v1/topups/{topup['id']}/refund", json={"amount_usd": "1.01"})
        taken = await paypal.world.admin.post(f"/admin/v1/topups/{topup['id']}/refund")

        assert_problem(refused, 422, "invalid_request", pointer="/amount_usd")
        assert taken.json()["refunded_usd"] == "1.00"
        assert await paypal.balance() == "1.00", "the trial credit is not paid out"


async def test_a_top_up_that_was_not_captured_cannot_be_given_back(paypal: PayPalWorld) -> None:
    topup = await paypal.start()

    answer = await paypal.world.admin.post(f"/admin/v1/topups/{topup['id']}/refund")

    assert_problem(answer, 422, "invalid_request")


async def test_money_taken_back_after_it_was_spent_leaves_a_negative_balance_that_the_operator_sees(
    paypal: PayPalWorld,
) -> None:
    topup = await paypal.paid("10.00")
    await paypal.spend("8.00")
    reversal = paypal.desk.captures.reverse(paypal.capture(topup))
    await paypal.deliver(paypal.event("PAYMENT.CAPTURE.REVERSED"))

    [account] = (await read(paypal.world.admin, "/admin/v1/accounts"))["items"]
    [alert] = await paypal.alerts()
    assert (await paypal.shown(topup))["state"] == "reversed"
    assert account["balance_usd"] == "-8.00"
    assert (alert["kind"], alert["account_id"]) == ("negative_balance", paypal.account_id)
    assert (await paypal.wallet())[-1] == Grant(
        id=f"paypal:reversal:{reversal.id}", kind="reversal", amount_nano_usd=NanoUsd(-nano("10.00"))
    )


async def test_a_dispute_holds_the_disputed_sum_until_it_is_won(paypal: PayPalWorld) -> None:
    topup = await paypal.paid("10.00")
    paypal.world.clock.now_ms += MINUTE_MS
    dispute = paypal.dispute(topup, "3.00")
    await paypal.deliver(paypal.event("CUSTOMER.DISPUTE.CREATED"))
    held, state = await paypal.balance(), (await paypal.shown(topup))["state"]
    paypal.world.clock.now_ms += MINUTE_MS
    paypal.desk.captures.resolve_dispute(dispute, "RESOLVED_SELLER_FAVOUR", reverses=True)
    await paypal.deliver(paypal.event("CUSTOMER.DISPUTE.RESOLVED"))

    assert (held, state) == ("7.00", "disputed")
    assert await paypal.balance() == "10.00"
    assert (await paypal.shown(topup))["state"] == "won"
    assert [grant.id for grant in await paypal.wallet()][1:] == [
        f"paypal:dispute:{dispute.id}",
        f"paypal:dispute:{dispute.id}:released",
    ]


@pytest.mark.parametrize("reverses", [True, False], ids=["with a reversal", "without one"])
async def test_a_lost_dispute_takes_its_sum_once(paypal: PayPalWorld, reverses: bool) -> None:
    topup = await paypal.paid("10.00")
    paypal.world.clock.now_ms += MINUTE_MS
    dispute = paypal.dispute(topup)
    await paypal.deliver_all()
    paypal.world.clock.now_ms += MINUTE_MS
    paypal.desk.captures.resolve_dispute(dispute, "RESOLVED_BUYER_FAVOUR", reverses=reverses)
    await paypal.deliver_all()

    assert await paypal.balance() == "0.00"
    assert (await paypal.shown(topup))["state"] == "lost"


async def test_a_dispute_that_the_operator_settles_by_a_refund_takes_its_sum_once(paypal: PayPalWorld) -> None:
    topup = await paypal.paid("10.00")
    paypal.world.clock.now_ms += MINUTE_MS
    dispute = paypal.dispute(topup)
    await paypal.refresh(topup)
    paypal.world.clock.now_ms += MINUTE_MS
    answer = await paypal.world.admin.post(f"/admin/v1/topups/{topup['id']}/refund")
    paypal.world.clock.now_ms += MINUTE_MS
    paypal.desk.captures.resolve_dispute(dispute, "CANCELED_BY_BUYER", reverses=False)
    shown = await paypal.refresh(topup)

    assert answer.json()["refunded_usd"] == "10.00"
    assert shown["state"] == "refunded"
    assert await paypal.balance() == "0.00"
