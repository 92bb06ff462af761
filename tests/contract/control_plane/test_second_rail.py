"""A second way to pay needs an adapter and nothing else: the same routes, rules and ledger serve it."""

from pathlib import Path

from gateway.money import NANO_PER_USD
from tests.contract.control_plane.paypal_world import paypal_running
from tests.contract.control_plane.voucher_rail import VoucherShop, redeemed, sign
from tests.contract.control_plane.world import assert_problem, read, running


async def test_a_payment_of_a_second_rail_is_credited_refunded_and_seen_once(tmp_path: Path) -> None:
    shop = VoucherShop()
    async with running(tmp_path, providers=(shop,)) as world:
        account_id = await world.open_account()
        customer = await world.customer(account_id)
        topup = (await customer.post("/account/v1/topups", json={"amount_usd": "5.00"})).json()
        shop.redeem(topup["id"], "V-1")
        raw = redeemed("E-1", topup["id"])
        outcomes = [
            (await world.anyone.post("/webhooks/voucher", content=raw, headers={"voucher-signature": sign(raw)})).json()
            for _ in range(2)
        ]
        credited = (await read(customer, "/account/v1/balance"))["balance_usd"]
        refunded = await world.admin.post(f"/admin/v1/topups/{topup['id']}/refund", json={"amount_usd": "2.00"})

        assert topup["provider"] == "voucher"
        assert outcomes == [{"outcome": "done"}, {"outcome": "seen"}]
        assert credited == "5.00"
        assert refunded.json()["state"] == "partly_refunded"
        assert (await read(customer, "/account/v1/balance"))["balance_usd"] == "3.00"
        grants = {grant.id: grant.amount_nano_usd for grant in world.edge.grants[account_id].values()}
        assert grants == {"voucher:capture:V-1": 5 * NANO_PER_USD, "voucher:refund:R1": -2 * NANO_PER_USD}


async def test_a_forged_webhook_of_a_second_rail_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path, providers=(VoucherShop(),)) as world:
        raw = redeemed("E-1", "topup_x")

        for signature in ("", sign(b"other"), "é"):
            headers = {b"voucher-signature": signature.encode()}
            answer = await world.anyone.post("/webhooks/voucher", content=raw, headers=headers)
            assert_problem(answer, 400, "delivery_refused")


async def test_a_voucher_credits_one_top_up_and_is_an_alert_on_another(tmp_path: Path) -> None:
    shop = VoucherShop()
    async with running(tmp_path, providers=(shop,)) as world:
        customer = await world.customer(await world.open_account())
        topups = [(await customer.post("/account/v1/topups", json={"amount_usd": "5.00"})).json() for _ in range(2)]
        for topup in topups:
            shop.redeem(topup["id"], "V-1")
            await world.admin.post(f"/admin/v1/topups/{topup['id']}/refresh")

        [alert] = (await read(world.admin, "/admin/v1/alerts"))["items"]
        assert alert["topup_id"] == topups[1]["id"]
        assert "V-1 belongs to another top-up" in alert["detail"]
        assert (await read(customer, "/account/v1/balance"))["balance_usd"] == "5.00"


async def test_a_customer_chooses_between_two_rails(tmp_path: Path) -> None:
    async with paypal_running(tmp_path, providers=(VoucherShop(),)) as paypal:
        answers = [
            await paypal.customer.post("/account/v1/topups", json={"amount_usd": "5.00"} | choice)
            for choice in ({}, {"provider": "voucher"}, {"provider": "paypal"}, {"provider": "cheque"})
        ]

        assert [answer.json().get("provider") for answer in answers] == ["paypal", "voucher", "paypal", None]
        assert_problem(answers[3], 503, "payments_not_configured")
