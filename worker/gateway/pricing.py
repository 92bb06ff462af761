"""Which rates of a price row apply to a request, what it costs, and the most that it can cost."""

from collections.abc import Iterable
from datetime import date

from gateway.money import BASIS_POINTS, PICO_PER_NANO, NanoUsd, PicoUsd, round_to_nano, round_up_to_nano
from gateway.records import Peak, PriceRow, Rates, Usage

MAX_TOKENS = 2**53 - 1
"""As many as anyone can pay for where a token costs nothing."""

MS_PER_MINUTE = 60_000
MINUTES_PER_DAY = 24 * 60
DAYS_TO_1970 = date(1970, 1, 1).toordinal()


def row_in_force(rows: Iterable[PriceRow], *, at_ms: int) -> PriceRow | None:
    """The latest row that has begun and not ended, or None."""
    begun = [row for row in rows if row.effective_from_ms <= at_ms]
    open_rows = [row for row in begun if row.effective_until_ms is None or at_ms < row.effective_until_ms]
    return max(open_rows, key=lambda row: row.effective_from_ms, default=None)


def rates_for(row: PriceRow, *, input_tokens: int, at_ms: int) -> Rates:
    """The rates of the whole request: the peak's within its hours, else the tier of its total input."""
    if row.peak is not None and _is_peak(row.peak, at_ms):
        return row.peak.rates
    for tier in row.tiers:
        if tier.up_to_input_tokens is None or input_tokens <= tier.up_to_input_tokens:
            return tier.rates
    raise ValueError(f"price row {row.id} has no tier for {input_tokens} input tokens")


def charged_rates(row: PriceRow, *, input_tokens: int, at_ms: int) -> Rates:
    """The rates with the operator's margin, a fraction of a pico-USD rounded up: to compare with, not to charge by."""
    rates, factor = rates_for(row, input_tokens=input_tokens, at_ms=at_ms), BASIS_POINTS + row.margin_basis_points

    def charged(price: PicoUsd) -> PicoUsd:
        return PicoUsd(-(-price * factor // BASIS_POINTS))

    return Rates(input=charged(rates.input), cached_input=charged(rates.cached_input), output=charged(rates.output))


def charge(row: PriceRow, usage: Usage, *, at_ms: int) -> NanoUsd:
    """What the reported usage costs, at the time when the request began."""
    rates = rates_for(row, input_tokens=usage.prompt_tokens, at_ms=at_ms)
    return charge_at(rates, usage, margin_basis_points=row.margin_basis_points)


def charge_at(rates: Rates, usage: Usage, *, margin_basis_points: int) -> NanoUsd:
    """What the reported usage costs at these rates."""
    pico = (
        (usage.prompt_tokens - usage.cached_tokens) * rates.input
        + usage.cached_tokens * rates.cached_input
        + usage.completion_tokens * rates.output
    )
    return round_to_nano(pico, margin_basis_points=margin_basis_points)


def most_it_can_cost(row: PriceRow, *, input_tokens: int, output_tokens: int, at_ms: int) -> NanoUsd:
    """An upper bound of the charge for at most these tokens, whichever tier the true input falls into."""
    pico = max(
        input_tokens * _dearest_input(rates) + output_tokens * rates.output
        for rates in _reachable_rates(row, input_tokens, at_ms)
    )
    return round_up_to_nano(pico, margin_basis_points=row.margin_basis_points)


def output_tokens_within(row: PriceRow, amount: NanoUsd, *, input_tokens: int, at_ms: int) -> int:
    """The most output tokens for which ``most_it_can_cost`` stays within the amount; negative where none does."""
    pico = amount * PICO_PER_NANO * BASIS_POINTS // (BASIS_POINTS + row.margin_basis_points)
    return min(
        _tokens_within(pico - input_tokens * _dearest_input(rates), rates.output)
        for rates in _reachable_rates(row, input_tokens, at_ms)
    )


def _tokens_within(pico: int, price: PicoUsd) -> int:
    return pico // price if price else MAX_TOKENS if pico >= 0 else -1


def _reachable_rates(row: PriceRow, input_tokens: int, at_ms: int) -> list[Rates]:
    """The rates that can apply to a request of at most this input."""
    if row.peak is not None and _is_peak(row.peak, at_ms):
        return [row.peak.rates]
    rates = []
    for tier in row.tiers:
        rates.append(tier.rates)
        if tier.up_to_input_tokens is not None and input_tokens <= tier.up_to_input_tokens:
            break
    return rates


def _dearest_input(rates: Rates) -> int:
    return max(rates.input, rates.cached_input)


def _is_peak(peak: Peak, at_ms: int) -> bool:
    days, minute = divmod(at_ms // MS_PER_MINUTE + peak.utc_offset_minutes, MINUTES_PER_DAY)
    if not any(start <= minute < end for start, end in peak.windows_minutes):
        return False
    local = date.fromordinal(DAYS_TO_1970 + days)
    return local.weekday() in peak.weekdays and local.isoformat() not in peak.holidays
