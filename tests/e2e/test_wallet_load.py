"""However many ask at once, a Wallet never lets more be spent than it was granted."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import httpx2

from gateway.records import WalletState
from tests.e2e.admin import Account
from tests.e2e.gated_lab import USAGE
from tests.e2e.purse import Bench, ask, bodies, body, error_of, finished, nano_usd, start, usd

CALLS = 200
AFFORDABLE = 20


def assert_insufficient_balance(answer: httpx2.Response) -> None:
    error = error_of(answer)
    assert (answer.status_code, error["code"]) == (402, "insufficient_balance")
    assert nano_usd(error["metadata"]["balance_usd"]) < nano_usd(error["metadata"]["needed_usd"])
    assert error["metadata"]["top_up_url"].startswith("http")


async def test_a_wallet_that_can_pay_for_20_of_200_calls_at_once_grants_20(bench: Bench) -> None:
    worst_nano_usd = await bench.worst_case(body(stream=False))
    account = bench.admin.open_account(credit_usd=usd(AFFORDABLE * worst_nano_usd))
    arrived = len(bench.gate.requests)
    async with bench.caller(account) as client:
        with bench.gate.shut():
            calls = start(client, bodies(CALLS))
            refused = await finished(calls, CALLS - AFFORDABLE)
            full = bench.internal.state(account.id)
            shown = (await client.get("/credits")).json()
            at_the_lab = len(bench.gate.requests) - arrived
        answers = await asyncio.gather(*calls)

    for answer in refused:
        assert_insufficient_balance(answer)
    assert (full.open_holds, full.held_nano_usd, full.settled_nano_usd) == (AFFORDABLE, full.granted_nano_usd, 0)
    assert (shown["held_usd"], shown["available_usd"]) == (shown["balance_usd"], "0.00")
    assert at_the_lab <= AFFORDABLE
    assert len(bench.gate.requests) - arrived == AFFORDABLE
    assert [answer.status_code for answer in answers if answer not in refused] == [200] * AFFORDABLE
    check_receipts(bench, account, answers)


def check_receipts(bench: Bench, account: Account, answers: Sequence[httpx2.Response]) -> None:
    """Each call that was answered has one record, which says what the lab reported; no other call has one."""
    books = bench.books(account)
    books.assert_equal()
    by_id = {record["request_id"]: record for record in books.records}
    answered = [answer for answer in answers if answer.status_code == 200]
    assert len(by_id) == len(books.records)
    assert by_id.keys() == {answer.headers["x-request-id"] for answer in answered}
    for answer in answered:
        record = by_id[answer.headers["x-request-id"]]
        assert (record["state"], record["estimated"]) == ("complete", False)
        assert record["cost_nano_usd"] == nano_usd(
            answer.headers.get("x-haotokai-cost-usd", usd(record["cost_nano_usd"]))
        )
        assert record["prompt_tokens"] == USAGE["prompt_tokens"]
        assert record["completion_tokens"] == USAGE["completion_tokens"]


class Sampler:
    """Looks at an account all the time, as the operator and as the customer do."""

    def __init__(self, bench: Bench, account: Account, client: httpx2.AsyncClient) -> None:
        self.states: list[WalletState] = []
        self.shown: list[dict[str, Any]] = []
        self._bench, self._account, self._client = bench, account, client

    async def run(self) -> None:
        while True:
            self.states.append(await asyncio.to_thread(self._bench.internal.state, self._account.id))
            answer = await self._client.get("/credits")
            self.shown.append(answer.raise_for_status().json())


async def test_nothing_is_overspent_at_any_moment_while_200_calls_come_and_go(bench: Bench) -> None:
    """Here holds are settled while others are asked for, so what one leaves over another one gets."""
    account = bench.admin.open_account(credit_usd="0.03")
    contents = [
        content
        for number in range(CALLS // 4)
        for content in bodies(4, model=("deepseek", "spark")[number % 2], max_tokens=500, text=text(number))
    ]
    async with bench.caller(account) as client:
        sampler = Sampler(bench, account, client)
        sampling = asyncio.create_task(sampler.run())
        answers = await asyncio.gather(*start(client, contents))
        sampling.cancel()

    assert sampler.states
    assert sampler.shown
    for state in sampler.states:
        assert 0 <= state.held_nano_usd + state.settled_nano_usd <= state.granted_nano_usd
    for shown in sampler.shown:
        assert 0 <= nano_usd(shown["held_usd"]) <= nano_usd(shown["balance_usd"])
        assert nano_usd(shown["spent_usd"]) + nano_usd(shown["balance_usd"]) == nano_usd("0.03")
    refused = [answer for answer in answers if answer.status_code != 200]
    assert 0 < len(refused) < CALLS
    for answer in refused:
        assert_insufficient_balance(answer)
    books = bench.books(account)
    books.assert_equal()
    assert len(books.records) == CALLS - len(refused)


def text(number: int) -> str:
    return f"Call {number:02} [[lab tokens=20 reasoning=0 delay_ms=5]]"


async def test_after_a_credit_the_next_call_is_answered(bench: Bench) -> None:
    """The credit is answered once the Wallet has it, which the control plane awaits for at most 2 s."""
    account = bench.admin.open_account(credit_usd="0.000001")
    async with bench.caller(account) as client:
        before = await ask(client, body(stream=False))
        credit = bench.admin.credit(account.id, amount_usd="1.00", reference="second")
        after = await ask(client, body(stream=False))

    assert_insufficient_balance(before)
    assert credit["delivered"] is True
    assert after.status_code == 200


async def test_a_credit_that_is_given_again_counts_once(bench: Bench) -> None:
    account = bench.admin.open_account(credit_usd="1.00")
    credits_ = [bench.admin.credit(account.id, amount_usd="2.00", reference="twice") for _ in range(2)]

    assert credits_[0] == credits_[1]
    assert bench.internal.state(account.id).granted_nano_usd == nano_usd("3.00")


async def test_grants_that_come_late_twice_and_out_of_order_count_once_each(bench: Bench) -> None:
    account = bench.admin.open_account(credit_usd="1.00")
    grants = [{"id": f"late:{number}", "kind": "credit", "amount_nano_usd": 10**number} for number in range(4)]

    for batch in (grants[2:], grants[:2], grants[::-1], grants[1:3]):
        answer = bench.internal.call_wallet(account.id, "grants", {"grants": batch})
        assert json.loads(answer.content) == {"applied": [grant["id"] for grant in batch]}
    other = bench.internal.call_wallet(account.id, "grants", {"grants": [{**grants[0], "amount_nano_usd": 7}]})

    assert other.status_code == 409
    assert bench.internal.state(account.id).granted_nano_usd == nano_usd("1.00") + 1111
