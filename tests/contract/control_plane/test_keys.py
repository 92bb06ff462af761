"""Keys over HTTP: made, rotated, revoked, suspended; shown once, and obeyed at the edge when it is answered."""

from typing import Any

import pytest
from sqlalchemy import select

from control_plane.keys import ACTIVE_KEYS_MAX
from control_plane.store import metadata
from gateway.credentials import hash_api_key, is_api_key
from tests.contract.control_plane.world import ADMIN_TOKEN, World, assert_problem, kv_record, read


async def test_a_key_is_shown_once_and_known_to_the_edge_when_it_is_answered(world: World) -> None:
    account_id = await world.open_account()

    key = await world.make_key(account_id)

    assert is_api_key(key["key"])
    assert key["prefix"] == key["key"][:12]
    assert key["delivered"] is True
    assert kv_record(world, key)["state"] == "active"
    listed = await read(world.admin, f"/admin/v1/accounts/{account_id}/keys")
    assert [item["id"] for item in listed["items"]] == [key["id"]]
    assert "key" not in listed["items"][0]


async def test_the_secret_of_a_key_is_stored_nowhere(world: World) -> None:
    account_id = await world.open_account()

    key = await world.make_key(account_id)

    folder = world.services.settings.haotokai_data
    stored = b"".join(file.read_bytes() for file in folder.iterdir())
    async with world.services.store.read() as connection:
        for table in metadata.tables.values():
            stored += repr((await connection.execute(select(table))).all()).encode()
    assert hash_api_key(key["key"]).encode() in stored
    assert key["key"].encode() not in stored
    assert ADMIN_TOKEN.encode() not in stored


async def test_the_edge_learns_all_of_a_keys_terms(world: World) -> None:
    account_id = await world.open_account()

    key = await world.make_key(
        account_id,
        models=["deepseek-chat"],
        requests_per_minute=60,
        tokens_per_minute=1000,
        concurrent_requests=4,
        spend_cap_usd="2.50",
        spend_cap_period="day",
        expires_at="2027-01-31T13:00:00+01:00",
    )

    assert key["expires_at"] == "2027-01-31T12:00:00.000Z"
    assert key["spend_cap_usd"] == "2.50"
    assert kv_record(world, key) == {
        "account_id": account_id,
        "key_id": key["id"],
        "state": "active",
        "expires_at_ms": 1_801_396_800_000,
        "models": ["deepseek-chat"],
        "limits": {
            "requests_per_minute": 60,
            "tokens_per_minute": 1000,
            "concurrent_requests": 4,
            "spend_cap_nano_usd": 2_500_000_000,
            "spend_cap_period": "day",
        },
        "version": 1,
    }


@pytest.mark.parametrize(
    ("terms", "pointer"),
    [
        ({"models": ["gpt-4"]}, "/models/0"),
        ({"models": []}, "/models"),
        ({"models": ["deepseek-chat", "deepseek-chat"]}, "/models"),
        ({"models": "deepseek-chat"}, "/models"),
        ({"requests_per_minute": 0}, "/requests_per_minute"),
        ({"requests_per_minute": 1_000_001}, "/requests_per_minute"),
        ({"requests_per_minute": "60"}, "/requests_per_minute"),
        ({"tokens_per_minute": 0}, "/tokens_per_minute"),
        ({"tokens_per_minute": 1_000_000_001}, "/tokens_per_minute"),
        ({"concurrent_requests": 0}, "/concurrent_requests"),
        ({"concurrent_requests": 10_001}, "/concurrent_requests"),
        ({"spend_cap_usd": "0"}, "/spend_cap_usd"),
        ({"spend_cap_period": "week"}, "/spend_cap_period"),
        ({"expires_at": "2026-11-24T06:00:00Z"}, "/expires_at"),
        ({"expires_at": "2027-01-31"}, "/expires_at"),
        ({"expires_at": "2027-01-31T12:00:00"}, "/expires_at"),
        ({"expires_at": "2027-13-31T12:00:00Z"}, "/expires_at"),
        ({"expires_at": "0001-01-01T00:00:00+23:59"}, "/expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-00:01"}, "/expires_at"),
        ({"expires_at": 1_801_396_800}, "/expires_at"),
        ({"name": ""}, "/name"),
        ({"state": "revoked"}, "/state"),
    ],
)
async def test_a_key_with_unfit_terms_is_refused(world: World, terms: dict[str, Any], pointer: str) -> None:
    account_id = await world.open_account()

    answer = await world.admin.post(f"/admin/v1/accounts/{account_id}/keys", json={"name": "test", **terms})

    assert_problem(answer, 422, "invalid_request", pointer=pointer)
    assert (await read(world.admin, f"/admin/v1/accounts/{account_id}/keys"))["items"] == []


@pytest.mark.parametrize(
    "terms",
    [
        {"requests_per_minute": 1, "tokens_per_minute": 1, "concurrent_requests": 1, "spend_cap_usd": "0.000000001"},
        {"requests_per_minute": 1_000_000, "tokens_per_minute": 1_000_000_000, "concurrent_requests": 10_000},
        {"expires_at": "2026-11-24T06:00:00.001Z"},
        {"expires_at": "9999-12-31T23:59:59Z"},
    ],
)
async def test_terms_at_their_limits_are_taken(world: World, terms: dict[str, Any]) -> None:
    account_id = await world.open_account()

    answer = await world.admin.post(f"/admin/v1/accounts/{account_id}/keys", json={"name": "test", **terms})

    assert answer.status_code == 201


async def test_an_account_may_have_so_many_active_keys_and_no_more(world: World) -> None:
    account_id = await world.open_account()
    keys = [await world.make_key(account_id) for _ in range(ACTIVE_KEYS_MAX)]

    refused = await world.admin.post(f"/admin/v1/accounts/{account_id}/keys", json={"name": "one more"})
    await world.admin.delete(f"/admin/v1/keys/{keys[0]['id']}")
    taken = await world.admin.post(f"/admin/v1/accounts/{account_id}/keys", json={"name": "one more"})

    assert_problem(refused, 409, "too_many_keys")
    assert taken.status_code == 201


async def test_a_revoked_key_is_refused_by_kv_and_by_the_wallet_when_it_is_answered(world: World) -> None:
    account_id = await world.open_account()
    key = await world.make_key(account_id)

    answer = await world.admin.delete(f"/admin/v1/keys/{key['id']}")

    assert answer.json()["state"] == "revoked"
    assert answer.json()["delivered"] is True
    assert kv_record(world, key)["state"] == "revoked"
    assert kv_record(world, key)["version"] == 2
    assert world.edge.revoked[account_id] == [key["id"]]


async def test_revoking_twice_changes_nothing(world: World) -> None:
    account_id = await world.open_account()
    key = await world.make_key(account_id)

    answers = [await world.admin.delete(f"/admin/v1/keys/{key['id']}") for _ in range(2)]

    assert answers[0].json() == answers[1].json()
    assert kv_record(world, key)["version"] == 2


async def test_a_rotated_key_has_a_new_secret_under_the_same_id_and_the_old_one_is_refused(world: World) -> None:
    account_id = await world.open_account()
    old = await world.make_key(account_id, requests_per_minute=60)

    new = (await world.admin.post(f"/admin/v1/keys/{old['id']}/rotate")).json()

    assert new["id"] == old["id"]
    assert new["key"] != old["key"]
    assert new["delivered"] is True
    assert kv_record(world, old)["state"] == "revoked"
    assert kv_record(world, new)["state"] == "active"
    assert kv_record(world, new)["version"] == kv_record(world, old)["version"] == 2
    assert kv_record(world, new)["limits"]["requests_per_minute"] == 60
    # The Wallet refuses by key id, so it must not hear of a rotation.
    assert world.edge.revoked[account_id] == []


async def test_a_revoked_key_cannot_be_rotated(world: World) -> None:
    key = await world.make_key(await world.open_account())
    await world.admin.delete(f"/admin/v1/keys/{key['id']}")

    answer = await world.admin.post(f"/admin/v1/keys/{key['id']}/rotate")

    assert_problem(answer, 409, "key_revoked")


async def test_an_unknown_key_is_not_found(world: World) -> None:
    assert_problem(await world.admin.delete("/admin/v1/keys/key_none"), 404, "key_not_found")
    assert_problem(await world.admin.post("/admin/v1/keys/key_none/rotate"), 404, "key_not_found")


async def test_the_keys_of_a_suspended_account_are_refused_until_it_is_resumed(world: World) -> None:
    account_id = await world.open_account()
    key, revoked = await world.make_key(account_id), await world.make_key(account_id)
    await world.admin.delete(f"/admin/v1/keys/{revoked['id']}")

    suspended = await world.admin.patch(f"/admin/v1/accounts/{account_id}", json={"state": "suspended"})
    while_suspended = kv_record(world, key)
    await world.admin.patch(f"/admin/v1/accounts/{account_id}", json={"state": "active"})
    when_resumed = kv_record(world, key)

    assert suspended.json()["state"] == "suspended"
    assert (while_suspended["state"], while_suspended["version"]) == ("revoked", 2)
    assert (when_resumed["state"], when_resumed["version"]) == ("active", 3)
    assert kv_record(world, revoked)["state"] == "revoked"


async def test_a_suspended_account_gets_no_key(world: World) -> None:
    account_id = await world.open_account()
    key = await world.make_key(account_id)
    await world.admin.patch(f"/admin/v1/accounts/{account_id}", json={"state": "suspended"})

    made = await world.admin.post(f"/admin/v1/accounts/{account_id}/keys", json={"name": "test"})
    rotated = await world.admin.post(f"/admin/v1/keys/{key['id']}/rotate")

    assert_problem(made, 409, "account_suspended")
    assert_problem(rotated, 409, "account_suspended")
