"""Credit notes: one for all that went back of a top-up, with a number of its own and that of the invoice."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.contract.control_plane.paypal_world import MINUTE_MS, PayPalWorld, money, paypal_running
from tests.contract.control_plane.world import assert_problem, read
from tests.unit.control_plane.pdf_text import text_of


async def refund(paypal: PayPalWorld, topup: dict[str, Any], value: str) -> str:
    """At PayPal, and seen here; its id."""
    paypal.world.clock.now_ms += MINUTE_MS
    made = paypal.desk.captures.refund(paypal.capture(topup), money(value))
    await paypal.refresh(topup)
    return made.id


def path_of(topup: dict[str, Any], refund_id: str, ending: str = "") -> str:
    return f"/account/v1/topups/{topup['id']}/refunds/{refund_id}/credit-note{ending}"


async def test_a_refund_in_part_has_a_credit_note_to_the_invoice_with_its_part_of_the_fee(tmp_path: Path) -> None:
    async with paypal_running(
        tmp_path, top_up_fee_policy="uniform_fee", top_up_uniform_fee_usd="0.50", operator_name="Tokens & Sons"
    ) as paypal:
        await paypal.customer.get(f"/account/v1/topups/{(await paypal.paid('5.00'))['id']}/invoice")
        topup = await paypal.paid("10.00")
        refund_id = await refund(paypal, topup, "5.00")
        html = await paypal.customer.get(path_of(topup, refund_id))
        pdf = await paypal.customer.get(path_of(topup, refund_id, ".pdf"))
        invoice = await paypal.customer.get(f"/account/v1/topups/{topup['id']}/invoice")

        assert "<h1>Invoice 2</h1>" in invoice.text
        assert pdf.headers["content-disposition"] == 'attachment; filename="credit-note-1.pdf"'
        for part in (
            *("Credit note 1", f"To invoice 2, top-up {topup['id']}", f"by paypal, refund {refund_id}"),
            *("Prepaid credit for API usage", "4.75", "Payment fee", "0.25", "Total, returned", "5.00"),
        ):
            assert part in html.text
            assert part in text_of(pdf.content)
        assert "Tokens &amp; Sons" in html.text


async def test_refunds_and_reversals_of_a_top_up_are_listed_oldest_first(paypal: PayPalWorld) -> None:
    topup = await paypal.paid("10.00")
    refund_id = await refund(paypal, topup, "3.00")
    paypal.world.clock.now_ms += MINUTE_MS
    reversal = paypal.desk.captures.reverse(paypal.capture(topup))
    await paypal.refresh(topup)

    items = (await read(paypal.customer, f"/account/v1/topups/{topup['id']}/refunds"))["items"]
    assert [(item["refund_id"], item["kind"], item["total_usd"]) for item in items] == [
        (refund_id, "refund", "3.00"),
        (reversal.id, "reversal", "7.00"),
    ]
    assert f"reversal {reversal.id}" in (await paypal.customer.get(path_of(topup, reversal.id))).text


async def test_the_invoice_and_its_credit_notes_add_up_to_what_the_statement_says(paypal: PayPalWorld) -> None:
    topup = await paypal.paid("10.00")
    for value in ("3.00", "2.50"):
        await refund(paypal, topup, value)

    items = (await read(paypal.customer, f"/account/v1/topups/{topup['id']}/refunds"))["items"]
    statement = (await paypal.customer.get("/account/v1/statements/2026-11.csv")).text
    assert [item["credit_usd"] for item in items] == ["3.00", "2.50"]
    assert [line.rsplit(",", 1)[1] for line in statement.splitlines() if line.startswith("refund")] == [
        "-3.00",
        "-2.50",
    ]
    assert await paypal.balance() == "4.50"


async def test_credit_notes_are_numbered_in_the_order_in_which_they_are_asked_for_and_keep_their_numbers(
    paypal: PayPalWorld,
) -> None:
    topup = await paypal.paid("10.00")
    ids = [await refund(paypal, topup, "1.00") for _ in range(3)]
    asked = [ids[2], ids[0], ids[2], ids[1]]
    pages = [(await paypal.customer.get(path_of(topup, refund_id))).text for refund_id in asked]
    at_once = await asyncio.gather(*(paypal.customer.get(path_of(topup, refund_id)) for refund_id in asked))

    numbers = [page.partition("<h1>Credit note ")[2].partition("<")[0] for page in pages]
    assert numbers == ["1", "2", "1", "3"]
    assert [answer.text for answer in at_once] == pages


async def test_a_credit_note_never_changes(paypal: PayPalWorld) -> None:
    topup = await paypal.paid("10.00")
    refund_id = await refund(paypal, topup, "1.00")
    first = (await paypal.customer.get(path_of(topup, refund_id))).text
    await paypal.world.admin.patch(f"/admin/v1/accounts/{paypal.account_id}", json={"name": "Another"})
    await refund(paypal, topup, "2.00")

    assert (await paypal.customer.get(path_of(topup, refund_id))).text == first
    with pytest.raises(DBAPIError, match="append-only"):
        async with paypal.world.services.store.begin() as connection:
            await connection.execute(text("UPDATE credit_notes SET number = 2"))


async def test_there_is_no_credit_note_of_what_was_not_given_back_or_is_anothers(paypal: PayPalWorld) -> None:
    first, second = await paypal.paid("10.00"), await paypal.paid("5.00")
    refund_id = await refund(paypal, first, "1.00")
    other = await paypal.world.customer(await paypal.world.open_account("other@example.com"))

    assert_problem(await paypal.customer.get(path_of(first, "NONE")), 404, "refund_not_found")
    assert_problem(await paypal.customer.get(path_of(first, first["capture_id"])), 404, "refund_not_found")
    assert_problem(await paypal.customer.get(path_of(second, refund_id)), 404, "refund_not_found")
    assert_problem(await other.get(path_of(first, refund_id)), 404, "topup_not_found")
    assert_problem(await other.get(f"/account/v1/topups/{first['id']}/refunds"), 404, "topup_not_found")
    assert "<h1>Credit note 1</h1>" in (await paypal.customer.get(path_of(first, refund_id))).text


async def test_what_a_dispute_cost_is_booked_once_and_not_by_the_customer(paypal: PayPalWorld) -> None:
    topup = await paypal.paid("10.00")
    paypal.world.clock.now_ms += MINUTE_MS
    dispute = paypal.dispute(topup, "4.00")
    await paypal.refresh(topup)
    before = await paypal.books()
    url, body = f"/admin/v1/topups/{topup['id']}/dispute-fees", {"dispute_id": dispute.id, "amount_usd": "15.00"}
    answers = [await paypal.world.admin.post(url, json=body) for _ in range(2)]
    other = await paypal.world.admin.post(url, json=body | {"amount_usd": "20.00"})
    unknown = await paypal.world.admin.post(url, json=body | {"dispute_id": "PP-D-0"})

    after = await paypal.books()
    assert [answer.json() for answer in answers] == [{"transfer_id": f"paypal:dispute_fee:{dispute.id}"}] * 2
    assert_problem(other, 409, "reference_used")
    assert_problem(unknown, 404, "dispute_not_found")
    assert after == before | {"fee:paypal": "-15.84", "external:paypal": "9.84"}
