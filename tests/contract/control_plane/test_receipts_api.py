"""Receipts, statements and invoices over HTTP and from the command line: the own account's, and right as downloaded."""

import asyncio
import base64
import csv
import io
import json
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import httpx2
import pytest

from control_plane import booking, receipt_chain
from control_plane.api.receipt_schemas import SignedReceiptOut
from control_plane.api.receipts import CHAIN_PART
from control_plane.receipt_key import ReceiptPublicKey
from gateway.money import NanoUsd, parse_usd
from gateway.records import Attempt, Usage, UsageRecord
from tests.contract.control_plane.paypal_world import PayPalWorld
from tests.contract.control_plane.world import ADMIN_TOKEN, World, assert_problem, client_of, read, running

LIMIT_S = 60.0
OTHER_KEY = base64.b64encode(bytes(range(32))).decode()


async def book(world: World, account_id: str, *request_ids: str) -> None:
    """Each is one input token and one output token, at $0.28 and $0.42 per million: 700 nano-USD."""
    now_ms = world.clock.now_ms
    records = [
        UsageRecord(
            request_id=request_id,
            account_id=account_id,
            key_id="key_1",
            model="deepseek-chat",
            served_model="deepseek-flash",
            provider="deepseek",
            usage=Usage(prompt_tokens=1, cached_tokens=0, completion_tokens=1, reasoning_tokens=0),
            cost_nano_usd=NanoUsd(700),
            price_row=world.services.loaded.models["deepseek-chat"].targets[0].prices[0].id,
            state="complete",
            estimated=False,
            stream=True,
            attempts=(Attempt(provider="deepseek", model="deepseek-flash", outcome="ok", status=200, ms=80),),
            started_at_ms=now_ms - 1_000,
            first_event_ms=80,
            total_ms=120,
        )
        for request_id in request_ids
    ]
    async with world.services.store.begin() as connection:
        booked = await booking.book(connection, records, now_ms=now_ms)
    assert booked.booked == request_ids


async def published_key(world: World) -> ReceiptPublicKey:
    published = await read(world.anyone, "/receipts/public-key")
    key = ReceiptPublicKey(published["public_key"])
    assert published == {"algorithm": "Ed25519", "public_key": key.text, "key_id": key.key_id}
    return key


async def download(client: httpx2.AsyncClient) -> list[bytes]:
    answer = await client.get("/account/v1/receipts.jsonl")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/jsonl"
    return answer.content.splitlines(keepends=True)


async def test_a_receipt_is_read_by_its_request_and_is_its_line_in_the_chain(world: World) -> None:
    account_id = await world.open_account()
    customer = await world.customer(account_id)
    await world.admin.post(f"/admin/v1/accounts/{account_id}/credits", json={"amount_usd": "1.00", "reference": "r"})
    await book(world, account_id, "req_1", "req_2")

    answer = await customer.get("/account/v1/receipts/req_2")
    receipt = answer.json()["receipt"]
    assert answer.headers["content-type"] == "application/json"
    assert (receipt["amount_usd"], receipt["balance_after_usd"]) == ("0.0000007", "0.9999986")
    assert receipt["price"]["source"] == "https://example.com/prices"
    assert (await download(customer))[1] == answer.content + b"\n"
    assert (await world.admin.get("/admin/v1/receipts/req_2")).content == answer.content


async def test_a_receipt_has_the_shape_that_the_description_gives(world: World) -> None:
    account_id = await world.open_account()
    await book(world, account_id, "req_1")

    receipt = await read(world.admin, "/admin/v1/receipts/req_1")
    assert SignedReceiptOut.model_validate(receipt, extra="forbid").model_dump() == receipt


async def test_a_downloaded_chain_is_right_by_the_published_key_however_long_it_is(world: World) -> None:
    account_id = await world.open_account()
    customer = await world.customer(account_id)
    for start in range(0, 2 * CHAIN_PART + 1, 100):
        end = min(start + 100, 2 * CHAIN_PART + 1)
        await book(world, account_id, *(f"req_{number}" for number in range(start, end)))

    last = receipt_chain.verify(await download(customer), public_key=await published_key(world))
    assert last.receipt.number == 2 * CHAIN_PART + 1
    assert last.receipt.standing.spent_nano_usd == 700 * (2 * CHAIN_PART + 1)


async def test_an_account_without_requests_has_an_empty_chain(world: World) -> None:
    customer = await world.customer(await world.open_account())

    assert await download(customer) == []
    assert await read(customer, "/account/v1/receipts") == {"items": [], "next_cursor": None}


async def test_receipts_are_listed_in_pages_newest_first(world: World) -> None:
    account_id = await world.open_account()
    customer = await world.customer(account_id)
    await book(world, account_id, "req_b", "req_a", "req_c")

    page = await read(customer, "/account/v1/receipts", limit=2)
    rest = await read(customer, "/account/v1/receipts", limit=2, cursor=page["next_cursor"])
    assert [item["receipt"]["number"] for item in page["items"] + rest["items"]] == [3, 2, 1]
    assert rest["next_cursor"] is None


async def test_the_receipts_of_another_account_do_not_exist_for_a_customer(world: World) -> None:
    other_id = await world.open_account("other@example.com")
    customer = await world.customer(await world.open_account())
    await book(world, other_id, "req_1")

    assert_problem(await customer.get("/account/v1/receipts/req_1"), 404, "receipt_not_found")
    assert_problem(await world.admin.get("/admin/v1/receipts/req_none"), 404, "receipt_not_found")
    assert await download(customer) == []
    assert (await read(customer, "/account/v1/receipts"))["items"] == []


@pytest.mark.parametrize(
    "path",
    [
        "/account/v1/receipts",
        "/account/v1/receipts.jsonl",
        "/account/v1/receipts/req_1",
        "/account/v1/statements/2026-11",
        "/account/v1/statements/2026-11.csv",
        "/account/v1/statements/2026-11.pdf",
        "/account/v1/topups/topup_1/invoice",
        "/account/v1/topups/topup_1/invoice.pdf",
        "/admin/v1/receipts/req_1",
    ],
)
async def test_without_the_right_token_nothing_is_shown(world: World, path: str) -> None:
    wrong = client_of(world.app, ADMIN_TOKEN) if path.startswith("/account") else await a_customer(world)

    for client in (world.anyone, client_of(world.app, "wrong"), wrong):
        assert_problem(await client.get(path), 401, "unauthenticated")


async def a_customer(world: World) -> httpx2.AsyncClient:
    return await world.customer(await world.open_account())


async def test_the_key_is_kept_over_a_restart_and_the_operator_may_set_another(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        account_id = await world.open_account()
        await book(world, account_id, "req_1")
        first = await world.admin.get("/admin/v1/receipts/req_1")
    async with running(tmp_path) as world:
        second = await world.admin.get("/admin/v1/receipts/req_1")
    async with running(tmp_path, receipt_signing_key=OTHER_KEY) as world:
        third = await world.admin.get("/admin/v1/receipts/req_1")
        receipt_chain.verify([third.content], public_key=await published_key(world))

    assert first.content == second.content
    assert first.json()["hash"] == third.json()["hash"]
    assert first.json()["public_key"] != third.json()["public_key"]


async def test_a_statement_is_read_as_html_csv_and_pdf(world: World) -> None:
    account_id = await world.open_account()
    customer = await world.customer(account_id)
    await world.admin.post(f"/admin/v1/accounts/{account_id}/credits", json={"amount_usd": "1.00", "reference": "r"})
    await book(world, account_id, "req_1", "req_2")

    html = await customer.get("/account/v1/statements/2026-11")
    csv_file = await customer.get("/account/v1/statements/2026-11.csv")
    pdf = await customer.get("/account/v1/statements/2026-11.pdf")
    assert html.headers["content-type"] == "text/html; charset=utf-8"
    assert '<td class="number">0.9999986</td>' in html.text
    rows = list(csv.DictReader(io.StringIO(csv_file.text)))
    assert [(row["line"], row["amount_usd"]) for row in rows] == [
        ("opening_balance", "0.00"),
        ("credit", "1.00"),
        ("usage", "-0.0000014"),
        ("closing_balance", "0.9999986"),
    ]
    assert csv_file.headers["content-disposition"] == 'attachment; filename="statement-2026-11.csv"'
    assert pdf.headers["content-type"] == "application/pdf"
    assert pdf.content.startswith(b"%PDF-")


async def test_there_is_no_statement_of_a_month_to_come_or_of_what_is_not_a_month(world: World) -> None:
    customer = await a_customer(world)

    for ending in ("", ".csv", ".pdf"):
        future = await customer.get(f"/account/v1/statements/2027-01{ending}")
        wrong = await customer.get(f"/account/v1/statements/2026-13{ending}")
        assert_problem(future, 404, "statement_not_found")
        assert_problem(wrong, 422, "invalid_request", pointer="/month")


async def test_a_paid_top_up_has_an_invoice_and_stands_in_the_statement(paypal: PayPalWorld) -> None:
    paid = await paypal.paid("10.00")
    await paypal.paid("5.00")

    invoice = await paypal.customer.get(f"/account/v1/topups/{paid['id']}/invoice")
    pdf = await paypal.customer.get(f"/account/v1/topups/{paid['id']}/invoice.pdf")
    statement = await paypal.customer.get("/account/v1/statements/2026-11.csv")
    rows = list(csv.DictReader(io.StringIO(statement.text)))
    assert "<h1>Invoice 1</h1>" in invoice.text
    assert f"by paypal, {paid['capture_id']}" in invoice.text
    assert '<tr class="total"><td>Total, paid</td><td class="number">10.00</td></tr>' in invoice.text
    assert pdf.headers["content-disposition"] == 'attachment; filename="invoice-1.pdf"'
    assert pdf.content.startswith(b"%PDF-")
    assert sorted(row["amount_usd"] for row in rows if row["line"] == "top_up") == ["10.00", "5.00"]
    assert parse_usd(rows[-1]["amount_usd"]) == parse_usd(await paypal.balance())


async def test_there_is_no_invoice_of_what_was_not_paid_or_is_anothers(paypal: PayPalWorld) -> None:
    unpaid, paid = await paypal.start("10.00"), await paypal.paid("5.00")
    other = await paypal.world.customer(await paypal.world.open_account("other@example.com"))

    refused = await paypal.customer.get(f"/account/v1/topups/{unpaid['id']}/invoice")
    foreign = await other.get(f"/account/v1/topups/{paid['id']}/invoice")
    assert_problem(refused, 409, "topup_not_paid")
    assert_problem(foreign, 404, "topup_not_found")


async def command(*arguments: str, given: bytes = b"") -> tuple[int | None, Any, str]:
    """Exit status, decoded output and errors of one command, which is told no token and no address."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("ADMIN_TOKEN", "CONTROL_PLANE_URL")
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "control_plane.cli", *arguments), env=environment, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    async with asyncio.timeout(LIMIT_S):
        output, errors = await process.communicate(given)
    return process.returncode, json.loads(output) if output else None, errors.decode()


async def test_the_command_checks_a_downloaded_chain_and_names_the_first_line_that_is_wrong(
    world: World, tmp_path: Path
) -> None:
    account_id = await world.open_account()
    await book(world, account_id, "req_1", "req_2", "req_3")
    lines, key = await download(await world.customer(account_id)), await published_key(world)
    right, wrong = tmp_path / "right.jsonl", tmp_path / "wrong.jsonl"
    right.write_bytes(b"".join(lines))
    wrong.write_bytes(b"".join([lines[0], lines[1].replace(b'"total_ms":120', b'"total_ms":121'), lines[2]]))

    by_key = await command("verify-receipts", str(right), "--public-key", key.text)
    by_itself = await command("verify-receipts", "-", given=right.read_bytes())
    broken = await command("verify-receipts", str(wrong))
    forged = await command("verify-receipts", str(right), "--public-key", OTHER_KEY)
    assert by_key == (
        0,
        {
            "account_id": account_id,
            "receipts": 3,
            "last_hash": json.loads(lines[2])["hash"],
            "spent_usd": "0.0000021",
            "balance_usd": "-0.0000021",
            "public_key": key.text,
            "key_id": key.key_id,
        },
        "",
    )
    assert by_itself[:2] == by_key[:2]
    assert "compare it with GET /receipts/public-key" in by_itself[2]
    assert broken == (1, None, "line 2: the hash is not the receipt's\n")
    assert forged == (1, None, "line 1: it is signed by another key\n")


async def test_a_command_refuses_what_is_not_a_key_or_a_missing_token(tmp_path: Path) -> None:
    file = tmp_path / "empty.jsonl"
    file.touch()

    bad_key = await command("verify-receipts", str(file), "--public-key", "short")
    empty = await command("verify-receipts", str(file))
    no_token = await command("accounts", "list")
    assert bad_key[0] == 2
    assert "must be 32 bytes in base64" in bad_key[2]
    assert empty == (1, None, "line 1: there is no receipt\n")
    assert no_token[0] == 2
    assert "ADMIN_TOKEN" in no_token[2]
