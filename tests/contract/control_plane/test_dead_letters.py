"""Usage that the queue gave up delivering is listed, and sent again by one call."""

from typing import Any

import httpx2
import pytest

from tests.contract.control_plane.stand_ins import refusal
from tests.contract.control_plane.world import World, assert_problem, read

PATH = "/admin/v1/dead-letters"


async def give_up(world: World, *, records: int, email: str = "dev@example.com") -> str:
    """An account whose usage the queue has given up, as the edge leaves it."""
    account_id = await world.open_account(email)
    world.edge.unacknowledged[account_id] = records
    world.cloudflare.values[f"dead:{account_id}"] = '{"at_ms":1}'
    return account_id


async def replay(world: World, body: Any = None) -> Any:
    answer = await world.admin.post(f"{PATH}/replay", json=body)
    assert answer.status_code == 202, answer.text
    return answer.json()["accounts"]


async def test_there_are_none_as_long_as_everything_arrives(world: World) -> None:
    await world.open_account()

    assert await read(world.admin, PATH) == {"accounts": []}
    assert await replay(world) == []


async def test_accounts_are_listed_with_what_their_wallets_keep(world: World) -> None:
    world.cloudflare.page_size = 1
    accounts = {await give_up(world, records=count, email=f"{count}@example.com"): count for count in (0, 2, 5)}

    listed = (await read(world.admin, PATH))["accounts"]

    assert {item["account_id"]: item["unacknowledged_records"] for item in listed} == accounts
    assert [item["account_id"] for item in listed] == sorted(accounts)


async def test_a_wallet_that_does_not_answer_is_listed_all_the_same(world: World) -> None:
    account_id = await give_up(world, records=2)
    world.edge.down.add(account_id)

    listed = await read(world.admin, PATH)

    assert listed == {"accounts": [{"account_id": account_id, "unacknowledged_records": None}]}


async def test_a_replay_reaches_every_wallet_and_clears_the_list(world: World) -> None:
    accounts = {await give_up(world, records=count, email=f"{count}@example.com"): count for count in (1, 2)}

    replays = await replay(world)

    assert {item["account_id"]: item["records"] for item in replays} == accounts
    assert sorted(world.edge.replays) == sorted(accounts)
    assert await read(world.admin, PATH) == {"accounts": []}


async def test_a_replay_of_one_account_leaves_the_others_listed(world: World) -> None:
    one, other = await give_up(world, records=1), await give_up(world, records=2, email="other@example.com")

    replays = await replay(world, {"account_id": one})

    assert replays == [{"account_id": one, "records": 1}]
    assert world.edge.replays == [one]
    assert [item["account_id"] for item in (await read(world.admin, PATH))["accounts"]] == [other]


async def test_a_wallet_may_be_told_to_send_again_though_it_is_not_listed(world: World) -> None:
    account_id = await world.open_account()
    world.edge.unacknowledged[account_id] = 4

    assert await replay(world, {"account_id": account_id}) == [{"account_id": account_id, "records": 4}]


async def test_a_wallet_that_could_not_be_told_stays_listed(world: World) -> None:
    away, here = await give_up(world, records=1), await give_up(world, records=2, email="here@example.com")
    world.edge.down.add(away)

    replays = {item["account_id"]: item["records"] for item in await replay(world)}

    assert replays == {away: None, here: 2}
    assert [item["account_id"] for item in (await read(world.admin, PATH))["accounts"]] == [away]


async def test_an_account_that_does_not_exist_is_404_and_gets_no_wallet(world: World) -> None:
    answer = await world.admin.post(f"{PATH}/replay", json={"account_id": "acct_unknown"})

    assert_problem(answer, 404, "account_not_found")
    assert world.edge.replays == []


async def test_only_the_operator_may_see_and_replay(world: World) -> None:
    customer = await world.customer(await give_up(world, records=1))
    for client in (customer, world.anyone):
        assert_problem(await client.get(PATH), 401, "unauthenticated")
        assert_problem(await client.post(f"{PATH}/replay"), 401, "unauthenticated")

    assert world.edge.replays == []


@pytest.mark.parametrize("failure", [refusal(403, 10000), httpx2.Response(503), httpx2.ConnectError("no route")])
async def test_without_cloudflare_nothing_is_listed_or_replayed(
    world: World, failure: httpx2.Response | Exception
) -> None:
    await give_up(world, records=1)
    world.cloudflare.failures += [failure, failure]

    assert_problem(await world.admin.get(PATH), 502, "cloudflare_unavailable")
    assert_problem(await world.admin.post(f"{PATH}/replay"), 502, "cloudflare_unavailable")
    assert world.edge.replays == []
