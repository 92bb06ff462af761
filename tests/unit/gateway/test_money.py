"""Money is exact: what ``decimal`` says is what our integers say, to the nano-dollar."""

from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.money import (
    MAX_NANO_USD,
    MoneyError,
    NanoUsd,
    PicoUsd,
    format_price,
    format_usd,
    parse_price,
    parse_usd,
    round_to_nano,
    round_up_to_nano,
)

amounts = st.integers(-MAX_NANO_USD, MAX_NANO_USD).map(NanoUsd)
picos = st.integers(0, 10**24)
margins = st.integers(0, 100_000)


@given(amounts)
def test_an_amount_survives_being_written_and_read(amount: NanoUsd) -> None:
    assert parse_usd(format_usd(amount)) == amount


@given(amounts)
def test_a_written_amount_is_the_exact_decimal_with_two_to_nine_places(amount: NanoUsd) -> None:
    text = format_usd(amount)

    assert Decimal(text) == Decimal(amount) / 10**9
    assert 2 <= len(text.split(".")[1]) <= 9


@given(st.integers(0, 10**15 - 1).map(PicoUsd))
def test_a_price_survives_being_written_and_read(price: PicoUsd) -> None:
    assert parse_price(format_price(price)) == price
    assert Decimal(format_price(price)) == Decimal(price) / 10**6


@given(st.decimals(min_value=-9_007_199, max_value=9_007_199, places=9, allow_nan=False))
def test_a_read_amount_is_the_decimals_nano_dollars(value: Decimal) -> None:
    assert parse_usd(f"{value:f}") == value * 10**9


@given(picos, margins)
def test_a_charge_is_rounded_once_half_to_even(pico: int, margin: int) -> None:
    exact = Decimal(pico) * (10_000 + margin) / 10_000 / 1_000

    expected = exact.quantize(Decimal(1), rounding=ROUND_HALF_EVEN)
    assert round_to_nano(pico, margin_basis_points=margin) == expected


@given(picos, margins)
def test_a_hold_is_rounded_up(pico: int, margin: int) -> None:
    exact = Decimal(pico) * (10_000 + margin) / 10_000 / 1_000

    expected = exact.quantize(Decimal(1), rounding=ROUND_CEILING)
    assert round_up_to_nano(pico, margin_basis_points=margin) == expected


@given(picos, st.integers(0, 10**6), margins)
def test_a_hold_covers_every_charge_of_as_much_or_less(pico: int, less: int, margin: int) -> None:
    held = round_up_to_nano(pico, margin_basis_points=margin)

    assert round_to_nano(max(0, pico - less), margin_basis_points=margin) <= held


@pytest.mark.parametrize(
    ("pico", "nano"), [(0, 0), (499, 0), (500, 0), (501, 1), (1_499, 1), (1_500, 2), (2_500, 2), (2_501, 3)]
)
def test_half_a_nano_goes_to_the_even_neighbour(pico: int, nano: int) -> None:
    assert round_to_nano(pico) == nano


@pytest.mark.parametrize(("pico", "nano"), [(0, 0), (1, 1), (999, 1), (1_000, 1), (1_001, 2)])
def test_any_part_of_a_nano_is_held(pico: int, nano: int) -> None:
    assert round_up_to_nano(pico) == nano


@pytest.mark.parametrize(
    ("text", "nano"),
    [
        ("0", 0),
        ("1", 10**9),
        ("1.00", 10**9),
        ("-1.00", -(10**9)),
        ("-0", 0),
        ("0.000000001", 1),
        ("9007199.254740991", MAX_NANO_USD),
        ("-9007199.254740991", -MAX_NANO_USD),
    ],
)
def test_decimal_texts_are_amounts(text: str, nano: int) -> None:
    assert parse_usd(text) == nano


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 1",
        "1 ",
        "1\n",
        "+1",
        "--1",
        ".5",
        "1.",
        "01",
        "1e3",
        "1,00",
        "1_000",
        "NaN",
        "inf",
        "$1",
        "٣",
        "0.0000000001",
        "9007199.254740992",
        "-9007199.254740992",
        "1000000000",
    ],
)
def test_other_texts_are_no_amounts(text: str) -> None:
    with pytest.raises(MoneyError):
        parse_usd(text)


@pytest.mark.parametrize(("text", "price"), [("0", 0), ("0.55", 550_000), ("0.0028", 2_800), ("0.000001", 1)])
def test_a_price_is_read_in_pico_dollars_per_token(text: str, price: int) -> None:
    assert parse_price(text) == price


@pytest.mark.parametrize("text", ["-0.01", "0.0000001", "", "1e3"])
def test_other_texts_are_no_prices(text: str) -> None:
    with pytest.raises(MoneyError):
        parse_price(text)


@pytest.mark.parametrize(
    ("nano", "text"),
    [(0, "0.00"), (1, "0.000000001"), (-1, "-0.000000001"), (10**9, "1.00"), (1_234_500_000, "1.2345")],
)
def test_amounts_are_shown_with_two_decimals_or_as_many_as_they_have(nano: int, text: str) -> None:
    assert format_usd(NanoUsd(nano)) == text


@pytest.mark.parametrize(("least", "text"), [(0, "1"), (1, "1.0"), (9, "1.000000000")])
def test_more_or_fewer_decimals_can_be_asked_for(least: int, text: str) -> None:
    assert format_usd(NanoUsd(10**9), least_decimals=least) == text
