"""Usage that was not booked, as the operator reads it."""

import pytest

from control_plane import quarantine
from control_plane.quarantine import Quarantined
from tests.contract.control_plane.world import World, assert_problem, client_of, read

PATH = "/admin/v1/quarantine"


async def keep(world: World, *request_ids: str, reason: str = "unknown account", record: str = "{}") -> None:
    kept = [Quarantined(request_id=request_id, reason=reason, record=record) for request_id in request_ids]
    async with world.services.store.begin() as connection:
        await quarantine.add(connection, kept, now_ms=world.clock.now_ms)


async def test_nothing_is_in_quarantine_at_first(world: World) -> None:
    assert await read(world.admin, PATH) == {"items": [], "next_cursor": None}


async def test_what_was_not_booked_is_shown_as_it_came_with_the_reason_and_the_time(world: World) -> None:
    await keep(world, "req_1", reason="the cost should be 4000 nano-USD", record='{"cost_nano_usd": 4001}')

    [item] = (await read(world.admin, PATH))["items"]
    assert (item["request_id"], item["reason"]) == ("req_1", "the cost should be 4000 nano-USD")
    assert item["record"] == '{"cost_nano_usd": 4001}'
    assert item["received_at"].startswith("2026-11-24T")


async def test_the_same_content_is_listed_once_and_other_content_of_the_request_beside_it(world: World) -> None:
    for record in ("{}", "{}", '{"state": "failed"}'):
        await keep(world, "req_1", record=record)

    items = (await read(world.admin, PATH))["items"]
    assert {item["record"] for item in items} == {"{}", '{"state": "failed"}'}
    assert len(items) == 2
    assert len({item["content_sha256"] for item in items}) == 2


async def test_quarantine_is_read_page_by_page_newest_first_without_gap_or_repetition(world: World) -> None:
    for first in range(0, 10, 2):
        await keep(world, f"req_{first}", f"req_{first + 1}")
        world.clock.now_ms += 1
    page = await read(world.admin, PATH, limit=3)
    pages = [[item["request_id"] for item in page["items"]]]
    while page["next_cursor"] is not None:
        page = await read(world.admin, PATH, limit=3, cursor=page["next_cursor"])
        pages.append([item["request_id"] for item in page["items"]])

    assert [len(page) for page in pages] == [3, 3, 3, 1]
    assert [request_id for page in pages for request_id in page] == [f"req_{number}" for number in range(9, -1, -1)]


@pytest.mark.parametrize(
    ("query", "pointer"), [("cursor=x", "/cursor"), ("limit=0", "/limit"), ("limit=201", "/limit")]
)
async def test_a_page_that_cannot_be_is_a_problem(world: World, query: str, pointer: str) -> None:
    assert_problem(await world.admin.get(f"{PATH}?{query}"), 422, "invalid_request", pointer=pointer)


async def test_quarantine_is_the_operators_alone(world: World) -> None:
    customer = await world.customer(await world.open_account())

    for client in (world.anyone, customer, client_of(world.app, "wrong")):
        assert_problem(await client.get(PATH), 401, "unauthenticated")
