"""Money as integers: nano-USD for amounts, pico-USD per token for prices, one rounding.

``NanoUsd`` is 10**-9 USD. A price is pico-USD (10**-12 USD) per token, which equals USD per 1M tokens
times 10**6, so that $0.0028 per 1M (2_800) is exact. A charge is rounded once, half to even. Amounts stay
below 2**53 so that they pass through JavaScript numbers unchanged.
"""

import re
from typing import NewType

NanoUsd = NewType("NanoUsd", int)
PicoUsd = NewType("PicoUsd", int)

NOTHING = NanoUsd(0)
NANO_PER_USD = 10**9
PICO_PER_NANO = 1_000
PICO_PER_TOKEN_PER_USD_PER_MILLION = 10**6
BASIS_POINTS = 10_000
MAX_NANO_USD = 2**53 - 1

_DECIMAL = re.compile(r"(-?)(0|[1-9][0-9]{0,8})(?:\.([0-9]{1,9}))?", re.ASCII)


class MoneyError(ValueError):
    """A text is not an amount or a price, or an amount is out of range."""


def parse_usd(text: str) -> NanoUsd:
    """Decimal USD, such as ``"1.00"``, to nano-USD. Raises MoneyError beyond nine decimals or 2**53."""
    return NanoUsd(_parse_scaled(text, decimals=9))


def format_usd(amount: NanoUsd, *, least_decimals: int = 2) -> str:
    """The exact decimal text of an amount: at least two decimals, at most nine."""
    sign, digits = ("-", -amount) if amount < 0 else ("", amount)
    whole, fraction = divmod(digits, NANO_PER_USD)
    decimals = f"{fraction:09d}".rstrip("0").ljust(least_decimals, "0")
    return f"{sign}{whole}.{decimals}" if decimals else f"{sign}{whole}"


def parse_price(text: str) -> PicoUsd:
    """USD per 1M tokens, such as ``"0.0028"``, to pico-USD per token. Raises MoneyError beyond six decimals."""
    price = _parse_scaled(text, decimals=6)
    if price < 0:
        raise MoneyError(f"a price cannot be negative: {text!r}")
    return PicoUsd(price)


def format_price(price: PicoUsd) -> str:
    """Pico-USD per token back to the decimal text of USD per 1M tokens."""
    whole, fraction = divmod(price, PICO_PER_TOKEN_PER_USD_PER_MILLION)
    decimals = f"{fraction:06d}".rstrip("0").ljust(2, "0")
    return f"{whole}.{decimals}"


def round_to_nano(pico: int, *, margin_basis_points: int = 0) -> NanoUsd:
    """The one rounding of a charge: total pico-USD, plus the operator's margin, to nano-USD, half to even."""
    return NanoUsd(_half_even(pico * (BASIS_POINTS + margin_basis_points), PICO_PER_NANO * BASIS_POINTS))


def round_up_to_nano(pico: int, *, margin_basis_points: int = 0) -> NanoUsd:
    """An upper bound in nano-USD, for holds: a charge of the same pico-USD never exceeds it."""
    return NanoUsd(-(-pico * (BASIS_POINTS + margin_basis_points) // (PICO_PER_NANO * BASIS_POINTS)))


def _half_even(numerator: int, denominator: int) -> int:
    quotient, remainder = divmod(numerator, denominator)
    if 2 * remainder > denominator or (2 * remainder == denominator and quotient % 2):
        return quotient + 1
    return quotient


def _parse_scaled(text: str, *, decimals: int) -> int:
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise MoneyError(f"not a decimal amount: {text!r}")
    sign, whole, fraction = match.group(1, 2, 3)
    fraction = fraction or ""
    if len(fraction) > decimals:
        raise MoneyError(f"more than {decimals} decimals: {text!r}")
    value = int(whole + fraction.ljust(decimals, "0"))
    if value > MAX_NANO_USD:
        raise MoneyError(f"out of range: {text!r}")
    return -value if sign else value
