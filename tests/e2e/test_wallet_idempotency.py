"""A call with an Idempotency-Key is answered and charged once, however often it is made."""

import asyncio

import pytest

from tests.e2e.admin import Account
from tests.e2e.purse import Bench, ask, body, error_of, nano_usd
from tests.e2e.waiting import LIMIT_S


@pytest.mark.parametrize("stream", [False, True])
async def test_a_repeat_while_the_first_runs_names_the_first(bench: Bench, stream: bool) -> None:
    account = bench.admin.open_account()
    async with bench.caller(account) as client:
        with bench.gate.shut():
            first = asyncio.create_task(ask(client, body(stream=stream), idempotency_key="order-1"))
            await bench.state_when(account, lambda state: state.open_holds == 1)
            repeat = await ask(client, body(stream=stream), idempotency_key="order-1")
        answer = await first

    assert (repeat.status_code, error_of(repeat)["code"]) == (409, "duplicate_request")
    assert error_of(repeat)["metadata"] == {"request_id": answer.headers["x-request-id"]}
    assert answer.status_code == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_a_repeat_after_the_answer_is_told_its_charge_and_not_charged(bench: Bench, stream: bool) -> None:
    account = bench.admin.open_account()
    async with bench.caller(account) as client:
        first = await ask(client, body(stream=stream), idempotency_key="order-1")
        await bench.state_when(account, lambda state: state.open_holds == 0)
        repeats = [await ask(client, body(stream=stream), idempotency_key="order-1") for _ in range(3)]
    books = bench.books(account)

    [record] = books.records
    for repeat in repeats:
        metadata = error_of(repeat)["metadata"]
        assert repeat.status_code == 409
        assert metadata["request_id"] == record["request_id"] == first.headers["x-request-id"]
        assert nano_usd(metadata["cost_usd"]) == record["cost_nano_usd"] == books.wallet.settled_nano_usd


async def test_of_many_at_once_one_is_answered(bench: Bench) -> None:
    account = bench.admin.open_account()
    async with bench.caller(account) as client:
        calls = (ask(client, body(stream=number % 2 == 1), idempotency_key="order-1") for number in range(20))
        statuses = sorted(answer.status_code for answer in await asyncio.gather(*calls))

    assert statuses == [200] + [409] * 19
    assert len(bench.books(account).records) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_a_repeat_after_a_failure_runs(bench: Bench, stream: bool) -> None:
    account = bench.admin.open_account()
    text = f"[[lab fault=http-503 times=2 tokens=3 reasoning=0 id=again-{stream}]]"
    content = body(stream=stream, model="deepseek", text=text)
    async with bench.caller(account) as client, asyncio.timeout(LIMIT_S):
        first = await ask(client, content, idempotency_key="order-1")
        repeat = await ask(client, content, idempotency_key="order-1")
    books = bench.books(account)

    assert (first.status_code, repeat.status_code) == (503, 200)
    assert sorted(record["state"] for record in books.records) == ["complete", "failed"]
    books.assert_equal()


async def test_another_key_of_the_account_may_use_the_same_text(bench: Bench) -> None:
    account = bench.admin.open_account()
    other = Account(id=account.id, api_key=bench.admin.make_key(account.id)["key"])
    async with bench.caller(account) as one, bench.caller(other) as two:
        answers = [await ask(client, body(stream=False), idempotency_key="order-1") for client in (one, two)]

    assert [answer.status_code for answer in answers] == [200, 200]
