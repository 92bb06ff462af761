"""The hold covers the worst case, a smaller wallet clamps the answer, and the caller is told."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.app import serve
from gateway.documents import PlainDocument
from gateway.holding import HOLD_GRACE_MS
from gateway.holds import (
    LEAST_OUTPUT_TOKENS,
    MODEST_OUTPUT_TOKENS,
    TEMPLATE_TOKENS,
    TEMPLATE_TOKENS_PER_MESSAGE,
    Bound,
    affordable,
    bound_of,
    least_case,
    worst_case,
)
from gateway.money import NanoUsd, format_usd
from gateway.pricing import charge
from gateway.reading import MAX_CHOICES, read_call
from gateway.records import KeyLimits, Peak, PriceRow, Usage
from gateway.routing import Call, Candidate, resolve
from tests.unit.gateway.catalogues import (
    API_KEY,
    CHAT,
    FLAT,
    NOW_MS,
    PROVIDERS,
    catalogue,
    key_record,
    model,
    price_row,
    rates,
    target,
    whole_answer,
)
from tests.unit.gateway.examples import examples
from tests.unit.gateway.fakes import Answer, FakePorts, chat, chat_request
from tests.unit.gateway.shapes import deepseek, events
from tests.unit.gateway.upstreams import Reply, json_reply

MODEST = examples(200)
DAY_MS = 86_400_000


def call_of(**fields: Any) -> Call:
    document = {**CHAT, **fields}
    return read_call(
        PlainDocument(document),
        len(json.dumps(document)),
        header=lambda _: None,
        request_id="r1",
        key=key_record(),
        started_at_ms=NOW_MS,
        idempotency_key=None,
    )


def candidates_of(call: Call, *rows: PriceRow, image_tokens: int = 0) -> tuple[Candidate, ...]:
    targets = [target("mirror", f"open-{number}", row) for number, row in enumerate(rows or (FLAT,))]
    models = [model(name, *targets, image_tokens=image_tokens) for name in call.models]
    return resolve(call, catalogue(*models))


@st.composite
def price_rows(draw: st.DrawFn) -> PriceRow:
    prices = st.builds(
        lambda a, b, c: rates(input_price=a, cached=b, output=c), *[st.integers(0, 20_000_000) for _ in range(3)]
    )
    ends = sorted(draw(st.sets(st.integers(1, 5_000), max_size=3)))
    row = price_row("any", [(end, draw(prices)) for end in [*ends, None]])
    windows = ((0, 1440),) if draw(st.booleans()) else ()
    peak = Peak(
        utc_offset_minutes=480, weekdays=tuple(range(7)), holidays=(), windows_minutes=windows, rates=draw(prices)
    )
    return PriceRow(
        id="any",
        effective_from_ms=0,
        effective_until_ms=None,
        tiers=row.tiers,
        peak=draw(st.sampled_from([None, peak])),
        margin_basis_points=draw(st.sampled_from([0, 1, 500, 10_000])),
        source="https://example.com/prices",
    )


@st.composite
def bounds(draw: st.DrawFn) -> Bound:
    return Bound(
        input_tokens=draw(st.integers(0, 10_000)),
        output_tokens=draw(st.integers(1, 10_000)),
        choices=draw(st.integers(1, 4)),
    )


@st.composite
def candidate_lists(draw: st.DrawFn) -> list[Candidate]:
    """Up to three targets, each with its own prices and its own limit of the output."""
    rows = draw(st.lists(price_rows(), min_size=1, max_size=3))
    limits = [draw(st.integers(1, 10_000)) for _ in rows]
    return [
        Candidate(
            model=model("m", target("mirror", "m", row)),
            target=replace(target("mirror", "m", row), max_output_tokens=limit),
            provider=PROVIDERS["mirror"],
            price=row,
        )
        for row, limit in zip(rows, limits, strict=True)
    ]


def dearest_charge(bound: Bound, candidate: Candidate, *, output_tokens: int, at_ms: int) -> int:
    """What a candidate costs that uses all it may, as an input of any size."""
    completion = min(output_tokens, candidate.max_output_tokens) * bound.choices
    prompts = {0, bound.input_tokens, *(tier.up_to_input_tokens or 0 for tier in candidate.price.tiers)}
    return max(
        charge(candidate.price, usage_of(prompt, cached, completion), at_ms=at_ms)
        for prompt in prompts
        if prompt <= bound.input_tokens
        for cached in (0, prompt)
    )


def usage_of(prompt: int, cached: int, completion: int) -> Usage:
    return Usage(prompt_tokens=prompt, cached_tokens=cached, completion_tokens=completion, reasoning_tokens=0)


@MODEST
@given(candidate_lists(), bounds(), st.integers(0, 7 * DAY_MS), st.data())
def test_the_worst_case_bounds_every_charge_within_the_bound(
    candidates: list[Candidate], bound: Bound, later_ms: int, data: st.DataObject
) -> None:
    candidate = data.draw(st.sampled_from(candidates))
    prompt = data.draw(st.integers(0, bound.input_tokens))
    most_output = min(bound.output_tokens, candidate.max_output_tokens) * bound.choices
    used = usage_of(prompt, data.draw(st.integers(0, prompt)), data.draw(st.integers(0, most_output)))

    most = worst_case(bound, candidates, output_tokens=bound.output_tokens, at_ms=NOW_MS + later_ms)

    assert charge(candidate.price, used, at_ms=NOW_MS + later_ms) <= most


@MODEST
@given(candidate_lists(), bounds(), st.data())
def test_whoever_is_left_can_be_paid_by_what_was_granted_and_one_token_more_could_not(
    candidates: list[Candidate], bound: Bound, data: st.DataObject
) -> None:
    least = least_case(bound, candidates, at_ms=NOW_MS)
    wanted = worst_case(bound, candidates, output_tokens=bound.output_tokens, at_ms=NOW_MS)
    granted = NanoUsd(data.draw(st.integers(least, max(least, wanted - 1))))

    left, output = affordable(bound, candidates, granted=granted, at_ms=NOW_MS)

    assert bound.least_output_tokens <= output <= bound.output_tokens
    assert worst_case(bound, left, output_tokens=output, at_ms=NOW_MS) <= granted
    assert all(dearest_charge(bound, candidate, output_tokens=output, at_ms=NOW_MS) <= granted for candidate in left)
    if output < bound.output_tokens:
        assert worst_case(bound, left[:1], output_tokens=output + 1, at_ms=NOW_MS) > granted


@MODEST
@given(candidate_lists(), bounds(), st.data())
def test_the_first_that_can_be_paid_decides_the_length_and_only_those_that_are_dearer_are_left_out(
    candidates: list[Candidate], bound: Bound, data: st.DataObject
) -> None:
    least = least_case(bound, candidates, at_ms=NOW_MS)
    granted = NanoUsd(data.draw(st.integers(least, 2 * least + 1_000)))

    left, output = affordable(bound, candidates, granted=granted, at_ms=NOW_MS)

    def costs(candidate: Candidate, output_tokens: int) -> int:
        return worst_case(bound, [candidate], output_tokens=output_tokens, at_ms=NOW_MS)

    payable = [candidate for candidate in candidates if costs(candidate, bound.least_output_tokens) <= granted]
    assert left[0] is payable[0]
    assert [candidate for candidate in candidates if costs(candidate, output) <= granted] == list(left)


def test_every_byte_of_the_body_may_be_a_token_and_each_message_brings_its_template() -> None:
    call = call_of(messages=[{"role": "user", "content": "Hello"}] * 3)

    bound = bound_of(call, candidates_of(call))

    assert bound.input_tokens == call.size_bytes + 3 * TEMPLATE_TOKENS_PER_MESSAGE + TEMPLATE_TOKENS


@pytest.mark.parametrize(
    ("fields", "output_tokens", "choices"),
    [
        ({}, 8_192, 1),
        ({"max_tokens": 100}, 100, 1),
        ({"max_completion_tokens": 100}, 100, 1),
        ({"max_tokens": 100, "max_completion_tokens": 50}, 50, 1),
        ({"max_tokens": 8_192}, 8_192, 1),
        ({"max_tokens": 8_193}, 8_192, 1),
        ({"max_tokens": 2**53}, 8_192, 1),
        ({"n": 4}, 8_192, 4),
        ({"n": MAX_CHOICES}, 8_192, MAX_CHOICES),
    ],
)
def test_the_output_is_bounded_by_what_is_asked_and_by_the_model(
    fields: dict[str, Any], output_tokens: int, choices: int
) -> None:
    call = call_of(**fields)

    bound = bound_of(call, candidates_of(call))

    assert (bound.output_tokens, bound.choices) == (output_tokens, choices)


def test_an_image_is_bounded_by_the_model_s_word_and_not_by_its_bytes() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10_000}}
    call = call_of(messages=[{"role": "user", "content": [{"type": "text", "text": "What?"}, image, image]}])

    bound = bound_of(call, candidates_of(call, image_tokens=1_000))

    text = call.size_bytes - 2 * len(image["image_url"]["url"])  # type: ignore[index]
    assert bound.input_tokens == text + 2 * 1_000 + TEMPLATE_TOKENS_PER_MESSAGE + TEMPLATE_TOKENS


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "video_url", None])
async def test_a_part_whose_tokens_cannot_be_bounded_is_refused_before_anything_is_held(kind: str | None) -> None:
    ports = FakePorts()

    answer = await chat(ports, messages=[{"role": "user", "content": [{"type": kind}]}])

    assert (answer.status, answer.error()["code"], answer.error()["param"]) == (
        400,
        "unsupported_parameter",
        "messages",
    )
    assert ports.wallets[key_record().account_id].dump()["requests"] == []


async def test_the_dearest_candidate_decides_how_much_is_held() -> None:
    dear = price_row("dear", [(None, rates(input_price=10**6, cached=10**6, output=10**7))])
    call = call_of(max_tokens=10)

    most = [worst(call, rows) for rows in ((FLAT,), (dear,), (FLAT, dear))]

    assert most[0] < most[1] == most[2]


def worst(call: Call, rows: tuple[PriceRow, ...]) -> int:
    candidates = candidates_of(call, *rows)
    bound = bound_of(call, candidates)
    return worst_case(bound, candidates, output_tokens=bound.output_tokens, at_ms=NOW_MS)


async def ask_with(balance_nano_usd: int, *, limits: KeyLimits | None = None, **more: Any) -> tuple[Answer, FakePorts]:
    """A call for which only so much is there."""
    ports = FakePorts(balance_usd=0)
    ports.grant(balance_nano_usd, name="more")
    if limits is not None:
        ports.add_key(API_KEY, key_record(limits=limits))
    ports.upstream.answer("deepseek", json_reply(whole_answer()))
    return await chat(ports, **more), ports


async def test_a_wallet_that_can_pay_all_sends_the_caller_s_own_bound_and_says_nothing() -> None:
    call = call_of(max_tokens=100)

    answer, ports = await ask_with(worst(call, (FLAT,)), max_tokens=100)

    assert ports.upstream.documents()[0]["max_tokens"] == 100
    assert "x-haotokai-max-tokens" not in answer.headers


async def test_a_wallet_that_cannot_pay_all_lowers_max_tokens_and_says_so() -> None:
    call = call_of(max_tokens=100)

    answer, ports = await ask_with(worst(call, (FLAT,)) - 600 * 40, max_tokens=100)

    assert ports.upstream.documents()[0]["max_tokens"] == 60
    assert answer.headers["x-haotokai-max-tokens"] == "60"


async def test_a_bound_above_the_model_s_is_lowered_and_said() -> None:
    answer, ports = await ask_with(10**9, max_tokens=9_000)

    assert ports.upstream.documents()[0]["max_tokens"] == 8_192
    assert answer.headers["x-haotokai-max-tokens"] == "8192"


DEAR = price_row("dear", [(None, rates(input_price=10**7, cached=10**7, output=10**8))])
TWO_MODELS = {"model": "m0", "models": ["m0", "m1"]}
FREE = price_row("free", [(None, rates(input_price=0, cached=0, output=0))])


async def ask_models(
    balance_nano_usd: int, *served: tuple[str, PriceRow], answers: int = 3, **more: Any
) -> tuple[Answer, FakePorts]:
    """A call for several models, each at a provider of its own, where only so much is there; the first ones fail."""
    names = [f"m{number}" for number in range(len(served))]
    models = [model(name, target(where, name, row)) for name, (where, row) in zip(names, served, strict=True)]
    ports = FakePorts(catalogue=catalogue(*models), balance_usd=0)
    ports.grant(balance_nano_usd, name="more")
    for where, _ in served[:-1]:
        ports.upstream.answer(where, *(Reply(status=502) for _ in range(answers)))
    used = {"prompt_tokens": 100, "completion_tokens": more.get("max_tokens", 10), "total_tokens": 200}
    ports.upstream.answer(served[-1][0], *(json_reply(whole_answer(usage=used)) for _ in range(answers)))
    return await chat(ports, model=names[0], models=names, **more), ports


async def test_a_dear_fallback_that_the_wallet_cannot_pay_is_left_out_and_shortens_nothing() -> None:
    enough = 2 * worst(call_of(max_tokens=100, **TWO_MODELS), (FLAT,))

    answer, ports = await ask_models(enough, ("mirror", FLAT), ("zai", DEAR), max_tokens=100)

    assert set(ports.upstream.names()) == {"mirror"}
    assert ports.upstream.documents()[0]["max_tokens"] == 100
    assert "x-haotokai-max-tokens" not in answer.headers
    assert set(answer.attempts()) == {("mirror", "server_error")}
    assert ports.open_holds() == 0


async def test_a_dear_model_that_the_wallet_cannot_pay_leaves_the_call_to_a_cheaper_one() -> None:
    enough = 2 * worst(call_of(max_tokens=100, **TWO_MODELS), (FLAT,))

    answer, ports = await ask_models(enough, ("zai", DEAR), ("mirror", FLAT), max_tokens=100)

    assert (answer.status, ports.upstream.names()) == (200, ["mirror"])
    assert answer.headers["x-haotokai-model"] == "m1"


async def test_a_free_fallback_needs_no_balance() -> None:
    answer, ports = await ask_models(0, ("zai", DEAR), ("mirror", FREE), max_tokens=100)

    assert (answer.status, ports.upstream.names()) == (200, ["mirror"])


async def test_a_failover_to_a_dearer_model_spends_no_more_than_was_held() -> None:
    balance = worst(call_of(max_tokens=100, **TWO_MODELS), (DEAR,)) + 1_000

    answer, ports = await ask_models(balance, ("deepseek", FLAT), ("mirror", DEAR), max_tokens=100)

    [record] = ports.records()
    assert answer.attempts()[-1] == ("mirror", "ok")
    assert record.price_row == "dear"
    assert 0 < record.cost_nano_usd <= balance


async def test_a_wallet_that_can_pay_none_of_the_models_is_told_what_the_cheapest_needs() -> None:
    answer, ports = await ask_models(1_000, ("zai", DEAR), ("mirror", FLAT), max_tokens=100)

    least = worst(call_of(max_tokens=100, **TWO_MODELS), (FLAT,)) - 600 * (100 - LEAST_OUTPUT_TOKENS)
    assert (answer.status, ports.upstream.calls) == (402, [])
    assert answer.error()["metadata"]["needed_usd"] == format_usd(NanoUsd(least))


async def test_a_target_that_gives_less_than_its_model_is_held_for_what_it_gives() -> None:
    short = replace(target("mirror", "m", FLAT), max_output_tokens=10)
    call = call_of()

    [candidate] = resolve(call, catalogue(model("deepseek-chat", short)))

    assert bound_of(call, [candidate]).output_tokens == 10


async def test_a_call_without_a_bound_gets_none_from_a_full_wallet() -> None:
    answer, ports = await ask_with(10**9)

    assert "max_tokens" not in ports.upstream.documents()[0]
    assert "x-haotokai-max-tokens" not in answer.headers


async def test_a_call_without_a_bound_is_held_modestly_by_a_small_wallet() -> None:
    modest = worst(call_of(max_tokens=MODEST_OUTPUT_TOKENS), (FLAT,))

    answer, ports = await ask_with(modest + 1_000)

    assert int(answer.headers["x-haotokai-max-tokens"]) <= MODEST_OUTPUT_TOKENS
    assert ports.upstream.documents()[0]["max_tokens"] == int(answer.headers["x-haotokai-max-tokens"])


@pytest.mark.parametrize(("missing", "status"), [(0, 200), (1, 402)])
async def test_a_wallet_that_cannot_pay_even_a_short_answer_is_refused(missing: int, status: int) -> None:
    least = worst(call_of(max_tokens=10**2), (FLAT,)) - 600 * (100 - LEAST_OUTPUT_TOKENS)

    answer, ports = await ask_with(least - missing, max_tokens=100)

    assert answer.status == status
    assert len(ports.upstream.calls) == (1 if status == 200 else 0)


async def test_a_refused_caller_is_told_the_balance_the_need_and_where_to_top_up() -> None:
    answer, ports = await ask_with(1_000, max_tokens=100)

    error = answer.error()
    assert (error["code"], error["type"]) == ("insufficient_balance", "insufficient_quota")
    assert error["metadata"]["balance_usd"] == "0.000001"
    assert error["metadata"]["top_up_url"] == ports.top_up_url
    assert float(error["metadata"]["needed_usd"]) > 0.000001


async def test_the_hold_outlasts_the_longest_attempt() -> None:
    ports = FakePorts()
    ports.upstream.answer("deepseek", Reply(pieces=[events(deepseek({"content": "x"}, "stop"))]))

    await serve(chat_request({**CHAT, "stream": True}), ports)

    held = ports.store().query("SELECT expires_ms FROM requests")
    await ports.finish()
    assert held == [(NOW_MS + 600_000 + HOLD_GRACE_MS,)]


async def test_a_key_with_rate_limits_is_told_how_it_stands() -> None:
    limits = KeyLimits(requests_per_minute=5, tokens_per_minute=10_000)

    answer, ports = await ask_with(10**9, limits=limits, max_tokens=100)

    size = call_of(max_tokens=100).size_bytes
    assert {name: value for name, value in answer.headers.items() if name.startswith("x-ratelimit")} == {
        "x-ratelimit-limit-requests": "5",
        "x-ratelimit-remaining-requests": "4",
        "x-ratelimit-reset-requests": "60000ms",
        "x-ratelimit-limit-tokens": "10000",
        "x-ratelimit-remaining-tokens": str(10_000 - size // 4 - 100),
        "x-ratelimit-reset-tokens": "60000ms",
    }
    used = ports.records()[0].usage
    assert ports.store().query("SELECT tokens FROM recent") == [(used.prompt_tokens + used.completion_tokens,)]


async def test_an_estimate_of_an_answer_without_usage_never_costs_more_than_was_held() -> None:
    wordy = events(deepseek({"content": "antidisestablishmentarianism " * 400}), deepseek({}, "stop"))
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
    sees = catalogue(model("deepseek-chat", target("deepseek", "d"), image_tokens=1_000))
    cases: list[tuple[FakePorts, dict[str, Any]]] = [
        (FakePorts(), {"max_tokens": 100}),
        (FakePorts(catalogue=catalogue(model("deepseek-chat", target("mirror", "d")))), {"max_tokens": 50, "n": 2}),
        (FakePorts(catalogue=sees), {"max_tokens": 100, "messages": [{"role": "user", "content": [image]}]}),
    ]
    for ports, fields in cases:
        for name in ("deepseek", "mirror"):
            ports.upstream.answer(name, Reply(pieces=[wordy]))

        await chat(ports, stream=True, **fields)

        call = call_of(stream=True, **fields)
        candidates = candidates_of(call, image_tokens=1_000)
        most = worst_case(bound_of(call, candidates), candidates, output_tokens=call.max_tokens or 0, at_ms=NOW_MS)
        [record] = ports.records()
        assert record.estimated
        assert 0 < record.cost_nano_usd <= most


async def test_an_estimate_stays_within_an_answer_that_was_clamped() -> None:
    wordy = events(deepseek({"content": "antidisestablishmentarianism " * 400}), deepseek({}, "stop"))
    ports = FakePorts(balance_usd=0)
    balance = worst(call_of(max_tokens=100, stream=True), (FLAT,)) - 600 * 40
    ports.grant(balance, name="more")
    ports.upstream.answer("deepseek", Reply(pieces=[wordy]))

    await chat(ports, stream=True, max_tokens=100)

    [record] = ports.records()
    assert record.usage.completion_tokens == 60
    assert record.cost_nano_usd <= balance


async def test_a_huge_request_is_refused_for_its_own_numbers_and_not_as_our_failure() -> None:
    cases: list[dict[str, Any]] = [{"max_tokens": 2**53 - 1}, {"n": 10**9}, {"n": MAX_CHOICES + 1}]
    for fields in cases:
        answer, _ = await ask_with(10**9, **fields)

        assert answer.status in {200, 400, 402}


async def test_a_tier_that_a_small_prompt_cannot_reach_is_not_held() -> None:
    call = call_of(max_tokens=10)
    most = call.size_bytes + TEMPLATE_TOKENS + TEMPLATE_TOKENS_PER_MESSAGE
    high = rates(input_price=10**7, cached=10**7, output=10**7)
    reach = [price_row("r", [(end, FLAT.tiers[0].rates), (None, high)]) for end in (most - 1, most)]

    assert worst(call, (reach[0],)) > worst(call, (reach[1],)) == worst(call, (FLAT,))
