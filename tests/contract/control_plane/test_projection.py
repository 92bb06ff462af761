"""The projection's routes: the outbox, resync and drift."""

import json
from pathlib import Path

import httpx2

from gateway.credentials import hash_api_key
from tests.contract.control_plane.stand_ins import refusal
from tests.contract.control_plane.world import World, assert_problem, read, running

CREDIT = {"amount_usd": "1.00", "reference": "r"}


async def settled(world: World) -> None:
    """Everything that the outbox holds is delivered."""
    page = await read(world.admin, "/admin/v1/projection/outbox", state="pending", limit=200)
    assert await world.services.projector.delivered([row["seq"] for row in page["items"]], timeout_s=30)


async def test_the_catalogue_is_published_at_start(world: World) -> None:
    await settled(world)

    catalogue = json.loads(world.cloudflare.values["catalogue"])
    assert catalogue["version"] == 1
    assert [model["id"] for model in catalogue["models"]] == ["deepseek-chat"]


async def test_deliveries_are_visible_with_their_outcome(world: World) -> None:
    account_id = await world.open_account()
    await world.admin.post(f"/admin/v1/accounts/{account_id}/credits", json=CREDIT)

    page = await read(world.admin, "/admin/v1/projection/outbox", limit=1)

    row = page["items"][0]
    assert (row["target"], row["kind"], row["subject"], row["state"]) == ("wallet", "grant", account_id, "delivered")
    assert row["finished_at"] is not None
    assert page["next_cursor"] is not None
    assert (await read(world.admin, "/admin/v1/projection/outbox", cursor=page["next_cursor"]))["items"]


async def test_an_outbox_state_that_does_not_exist_is_refused(world: World) -> None:
    answer = await world.admin.get("/admin/v1/projection/outbox?state=lost")

    assert_problem(answer, 422, "invalid_request", pointer="/state")


async def test_nothing_drifts_when_everything_has_arrived(world: World) -> None:
    account_id = await world.open_account()
    await world.admin.post(f"/admin/v1/accounts/{account_id}/credits", json=CREDIT)
    rotated, revoked = await world.make_key(account_id), await world.make_key(account_id)
    await world.admin.post(f"/admin/v1/keys/{rotated['id']}/rotate")
    await world.admin.delete(f"/admin/v1/keys/{revoked['id']}")
    await settled(world)

    drift = await read(world.admin, "/admin/v1/projection/drift")

    assert drift == {"in_sync": True, "missing": [], "extra": [], "different": [], "wallets": []}


async def test_drift_names_each_difference(world: World) -> None:
    account_id, away = await world.open_account(), await world.open_account("away@example.com")
    for owner in (account_id, away):
        await world.admin.post(f"/admin/v1/accounts/{owner}/credits", json=CREDIT)
    names = [f"key:{hash_api_key((await world.make_key(account_id))['key'])}" for _ in range(3)]
    await settled(world)
    lost, changed, garbled = names
    record = json.loads(world.cloudflare.values[changed])
    del world.cloudflare.values[lost]
    world.cloudflare.values |= {
        changed: json.dumps({**record, "state": "revoked", "version": 7}),
        garbled: "not JSON",
        "key:unknown": "{}",
    }
    world.edge.grants[account_id].clear()
    world.edge.down.add(away)

    drift = await read(world.admin, "/admin/v1/projection/drift")

    assert drift["in_sync"] is False
    assert drift["missing"] == [lost]
    assert drift["extra"] == ["key:unknown"]
    assert sorted((item["name"], item["found_version"]) for item in drift["different"]) == sorted(
        [(changed, 7), (garbled, None)], key=lambda item: item[0]
    )
    assert {item["account_id"]: item["wallet_nano_usd"] for item in drift["wallets"]} == {account_id: 0, away: None}
    assert {item["ledger_nano_usd"] for item in drift["wallets"]} == {10**9}


async def test_drift_reads_a_namespace_of_many_pages(world: World) -> None:
    account_id = await world.open_account()
    for _ in range(5):
        await world.make_key(account_id)
    await settled(world)
    world.cloudflare.page_size = 2

    assert (await read(world.admin, "/admin/v1/projection/drift"))["in_sync"] is True


async def test_resync_restores_an_edge_that_has_lost_everything(world: World) -> None:
    account_id = await world.open_account()
    await world.admin.post(f"/admin/v1/accounts/{account_id}/credits", json=CREDIT)
    rotated, revoked = await world.make_key(account_id), await world.make_key(account_id)
    await world.admin.post(f"/admin/v1/keys/{rotated['id']}/rotate")
    await world.admin.delete(f"/admin/v1/keys/{revoked['id']}")
    world.cloudflare.values.clear()
    world.edge.grants.clear()
    world.edge.revoked.clear()

    answer = await world.admin.post("/admin/v1/projection/resync")
    await settled(world)

    assert answer.status_code == 202
    assert answer.json() == {"keys": 3, "grants": 1, "revocations": 1, "removed": []}
    assert (await read(world.admin, "/admin/v1/projection/drift"))["in_sync"] is True
    assert world.edge.revoked[account_id] == [revoked["id"]]


async def test_resync_removes_unknown_key_records_when_it_is_told_to(world: World) -> None:
    key = await world.make_key(await world.open_account())
    world.cloudflare.values["key:unknown"] = "{}"

    kept = await world.admin.post("/admin/v1/projection/resync")
    removed = await world.admin.post("/admin/v1/projection/resync?remove_extra=true")

    assert kept.json()["removed"] == []
    assert removed.json()["removed"] == ["key:unknown"]
    assert "key:unknown" not in world.cloudflare.values
    assert f"key:{hash_api_key(key['key'])}" in world.cloudflare.values


async def test_drift_is_refused_when_cloudflare_does_not_answer(world: World) -> None:
    await settled(world)
    for failure in (refusal(403, 10000), httpx2.Response(503), httpx2.ConnectError("no route")):
        world.cloudflare.failures.append(failure)

        assert_problem(await world.admin.get("/admin/v1/projection/drift"), 502, "cloudflare_unavailable")


async def test_what_was_not_delivered_before_a_restart_is_delivered_after_it(tmp_path: Path) -> None:
    async with running(tmp_path, delivery_wait_ms=0) as before:
        account_id = await before.open_account()
        before.edge.down.add(account_id)
        before.cloudflare.failures += [httpx2.Response(503)] * 1000
        key = await before.make_key(account_id)
        credit = await before.admin.post(f"/admin/v1/accounts/{account_id}/credits", json=CREDIT)

    async with running(tmp_path) as after:
        after.clock.now_ms += 3_600_000
        after.services.projector.wake()
        await settled(after)

        assert (key["delivered"], credit.json()["delivered"]) == (False, False)
        assert f"key:{hash_api_key(key['key'])}" in after.cloudflare.values
        assert list(after.edge.grants[account_id]) == [credit.json()["transfer_id"]]
