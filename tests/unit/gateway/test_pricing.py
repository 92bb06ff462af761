"""Which prices apply when, what a request costs, and that a hold always covers it."""

from dataclasses import replace
from datetime import date, datetime, time, timedelta, timezone
from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.money import NanoUsd, PicoUsd
from gateway.pricing import (
    charge,
    charged_rates,
    most_it_can_cost,
    output_tokens_within,
    rates_for,
    row_in_force,
)
from gateway.records import Peak, PriceRow, Rates, Tier, Usage


def rates(input_price: int, cached: int, output: int) -> Rates:
    return Rates(input=PicoUsd(input_price), cached_input=PicoUsd(cached), output=PicoUsd(output))


def row(*tiers: Tier, peak: Peak | None = None, begins: int = 0, ends: int | None = None, margin: int = 0) -> PriceRow:
    return PriceRow(
        id=f"row@{begins}",
        effective_from_ms=begins,
        effective_until_ms=ends,
        tiers=tiers or (Tier(up_to_input_tokens=None, rates=OPEN),),
        peak=peak,
        margin_basis_points=margin,
        source="https://example.com/prices",
    )


def usage(prompt: int, cached: int, completion: int) -> Usage:
    return Usage(prompt_tokens=prompt, cached_tokens=cached, completion_tokens=completion, reasoning_tokens=0)


def beijing_ms(text: str) -> int:
    return round(datetime.fromisoformat(text + "+08:00").timestamp() * 1000)


SMALL, LARGE, OPEN, PEAK_RATES = rates(1, 2, 3), rates(10, 20, 30), rates(100, 200, 300), rates(7, 8, 9)
TIERS = (
    Tier(up_to_input_tokens=10, rates=SMALL),
    Tier(up_to_input_tokens=20, rates=LARGE),
    Tier(up_to_input_tokens=None, rates=OPEN),
)
PEAK = Peak(
    utc_offset_minutes=480,
    weekdays=(0, 1, 2, 3, 4),
    holidays=("2026-10-01",),
    windows_minutes=((540, 720), (840, 1080)),
    rates=PEAK_RATES,
)

NOON_IN_UTC = beijing_ms("2026-11-23T20:00")  # a Monday, off-peak


@pytest.mark.parametrize(
    ("at_ms", "found"),
    [(99, None), (100, "row@100"), (199, "row@100"), (200, "row@200"), (299, "row@200"), (300, "row@100")],
)
def test_the_latest_row_that_has_begun_and_not_ended_is_in_force(at_ms: int, found: str | None) -> None:
    in_force = row_in_force([row(begins=100), row(begins=200, ends=300)], at_ms=at_ms)

    assert (in_force and in_force.id) == found


@pytest.mark.parametrize(("tokens", "expected"), [(0, SMALL), (10, SMALL), (11, LARGE), (20, LARGE), (21, OPEN)])
def test_the_tier_of_the_whole_input_applies(tokens: int, expected: Rates) -> None:
    assert rates_for(row(*TIERS), input_tokens=tokens, at_ms=NOON_IN_UTC) == expected


@pytest.mark.parametrize(
    ("beijing", "is_peak"),
    [
        ("2026-11-23T08:59:59.999", False),
        ("2026-11-23T09:00", True),
        ("2026-11-23T11:59:59.999", True),
        ("2026-11-23T12:00", False),
        ("2026-11-23T13:59:59.999", False),
        ("2026-11-23T14:00", True),
        ("2026-11-23T18:00", False),
        ("2026-11-20T10:00", True),
        ("2026-11-21T10:00", False),
        ("2026-11-22T10:00", False),
        ("2026-10-01T10:00", False),
        ("2026-10-02T10:00", True),
    ],
)
def test_the_peak_is_within_its_windows_on_its_weekdays_but_not_on_holidays(beijing: str, is_peak: bool) -> None:
    found = rates_for(row(*TIERS, peak=PEAK), input_tokens=1, at_ms=beijing_ms(beijing))

    assert found == (PEAK_RATES if is_peak else SMALL)


def test_the_day_of_a_peak_is_the_providers_and_not_utcs() -> None:
    """At 01:00 on Monday in Beijing it is still Sunday in UTC."""
    night = replace(PEAK, weekdays=(0,), windows_minutes=((0, 120),))

    assert rates_for(row(peak=night), input_tokens=1, at_ms=beijing_ms("2026-11-23T01:00")) == PEAK_RATES
    assert rates_for(row(peak=night), input_tokens=1, at_ms=beijing_ms("2026-11-24T01:00")) == OPEN


def test_west_of_greenwich_the_day_begins_later() -> None:
    new_york = replace(PEAK, utc_offset_minutes=-300, weekdays=(6,), windows_minutes=((1380, 1440),))

    assert rates_for(row(peak=new_york), input_tokens=1, at_ms=beijing_ms("2026-11-23T12:30")) == PEAK_RATES


@given(
    at_ms=st.integers(beijing_ms("2026-01-01T00:00"), beijing_ms("2036-01-01T00:00")),
    utc_offset_minutes=st.integers(-12 * 60, 14 * 60),
)
def test_the_peak_is_told_as_the_calendar_tells_it(at_ms: int, utc_offset_minutes: int) -> None:
    elsewhere = timezone(timedelta(minutes=utc_offset_minutes))
    local = datetime.fromtimestamp(at_ms // 1000, elsewhere)
    is_workday = local.weekday() < 5 and local.date() != date(2026, 10, 1)
    is_peak = is_workday and (time(9) <= local.time() < time(12) or time(14) <= local.time() < time(18))

    found = rates_for(row(peak=replace(PEAK, utc_offset_minutes=utc_offset_minutes)), input_tokens=1, at_ms=at_ms)

    assert found == (PEAK_RATES if is_peak else OPEN)


def test_each_class_of_tokens_has_its_price() -> None:
    assert charge(row(margin=0), usage(1_000, 400, 50), at_ms=0) == (600 * 100 + 400 * 200 + 50 * 300) // 1_000


def test_a_margin_is_added_before_the_one_rounding() -> None:
    """3 tokens at 150 pico are 450: nothing without, and half a nano more than nothing with 12% on top."""
    dear = Tier(up_to_input_tokens=None, rates=rates(150, 0, 0))

    assert charge(row(dear), usage(3, 0, 0), at_ms=0) == 0
    assert charge(row(dear, margin=1_200), usage(3, 0, 0), at_ms=0) == 1


@pytest.mark.parametrize(
    ("margin", "expected"), [(0, (100, 200, 300)), (1, (101, 201, 301)), (10_000, (200, 400, 600))]
)
def test_rates_to_compare_by_have_the_margin_and_are_never_too_low(margin: int, expected: tuple[int, int, int]) -> None:
    assert charged_rates(row(margin=margin), input_tokens=1, at_ms=0) == rates(*expected)


@pytest.mark.parametrize(("nano_usd", "is_payable"), [(0, False), (9, False), (10, True)])
def test_output_that_costs_nothing_has_no_bound_once_the_input_can_be_paid(nano_usd: int, is_payable: bool) -> None:
    free_output = row(Tier(up_to_input_tokens=None, rates=rates(1_000, 0, 0)))

    within = output_tokens_within(free_output, NanoUsd(nano_usd), input_tokens=10, at_ms=0)

    assert within > 10**12 if is_payable else within < 0


def test_nothing_used_costs_nothing() -> None:
    assert charge(row(*TIERS, margin=500), usage(0, 0, 0), at_ms=NOON_IN_UTC) == 0


prices = st.integers(0, 10**8)
any_rates = st.builds(rates, prices, prices, prices)
tokens = st.integers(0, 2_000_000)


@st.composite
def price_rows(draw: st.DrawFn) -> PriceRow:
    ends = sorted(draw(st.sets(st.integers(1, 1_000_000), max_size=3)))
    tiers = [Tier(up_to_input_tokens=end, rates=draw(any_rates)) for end in [*ends, None]]
    peak = replace(PEAK, rates=draw(any_rates)) if draw(st.booleans()) else None
    return row(*tiers, peak=peak, margin=draw(st.integers(0, 2_000)))


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    prompt = draw(tokens)
    return usage(prompt, draw(st.integers(0, prompt)), draw(tokens))


times = st.integers(beijing_ms("2026-09-28T00:00"), beijing_ms("2026-10-12T00:00"))


@given(price_rows(), usages(), times)
def test_a_charge_is_what_decimal_arithmetic_says(price_row: PriceRow, used: Usage, at_ms: int) -> None:
    applied = rates_for(price_row, input_tokens=used.prompt_tokens, at_ms=at_ms)
    per_million = [Decimal(price) / 10**6 for price in (applied.input, applied.cached_input, applied.output)]
    counts = (used.prompt_tokens - used.cached_tokens, used.cached_tokens, used.completion_tokens)
    usd = sum((count * price / 10**6 for count, price in zip(counts, per_million, strict=True)), Decimal(0))
    with_margin = usd * (10_000 + price_row.margin_basis_points) / 10_000

    nano = (with_margin * 10**9).quantize(Decimal(1), rounding=ROUND_HALF_EVEN)
    assert charge(price_row, used, at_ms=at_ms) == nano


@given(price_rows(), usages(), times, st.integers(0, 1_000_000), st.integers(0, 1_000_000))
def test_no_usage_within_the_bound_costs_more_than_the_bound(
    price_row: PriceRow, used: Usage, at_ms: int, more_input: int, more_output: int
) -> None:
    bound = most_it_can_cost(
        price_row,
        input_tokens=used.prompt_tokens + more_input,
        output_tokens=used.completion_tokens + more_output,
        at_ms=at_ms,
    )

    assert charge(price_row, used, at_ms=at_ms) <= bound


@given(any_rates, tokens, tokens)
def test_the_bound_of_a_plain_price_is_reached_when_no_class_is_cheaper(
    plain: Rates, prompt: int, completion: int
) -> None:
    flat = replace(plain, cached_input=plain.input)
    price_row = row(Tier(up_to_input_tokens=None, rates=flat))
    bound = most_it_can_cost(price_row, input_tokens=prompt, output_tokens=completion, at_ms=0)

    assert 0 <= bound - charge(price_row, usage(prompt, 0, completion), at_ms=0) <= 1


def test_a_smaller_input_in_a_dearer_tier_is_within_the_bound() -> None:
    dear_when_small = row(
        Tier(up_to_input_tokens=10, rates=rates(10**6, 0, 0)), Tier(up_to_input_tokens=None, rates=rates(0, 0, 0))
    )

    assert most_it_can_cost(dear_when_small, input_tokens=11, output_tokens=0, at_ms=0) >= 10_000


def test_a_tier_beyond_the_bound_does_not_raise_it() -> None:
    assert most_it_can_cost(row(*TIERS), input_tokens=10, output_tokens=0, at_ms=NOON_IN_UTC) == 1


def test_a_cached_class_that_is_dearer_than_input_counts() -> None:
    assert most_it_can_cost(row(), input_tokens=1_000, output_tokens=0, at_ms=0) == 200


def test_within_the_peak_the_bound_is_the_peaks() -> None:
    at_ms = beijing_ms("2026-11-23T10:00")

    assert most_it_can_cost(row(peak=PEAK), input_tokens=1_000, output_tokens=1_000, at_ms=at_ms) == 8 + 9
