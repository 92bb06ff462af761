"""The customer's routes, over HTTP: the own account and no other."""

import httpx2
import pytest

from control_plane import booking
from gateway.money import NanoUsd
from gateway.records import Attempt, Usage, UsageRecord
from tests.contract.control_plane.world import ADMIN_TOKEN, World, assert_problem, client_of, kv_record, read


async def test_a_customer_reads_the_own_balance(world: World) -> None:
    account_id = await world.open_account()
    await world.admin.post(f"/admin/v1/accounts/{account_id}/credits", json={"amount_usd": "2.5", "reference": "r"})
    customer = await world.customer(account_id)

    assert await read(customer, "/account/v1/balance") == {
        "balance_usd": "2.50",
        "spent_usd": "0.00",
        "held_usd": "0.00",
    }


async def test_a_customer_makes_lists_rotates_and_revokes_own_keys(world: World) -> None:
    account_id = await world.open_account()
    customer = await world.customer(account_id)

    made = (await customer.post("/account/v1/keys", json={"name": "mine"})).json()
    rotated = (await customer.post(f"/account/v1/keys/{made['id']}/rotate")).json()
    revoked = (await customer.delete(f"/account/v1/keys/{made['id']}")).json()

    assert made["account_id"] == account_id
    assert kv_record(world, made)["state"] == kv_record(world, rotated)["state"] == "revoked"
    assert revoked["state"] == "revoked"
    assert [key["id"] for key in (await read(customer, "/account/v1/keys"))["items"]] == [made["id"]]


async def test_the_keys_of_another_account_do_not_exist_for_a_customer(world: World) -> None:
    foreign = await world.make_key(await world.open_account("other@example.com"))
    customer = await world.customer(await world.open_account())

    assert_problem(await customer.delete(f"/account/v1/keys/{foreign['id']}"), 404, "key_not_found")
    assert_problem(await customer.post(f"/account/v1/keys/{foreign['id']}/rotate"), 404, "key_not_found")
    assert (await read(customer, "/account/v1/keys"))["items"] == []
    assert kv_record(world, foreign)["state"] == "active"


async def test_usage_is_listed_to_its_own_customer_and_to_the_operator(world: World) -> None:
    account_id, other_id = await world.open_account(), await world.open_account("other@example.com")
    customer, other = await world.customer(account_id), await world.customer(other_id)
    await book(world, account_id, "req_1", started_at_ms=world.clock.now_ms - 2_000)
    await book(world, account_id, "req_2", started_at_ms=world.clock.now_ms - 1_000)

    page = await read(customer, "/account/v1/usage", limit=1)
    rest = await read(customer, "/account/v1/usage", limit=1, cursor=page["next_cursor"])
    within = {"from": "2026-11-24T05:59:58Z", "to": "2026-11-24T05:59:59Z"}

    assert page["items"][0]["started_at"] == "2026-11-24T05:59:59.000Z"
    assert page["items"][0]["cost_nano_usd"] == 700
    assert page["items"][0]["attempts"] == [
        {"provider": "deepseek", "model": "deepseek-flash", "outcome": "ok", "status": 200, "ms": 80}
    ]
    assert [item["request_id"] for item in page["items"] + rest["items"]] == ["req_2", "req_1"]
    assert rest["next_cursor"] is None
    assert [item["request_id"] for item in (await read(customer, "/account/v1/usage", **within))["items"]] == ["req_1"]
    assert (await read(other, "/account/v1/usage"))["items"] == []
    assert len((await read(world.admin, "/admin/v1/usage"))["items"]) == 2
    assert (await read(world.admin, "/admin/v1/usage", account_id=other_id))["items"] == []
    assert (await read(customer, "/account/v1/balance"))["spent_usd"] == "0.0000014"


async def book(world: World, account_id: str, request_id: str, *, started_at_ms: int) -> None:
    """One input token and one output token, at $0.28 and $0.42 per million: 700 nano-USD."""
    record = UsageRecord(
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
        started_at_ms=started_at_ms,
        first_event_ms=80,
        total_ms=120,
    )
    async with world.services.store.begin() as connection:
        booking_made = await booking.book(connection, [record], now_ms=world.clock.now_ms)
    assert booking_made.booked == (request_id,)


async def test_a_suspended_customer_may_read_but_not_make_keys(world: World) -> None:
    account_id = await world.open_account()
    customer = await world.customer(account_id)
    await world.admin.patch(f"/admin/v1/accounts/{account_id}", json={"state": "suspended"})

    assert (await customer.get("/account/v1/balance")).status_code == 200
    assert_problem(await customer.post("/account/v1/keys", json={"name": "mine"}), 409, "account_suspended")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/account/v1/balance"),
        ("GET", "/account/v1/keys"),
        ("POST", "/account/v1/keys"),
        ("DELETE", "/account/v1/keys/key_x"),
        ("POST", "/account/v1/keys/key_x/rotate"),
        ("GET", "/account/v1/usage"),
    ],
)
async def test_without_an_account_token_every_customer_route_is_refused(world: World, method: str, path: str) -> None:
    clients: list[httpx2.AsyncClient] = [world.anyone, client_of(world.app, "wrong"), client_of(world.app, ADMIN_TOKEN)]

    for client in clients:
        assert_problem(await client.request(method, path), 401, "unauthenticated")
