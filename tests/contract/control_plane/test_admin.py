"""The operator's routes, over HTTP."""

import json
from pathlib import Path

import pytest

from control_plane import tokens
from gateway.money import NanoUsd
from gateway.records import Grant
from tests.contract.control_plane.world import World, assert_problem, client_of, read, running

CREDIT = {"amount_usd": "1.00", "reference": "welcome"}


async def test_an_account_is_opened_empty_and_active(world: World) -> None:
    answer = await world.admin.post("/admin/v1/accounts", json={"email": "Dev@Example.com", "name": "Dev"})

    account = answer.json()
    assert answer.status_code == 201
    assert account["id"].startswith("acct_")
    assert len(account["id"]) == len("acct_") + 20
    assert account == {
        "id": account["id"],
        "email": "dev@example.com",
        "name": "Dev",
        "state": "active",
        "created_at": "2026-11-24T06:00:00.000Z",
        "balance_usd": "0.00",
        "spent_usd": "0.00",
        "held_usd": "0.00",
    }
    assert (await world.admin.get(f"/admin/v1/accounts/{account['id']}")).json() == account


async def test_an_email_belongs_to_one_account_whatever_its_case(world: World) -> None:
    await world.open_account("dev@example.com")

    answer = await world.admin.post("/admin/v1/accounts", json={"email": "DEV@example.com"})

    assert_problem(answer, 409, "email_taken")


@pytest.mark.parametrize("email", ["", "dev", "dev@example", "@example.com", "a b@example.com", "a@b@c.com"])
async def test_what_is_not_an_email_is_refused(world: World, email: str) -> None:
    answer = await world.admin.post("/admin/v1/accounts", json={"email": email})

    assert_problem(answer, 422, "invalid_request", pointer="/email")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"email": "dev@example.com", "role": "admin"}, "/role"),
        ({"email": 5}, "/email"),
        ({"email": "d" * 60 + "@" + "e" * 190 + ".com"}, "/email"),
        ({"email": "dev@example.com", "name": ""}, "/name"),
        ({"email": "dev@example.com", "name": "n" * 101}, "/name"),
        ({"email": "dev@example.com", "name": "a\nb"}, "/name"),
        ({"email": "dev@example.com", "name": "\ud800"}, "/name"),
        ({}, "/email"),
        ([], "/"),
    ],
)
async def test_an_account_with_an_unfit_field_is_refused(world: World, body: object, pointer: str) -> None:
    answer = await world.admin.post("/admin/v1/accounts", content=json.dumps(body), headers=JSON)

    assert_problem(answer, 422, "invalid_request", pointer=pointer)


async def test_a_name_may_have_a_hundred_characters(world: World) -> None:
    answer = await world.admin.post("/admin/v1/accounts", json={"email": "dev@example.com", "name": "n" * 100})

    assert answer.status_code == 201


async def test_an_unknown_account_is_not_found(world: World) -> None:
    for answer in (
        await world.admin.get("/admin/v1/accounts/acct_none"),
        await world.admin.patch("/admin/v1/accounts/acct_none", json={"name": "x"}),
        await world.admin.post("/admin/v1/accounts/acct_none/credits", json=CREDIT),
        await world.admin.get("/admin/v1/accounts/acct_none/keys"),
        await world.admin.post("/admin/v1/accounts/acct_none/keys", json={"name": "x"}),
        await world.admin.get("/admin/v1/accounts/acct_none/tokens"),
        await world.admin.post("/admin/v1/accounts/acct_none/tokens", json={}),
    ):
        assert_problem(answer, 404, "account_not_found")


async def test_a_list_is_read_page_by_page_without_gap_or_repetition(world: World) -> None:
    opened = []
    for number in range(5):
        world.clock.now_ms += number % 2  # Some are opened in the same millisecond.
        opened.append(await world.open_account(f"dev{number}@example.com"))

    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await read(world.admin, "/admin/v1/accounts", limit=2, **({"cursor": cursor} if cursor else {}))
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert len(seen) == 5
    assert set(seen) == set(opened)


async def test_a_full_last_page_has_no_cursor(world: World) -> None:
    await world.open_account()

    page = await read(world.admin, "/admin/v1/accounts", limit=1)

    assert len(page["items"]) == 1
    assert page["next_cursor"] is None


@pytest.mark.parametrize("limit", [0, 201, "many"])
async def test_a_page_has_between_one_and_two_hundred_items(world: World, limit: object) -> None:
    answer = await world.admin.get(f"/admin/v1/accounts?limit={limit}")

    assert_problem(answer, 422, "invalid_request", pointer="/limit")
    assert (await world.admin.get("/admin/v1/accounts?limit=200")).status_code == 200


@pytest.mark.parametrize("cursor", ["x", "bm9uZQ", "WzEsMl0", "W10", "%FF", "W1sxXSwiYSJd"])
@pytest.mark.parametrize("path", ["accounts", "usage", "projection/outbox"])
async def test_a_cursor_of_our_own_making_only(world: World, path: str, cursor: str) -> None:
    answer = await world.admin.get(f"/admin/v1/{path}?cursor={cursor}")

    assert_problem(answer, 422, "invalid_request", pointer="/cursor")


async def test_a_credit_is_on_the_balance_and_in_the_wallet_when_it_is_answered(world: World) -> None:
    account_id = await world.open_account()

    answer = await world.admin.post(f"/admin/v1/accounts/{account_id}/credits", json=CREDIT)

    assert answer.json() == {
        "transfer_id": f"credit:{account_id}:welcome",
        "balance_usd": "1.00",
        "delivered": True,
    }
    grant = Grant(id=f"credit:{account_id}:welcome", kind="credit", amount_nano_usd=NanoUsd(10**9))
    assert world.edge.grants[account_id] == {grant.id: grant}


async def test_the_same_credit_again_answers_the_same_and_gives_nothing(world: World) -> None:
    account_id = await world.open_account()

    answers = [await world.admin.post(f"/admin/v1/accounts/{account_id}/credits", json=CREDIT) for _ in range(2)]

    assert answers[0].json() == answers[1].json()
    assert (await read(world.admin, f"/admin/v1/accounts/{account_id}"))["balance_usd"] == "1.00"


async def test_another_amount_under_a_used_reference_is_a_conflict(world: World) -> None:
    account_id = await world.open_account()
    await world.admin.post(f"/admin/v1/accounts/{account_id}/credits", json=CREDIT)

    answer = await world.admin.post(
        f"/admin/v1/accounts/{account_id}/credits", json={**CREDIT, "amount_usd": "1.000000001"}
    )

    assert_problem(answer, 409, "reference_used")


@pytest.mark.parametrize("amount", ["0", "-1", "1e3", "1.0000000001", "1000000.01", "", 1, 1.5, None, True])
async def test_what_is_not_a_positive_decimal_amount_is_refused(world: World, amount: object) -> None:
    account_id = await world.open_account()

    answer = await world.admin.post(
        f"/admin/v1/accounts/{account_id}/credits", json={"amount_usd": amount, "reference": "r"}
    )

    assert_problem(answer, 422, "invalid_request", pointer="/amount_usd")


@pytest.mark.parametrize("amount", ["0.000000001", "1000000"])
async def test_the_least_and_the_most_amount_are_taken(world: World, amount: str) -> None:
    account_id = await world.open_account()

    answer = await world.admin.post(
        f"/admin/v1/accounts/{account_id}/credits", json={"amount_usd": amount, "reference": "r"}
    )

    assert answer.status_code == 200


@pytest.mark.parametrize("reference", ["", "r" * 201, "a\x00b", None])
async def test_a_reference_is_one_to_two_hundred_printable_characters(world: World, reference: object) -> None:
    account_id = await world.open_account()

    answer = await world.admin.post(
        f"/admin/v1/accounts/{account_id}/credits", json={"amount_usd": "1.00", "reference": reference}
    )

    assert_problem(answer, 422, "invalid_request", pointer="/reference")


async def test_a_credit_is_answered_though_the_edge_is_down_and_stays_in_the_outbox(tmp_path: Path) -> None:
    async with running(tmp_path, delivery_wait_ms=0) as world:
        account_id = await world.open_account()
        world.edge.down.add(account_id)

        answer = await world.admin.post(f"/admin/v1/accounts/{account_id}/credits", json=CREDIT)

        assert answer.json()["delivered"] is False
        assert answer.json()["balance_usd"] == "1.00"
        pending = await read(world.admin, "/admin/v1/projection/outbox", state="pending")
        assert account_id in [row["subject"] for row in pending["items"]]


async def test_a_change_leaves_alone_what_it_does_not_name(world: World) -> None:
    account_id = await world.open_account()

    await world.admin.patch(f"/admin/v1/accounts/{account_id}", json={"name": "Dev", "state": "suspended"})
    unchanged = await world.admin.patch(f"/admin/v1/accounts/{account_id}", json={})
    renamed = await world.admin.patch(f"/admin/v1/accounts/{account_id}", json={"name": None})

    assert (unchanged.json()["name"], unchanged.json()["state"]) == ("Dev", "suspended")
    assert (renamed.json()["name"], renamed.json()["state"]) == (None, "suspended")


async def test_a_state_that_does_not_exist_is_refused(world: World) -> None:
    answer = await world.admin.patch(f"/admin/v1/accounts/{await world.open_account()}", json={"state": "closed"})

    assert_problem(answer, 422, "invalid_request", pointer="/state")


async def test_the_held_amount_is_unknown_when_the_edge_does_not_say(world: World) -> None:
    account_id = await world.open_account()
    await world.admin.post(f"/admin/v1/accounts/{account_id}/credits", json=CREDIT)
    known = await read(world.admin, f"/admin/v1/accounts/{account_id}")
    world.edge.down.add(account_id)

    unknown = await read(world.admin, f"/admin/v1/accounts/{account_id}")

    assert known["held_usd"] == "0.00"
    assert unknown["held_usd"] is None


async def test_without_a_valid_admin_token_every_admin_route_is_refused(world: World) -> None:
    account_id = await world.open_account()
    customer = await world.customer(account_id)
    routes = admin_routes(world)

    assert len(routes) >= 15
    for method, path in routes:
        for client in (world.anyone, client_of(world.app, "wrong"), customer):
            answer = await client.request(method, path)
            assert_problem(answer, 401, "unauthenticated")
            assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_new_admin_token_in_the_environment_replaces_the_old_one(world: World) -> None:
    async with world.services.store.begin() as connection:
        await tokens.bootstrap_admin(connection, "another-token-of-tests", now_ms=0)

    assert (await world.admin.get("/admin/v1/accounts")).status_code == 401
    assert (await client_of(world.app, "another-token-of-tests").get("/admin/v1/accounts")).status_code == 200


async def test_usage_is_listed_within_its_bounds_only(world: World) -> None:
    empty = await read(world.admin, "/admin/v1/usage", **{"from": "2026-01-01T00:00:00Z", "to": "2027-01-01T00:00:00Z"})

    assert empty == {"items": [], "next_cursor": None}
    assert_problem(await world.admin.get("/admin/v1/usage?from=yesterday"), 422, "invalid_request", pointer="/from")


async def test_reconciliation_compares_every_account_with_its_wallet(world: World) -> None:
    account_id = await world.open_account()
    await world.admin.post(f"/admin/v1/accounts/{account_id}/credits", json=CREDIT)
    agreed = await read(world.admin, "/admin/v1/reconcile")
    world.edge.grants[account_id].clear()

    differing = await read(world.admin, "/admin/v1/reconcile")

    line = {"account_id": account_id, "ledger_nano_usd": 10**9, "usage_nano_usd": 0}
    assert agreed == {
        "accounts": [{**line, "wallet_nano_usd": 10**9, "difference_nano_usd": 0}],
        "difference_nano_usd": 0,
    }
    assert differing == {
        "accounts": [{**line, "wallet_nano_usd": 0, "difference_nano_usd": -(10**9)}],
        "difference_nano_usd": -(10**9),
    }


async def test_reconciliation_is_refused_when_a_wallet_does_not_answer(world: World) -> None:
    account_id = await world.open_account()
    await world.admin.post(f"/admin/v1/accounts/{account_id}/credits", json=CREDIT)
    world.edge.down.add(account_id)

    assert_problem(await world.admin.get("/admin/v1/reconcile"), 502, "edge_unavailable")


async def test_a_token_is_shown_once_and_revoked_for_good(world: World) -> None:
    account_id = await world.open_account()
    issued = (await world.admin.post(f"/admin/v1/accounts/{account_id}/tokens", json={"name": "laptop"})).json()
    customer = client_of(world.app, issued["token"])
    before = await customer.get("/account/v1/balance")

    revoked = await world.admin.delete(f"/admin/v1/tokens/{issued['id']}")

    assert before.status_code == 200
    assert revoked.status_code == 204
    assert (await customer.get("/account/v1/balance")).status_code == 401
    listed = await read(world.admin, f"/admin/v1/accounts/{account_id}/tokens")
    assert [(item["name"], item["revoked_at"] is None) for item in listed["items"]] == [("laptop", False)]
    assert "token" not in listed["items"][0]


async def test_a_token_may_be_issued_without_a_body(world: World) -> None:
    answer = await world.admin.post(f"/admin/v1/accounts/{await world.open_account()}/tokens")

    assert answer.status_code == 201


async def test_only_account_tokens_can_be_revoked_by_id(world: World) -> None:
    assert_problem(await world.admin.delete("/admin/v1/tokens/tok_none"), 404, "token_not_found")
    assert_problem(await world.admin.delete("/admin/v1/tokens/tok_bootstrap"), 404, "token_not_found")


JSON = {"content-type": "application/json"}


def admin_routes(world: World) -> list[tuple[str, str]]:
    """Every method and path under /admin, with ids in the place of parameters."""
    paths = world.app.openapi()["paths"]
    return [
        (method.upper(), path.replace("{account_id}", "acct_x").replace("{key_id}", "key_x"))
        for path, operations in paths.items()
        if path.startswith("/admin/")
        for method in operations
    ]
