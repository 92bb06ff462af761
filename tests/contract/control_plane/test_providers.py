"""How the labs do, from booked usage to what the operator sees and the edge is told."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog

from control_plane import booking
from control_plane.health_watch import COMMITTED_AFTER_MS, PUBLISHED_EVERY_MS, SLICE_RECORDS_MAX
from control_plane.provider_health import EVIDENCE_SLICES, SLICE_MS, WINDOW_MS
from gateway.money import NanoUsd
from gateway.records import NO_USAGE, Attempt, UsageRecord
from tests.contract.control_plane.test_projection import settled
from tests.contract.control_plane.world import World, assert_problem, read, running

DRILL = """
[providers.drill]
dialect = "openai"
base_url = "drill:"
api_key_env = ""

[models."drill/503"]
context_length = 1000
max_output_tokens = 100
[[models."drill/503".targets]]
provider = "drill"
model = "503"
[[models."drill/503".prices]]
effective_from = 2026-01-01
input = "0"
cached_input = "0"
output = "0"
source = "it is free"
"""


async def report(world: World, account_id: str, *outcomes: str, provider: str = "deepseek", **changes: Any) -> None:
    """Book a request for each outcome, each of one attempt."""
    now_ms = world.clock.now_ms
    model = "deepseek-flash" if provider == "deepseek" else "503"
    fields: dict[str, Any] = {"started_at_ms": now_ms - 1_000, "first_event_ms": 80} | changes
    records = [
        UsageRecord(
            request_id=f"req_{now_ms}_{index}",
            account_id=account_id,
            key_id="key_1",
            model="deepseek-chat",
            served_model=None,
            provider=None,
            usage=NO_USAGE,
            cost_nano_usd=NanoUsd(0),
            price_row=None,
            state="complete" if outcome == "ok" else "failed",
            estimated=False,
            stream=True,
            attempts=(Attempt(provider=provider, model=model, outcome=outcome, status=0, ms=80),),
            total_ms=120,
            **fields,
        )
        for index, outcome in enumerate(outcomes)
    ]
    async with world.services.store.begin() as connection:
        assert len((await booking.book(connection, records, now_ms=now_ms)).booked) == len(outcomes)


async def watch(world: World, *, after_ms: int = SLICE_MS + COMMITTED_AFTER_MS) -> None:
    """Let time pass, and the watch look once."""
    world.clock.now_ms += after_ms
    await world.services.health.round()


def told(world: World) -> dict[str, Any]:
    """What stands in KV about health, by the provider's id of the model."""
    catalogue = json.loads(world.cloudflare.values["catalogue"])
    return {item["model"]: item for item in catalogue["health"]}


def version(world: World) -> int:
    found: int = json.loads(world.cloudflare.values["catalogue"])["version"]
    return found


async def alerts(world: World) -> Sequence[tuple[str, str | None, str | None]]:
    items = (await read(world.admin, "/admin/v1/alerts"))["items"]
    return [(item["kind"], item["provider"], item["model"]) for item in items]


async def test_a_catalogue_without_traffic_says_nothing_about_health(world: World) -> None:
    await watch(world, after_ms=PUBLISHED_EVERY_MS)
    await settled(world)

    assert (version(world), told(world)) == (1, {})


async def test_the_operator_sees_every_target_also_one_that_nobody_asked(world: World) -> None:
    await watch(world)

    assert await read(world.admin, "/admin/v1/providers") == {
        "window_ms": WINDOW_MS,
        "items": [
            {
                "provider": "deepseek",
                "model": "deepseek-flash",
                "health": None,
                "since": None,
                "outcomes": {},
                "first_event_ms": None,
                "tokens_per_second": None,
            }
        ],
    }


async def test_a_target_that_fails_is_told_to_the_edge_in_a_new_version(world: World) -> None:
    account_id = await world.open_account()
    await report(world, account_id, *["overloaded"] * 9, "ok", "bad_request")
    await watch(world, after_ms=PUBLISHED_EVERY_MS)
    await settled(world)
    told_at_ms = world.clock.now_ms
    await watch(world)

    target = (await read(world.admin, "/admin/v1/providers"))["items"][0]
    assert version(world) == 2
    assert told(world)["deepseek-flash"]["health"] == "down"
    assert (target["health"], target["outcomes"]) == ("down", {"bad_request": 1, "ok": 1, "overloaded": 9})
    assert target["since"] is not None
    assert world.services.health.reports[0].since_ms == told_at_ms


async def test_what_is_told_about_health_does_not_drift_and_is_said_again_by_a_resync(world: World) -> None:
    await report(world, await world.open_account(), *["timeout"] * 9)
    await watch(world, after_ms=PUBLISHED_EVERY_MS)
    await settled(world)

    before = await read(world.admin, "/admin/v1/projection/drift")
    world.cloudflare.values.clear()
    await world.admin.post("/admin/v1/projection/resync")
    await settled(world)

    assert before["in_sync"] is True
    assert told(world)["deepseek-flash"]["health"] == "down"
    assert (await read(world.admin, "/admin/v1/projection/drift"))["in_sync"] is True


async def test_a_target_that_nobody_asks_any_more_is_no_longer_down_after_five_minutes(world: World) -> None:
    await report(world, await world.open_account(), *["timeout"] * 9)
    await watch(world, after_ms=PUBLISHED_EVERY_MS)

    await watch(world, after_ms=EVIDENCE_SLICES * SLICE_MS)
    await settled(world)

    assert (version(world), told(world)) == (3, {})


async def test_the_catalogue_is_published_once_a_minute_at_most_and_the_news_waits(world: World) -> None:
    account_id = await world.open_account()
    await report(world, account_id, *["timeout"] * 9)
    await watch(world, after_ms=PUBLISHED_EVERY_MS - 1)
    await settled(world)
    too_early = version(world)
    await watch(world, after_ms=1)
    await settled(world)

    assert (too_early, version(world)) == (1, 2)


async def test_nothing_is_published_while_nothing_changes(world: World) -> None:
    account_id = await world.open_account()
    for _ in range(3):
        await report(world, account_id, *["ok"] * 20)
        await watch(world, after_ms=PUBLISHED_EVERY_MS)
    await settled(world)

    assert version(world) == 2
    assert told(world)["deepseek-flash"] == {
        "provider": "deepseek",
        "model": "deepseek-flash",
        "health": "healthy",
        "first_event_ms": 80,
        "tokens_per_second": None,
    }


async def test_a_median_that_moves_is_told_and_one_that_wavers_is_not(world: World) -> None:
    account_id = await world.open_account()
    await report(world, account_id, *["ok"] * 5, first_event_ms=80)
    await watch(world, after_ms=PUBLISHED_EVERY_MS)
    await report(world, account_id, *["ok"] * 6, first_event_ms=70)
    await watch(world, after_ms=PUBLISHED_EVERY_MS)
    await settled(world)
    wavered = (version(world), told(world)["deepseek-flash"]["first_event_ms"])
    await report(world, account_id, *["ok"] * 30, first_event_ms=40)
    await watch(world, after_ms=PUBLISHED_EVERY_MS)
    await settled(world)

    assert wavered == (2, 80)
    assert (version(world), told(world)["deepseek-flash"]["first_event_ms"]) == (3, 40)


async def test_a_restart_publishes_no_new_version_and_forgets_no_health(tmp_path: Path) -> None:
    async with running(tmp_path) as before:
        await report(before, await before.open_account(), *["timeout"] * 9)
        await watch(before, after_ms=PUBLISHED_EVERY_MS)
    async with running(tmp_path, clock=before.clock) as after:
        await after.services.health.round()
        await settled(after)

        assert version(after) == 2
        assert told(after)["deepseek-flash"]["health"] == "down"
        assert (await alerts(after)) == [("provider_down", "deepseek", "deepseek-flash")]
        assert (await read(after.anyone, "/healthz"))["catalogue_version"] == 2


async def test_of_each_stretch_of_time_a_bounded_number_of_records_is_read(world: World) -> None:
    account_id = await world.open_account()
    for _ in range(2):
        await report(world, account_id, *["ok"] * (SLICE_RECORDS_MAX + 1))
        await watch(world)

    assert world.services.health.reports[0].outcomes == {"ok": 2 * SLICE_RECORDS_MAX}


async def test_usage_that_comes_long_after_the_fact_says_nothing_about_now(world: World) -> None:
    account_id = await world.open_account()
    await report(world, account_id, *["timeout"] * 9, started_at_ms=world.clock.now_ms - WINDOW_MS - 1_000)
    await watch(world)

    assert world.services.health.reports[0].outcomes == {}


async def test_drills_fail_on_purpose_and_are_not_watched(tmp_path: Path) -> None:
    async with running(tmp_path, catalogue=DRILL) as world:
        await report(world, await world.open_account(), *["overloaded"] * 9, provider="drill")
        await watch(world, after_ms=PUBLISHED_EVERY_MS)
        await settled(world)

        assert told(world) == {}
        assert (await read(world.admin, "/admin/v1/providers"))["items"] == []
        assert await alerts(world) == []


async def test_our_key_and_our_money_at_a_provider_are_alerts_until_the_window_has_passed(world: World) -> None:
    account_id = await world.open_account()
    await report(world, account_id, "provider_key", "provider_balance", *["ok"] * 20)
    await watch(world)
    during = await alerts(world)
    await watch(world, after_ms=WINDOW_MS)

    assert during == [("provider_key", "deepseek", None), ("provider_balance", "deepseek", None)]
    assert await alerts(world) == []


async def test_an_alert_is_logged_once_when_it_begins_and_once_when_it_has_ended(world: World) -> None:
    account_id = await world.open_account()
    with structlog.testing.capture_logs() as lines:
        for _ in range(2):
            await report(world, account_id, "provider_key")
            await watch(world)
        await watch(world, after_ms=WINDOW_MS)

    events = [(line["event"], line["kind"], line["provider"]) for line in lines if line["event"].startswith("alert_")]
    assert events == [("alert_began", "provider_key", "deepseek"), ("alert_ended", "provider_key", "deepseek")]


async def test_health_and_alerts_are_figures_for_prometheus(world: World) -> None:
    await report(world, await world.open_account(), *["timeout"] * 9)
    await watch(world)

    figures = (await world.anyone.get("/metrics")).text.splitlines()
    assert 'haotokai_alerts{kind="provider_down"} 1.0' in figures
    assert 'haotokai_alerts{kind="topup"} 0.0' in figures
    assert 'haotokai_target_health{health="down",model="deepseek-flash",provider="deepseek"} 1.0' in figures
    assert 'haotokai_target_health{health="healthy",model="deepseek-flash",provider="deepseek"} 0.0' in figures


async def test_only_the_operator_sees_the_providers(world: World) -> None:
    customer = await world.customer(await world.open_account())

    assert_problem(await world.anyone.get("/admin/v1/providers"), 401, "unauthenticated")
    assert_problem(await customer.get("/admin/v1/providers"), 401, "unauthenticated")
