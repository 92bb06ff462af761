"""Trial credit: once, from the operator's pocket, and beside the customer's own money."""

from pathlib import Path

from control_plane import ledger
from gateway.money import NANO_PER_USD, NanoUsd
from gateway.records import Grant
from tests.contract.control_plane.world import read, running


async def test_a_new_account_has_its_trial_credit_from_the_start(tmp_path: Path) -> None:
    async with running(tmp_path, trial_credit_usd="1.00") as world:
        account_id = await world.open_account()
        account = await read(world.admin, f"/admin/v1/accounts/{account_id}")

        async with world.services.store.read() as connection:
            grants = await ledger.grants_of(connection, account_id)
            own = await ledger.own_money(connection, account_id)
        assert account["balance_usd"] == "1.00"
        assert grants == [Grant(id=f"trial:{account_id}", kind="trial", amount_nano_usd=NanoUsd(NANO_PER_USD))]
        assert own == 0


async def test_an_account_that_cannot_be_opened_has_no_credit_either(tmp_path: Path) -> None:
    async with running(tmp_path, trial_credit_usd="1.00") as world:
        await world.open_account()
        refused = await world.admin.post("/admin/v1/accounts", json={"email": "dev@example.com"})

        async with world.services.store.read() as connection:
            assert len(await ledger.balances_by_account(connection)) == 1
        assert refused.status_code == 409


async def test_without_a_trial_credit_a_new_account_has_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, trial_credit_usd="0") as world:
        account_id = await world.open_account()

        assert (await read(world.admin, f"/admin/v1/accounts/{account_id}"))["balance_usd"] == "0.00"
