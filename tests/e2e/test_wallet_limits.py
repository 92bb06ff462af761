"""A key's limits hold exactly, however many of its requests come at once, and the refusal says which and until when."""

import asyncio

import httpx2
import pytest

from tests.e2e.admin import Account
from tests.e2e.purse import OUTPUT_NANO_USD, Bench, ask, bodies, body, error_of, finished, start, usd

AT_ONCE = 40
ALLOWED = 8


def assert_rate_limited(answer: httpx2.Response, *, name: str) -> None:
    error = error_of(answer)
    assert (answer.status_code, error["code"]) == (429, "rate_limit_exceeded")
    assert name in error["message"]
    assert 1 <= int(answer.headers["retry-after"]) <= 60


async def test_requests_per_minute_are_granted_exactly(bench: Bench) -> None:
    account = bench.admin.open_account(requests_per_minute=ALLOWED)
    async with bench.caller(account) as client:
        answers = await asyncio.gather(*start(client, bodies(5 * ALLOWED)))

    granted = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code != 200]
    remaining = [int(answer.headers["x-ratelimit-remaining-requests"]) for answer in granted]
    assert sorted(remaining) == list(range(ALLOWED))
    for answer in answers:
        assert answer.headers["x-ratelimit-limit-requests"] == str(ALLOWED)
        assert answer.headers["x-ratelimit-reset-requests"].endswith("ms")
    for answer in refused:
        assert_rate_limited(answer, name="requests per minute")
        assert answer.headers["x-ratelimit-remaining-requests"] == "0"
    assert len(bench.books(account).records) == ALLOWED


async def test_tokens_per_minute_are_granted_until_they_are_used_up(bench: Bench) -> None:
    """Until a request is answered it counts with what it may use, and then with what it has used."""
    used = await tokens_of_one(bench)
    account = bench.admin.open_account(tokens_per_minute=ALLOWED * used)
    async with bench.caller(account) as client:
        with bench.gate.shut():
            calls = start(client, bodies(AT_ONCE))
            refused = await finished(calls, AT_ONCE - ALLOWED)
        answers = await asyncio.gather(*calls)

    granted = [answer for answer in answers if answer.status_code == 200]
    remaining = [int(answer.headers["x-ratelimit-remaining-tokens"]) for answer in granted]
    assert sorted(remaining) == [used * count for count in range(ALLOWED)]
    for answer in refused:
        assert_rate_limited(answer, name="tokens per minute")
        assert answer.headers["x-ratelimit-limit-tokens"] == str(ALLOWED * used)
        assert answer.headers["x-ratelimit-remaining-tokens"] == "0"


async def tokens_of_one(bench: Bench) -> int:
    """How many tokens a request counts while it runs."""
    limit = 1_000_000
    account = bench.admin.open_account(tokens_per_minute=limit)
    async with bench.caller(account) as client:
        answer = await ask(client, body(stream=False))
    return limit - int(answer.headers["x-ratelimit-remaining-tokens"])


async def test_concurrent_requests_are_granted_exactly_and_freed_by_their_end(bench: Bench) -> None:
    account = bench.admin.open_account(concurrent_requests=ALLOWED)
    async with bench.caller(account) as client:
        with bench.gate.shut():
            calls = start(client, bodies(AT_ONCE))
            refused = await finished(calls, AT_ONCE - ALLOWED)
            running = bench.internal.state(account.id).open_holds
        answers = await asyncio.gather(*calls)
        await bench.state_when(account, lambda state: state.open_holds == 0)
        next_answer = await ask(client, body(stream=False))

    assert running == ALLOWED
    assert [answer.status_code for answer in answers].count(200) == ALLOWED
    for answer in refused:
        assert_rate_limited(answer, name="concurrent requests")
    assert next_answer.status_code == 200


@pytest.mark.parametrize("period", ["day", "month", "total"])
async def test_a_spend_cap_is_never_passed(bench: Bench, period: str) -> None:
    worst_nano_usd = await bench.worst_case(body(stream=False))
    cap_usd = usd(ALLOWED * worst_nano_usd)
    account = bench.admin.open_account(spend_cap_usd=cap_usd, spend_cap_period=period)
    async with bench.caller(account) as client:
        with bench.gate.shut():
            calls = start(client, bodies(AT_ONCE))
            refused = await finished(calls, AT_ONCE - ALLOWED)
            held_nano_usd = bench.internal.state(account.id).held_nano_usd
        answers = await asyncio.gather(*calls)

    assert held_nano_usd == ALLOWED * worst_nano_usd
    assert [answer.status_code for answer in answers].count(200) == ALLOWED
    for answer in refused:
        error = error_of(answer)
        assert (answer.status_code, error["code"]) == (402, "spend_cap_reached")
        assert error["metadata"]["period"] == period
    bench.books(account).assert_equal()


async def test_a_used_up_spend_cap_stops_its_key_alone(bench: Bench) -> None:
    account = bench.admin.open_account(spend_cap_usd="0.000000001")
    other = Account(id=account.id, api_key=bench.admin.make_key(account.id)["key"])
    async with bench.caller(account) as capped, bench.caller(other) as free:
        answers = [await ask(client, body(stream=False)) for client in (capped, free)]

    assert [answer.status_code for answer in answers] == [402, 200]


async def test_a_revocation_that_only_the_wallet_knows_refuses_the_next_call(bench: Bench) -> None:
    """KV and the isolate's cache may still call the key active for a minute."""
    account = bench.admin.open_account()
    key = bench.admin.make_key(account.id)
    async with bench.caller(Account(id=account.id, api_key=key["key"])) as client:
        before = await ask(client, body(stream=False))
        bench.internal.call_wallet(account.id, "revocations", {"key_ids": [key["id"]]}).raise_for_status()
        after = await ask(client, body(stream=False))
        known_to_kv = await client.get("/credits")

    assert (before.status_code, known_to_kv.status_code) == (200, 200)
    assert (after.status_code, error_of(after)["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["deepseek", "spark"])
async def test_a_small_balance_lowers_max_tokens_and_says_so(bench: Bench, model: str, stream: bool) -> None:
    lowered, asked, entry_id = 100, 1000, f"clamped-{model}-{stream}"
    content = body(stream=stream, model=model, max_tokens=asked, text=f"[[lab tokens=500 reasoning=0 id={entry_id}]]")
    # The gated model has the same price, so a body of this size and model name has the same worst case there.
    same_size = content.replace(b'"%b"' % model.encode(), b'"gated"').replace(
        b"[[lab", b"[[lab" + b" " * (len(model) - 5)
    )
    worst_nano_usd = await bench.worst_case(same_size)
    account = bench.admin.open_account(credit_usd=usd(worst_nano_usd - (asked - lowered) * OUTPUT_NANO_USD))
    async with bench.caller(account) as client:
        answer = await ask(client, content)
    books = bench.books(account)

    assert answer.status_code == 200
    assert answer.headers["x-haotokai-max-tokens"] == str(lowered)
    assert bench.labs.request(entry_id)["parameters"]["max_tokens"] == lowered
    assert [record["completion_tokens"] for record in books.records] == [lowered]
    books.assert_equal()


async def test_max_tokens_that_the_balance_can_pay_are_not_touched(bench: Bench) -> None:
    account, count = bench.admin.open_account(), len(bench.gate.requests)
    async with bench.caller(account) as client:
        answer = await ask(client, body(stream=False, max_tokens=1000))

    assert "x-haotokai-max-tokens" not in answer.headers
    assert [request["max_tokens"] for request in bench.gate.requests[count:]] == [1000]


@pytest.mark.parametrize(("missing_nano_usd", "status"), [(0, 200), (1, 402)])
async def test_below_the_least_useful_answer_a_call_is_refused(
    bench: Bench, missing_nano_usd: int, status: int
) -> None:
    least_nano_usd = await bench.worst_case(body(stream=False, max_tokens=16))
    account = bench.admin.open_account(credit_usd=usd(least_nano_usd - missing_nano_usd))
    async with bench.caller(account) as client:
        # As long a body as the one above.
        answer = await ask(client, body(stream=False, max_tokens=99))

    assert answer.status_code == status
    if status == 402:
        assert error_of(answer)["metadata"]["needed_usd"] == usd(least_nano_usd).rstrip("0")
