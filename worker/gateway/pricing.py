"""Which rates of a price row apply to a request, what it costs, and the most that it can cost."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from gateway.money import NanoUsd, round_to_nano, round_up_to_nano
from gateway.records import Peak, PriceRow, Rates, Usage


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


def charge(row: PriceRow, usage: Usage, *, at_ms: int) -> NanoUsd:
    """What the reported usage costs, at the time when the request began."""
    rates = rates_for(row, input_tokens=usage.prompt_tokens, at_ms=at_ms)
    pico = (
        (usage.prompt_tokens - usage.cached_tokens) * rates.input
        + usage.cached_tokens * rates.cached_input
        + usage.completion_tokens * rates.output
    )
    return round_to_nano(pico, margin_basis_points=row.margin_basis_points)


def most_it_can_cost(row: PriceRow, *, input_tokens: int, output_tokens: int, at_ms: int) -> NanoUsd:
    """An upper bound of the charge for at most these tokens, whichever tier the true input falls into."""
    candidates = [tier.rates for tier in row.tiers if _tier_is_reachable(row, tier.rates, input_tokens)]
    if row.peak is not None and _is_peak(row.peak, at_ms):
        candidates = [row.peak.rates]
    pico = max(
        input_tokens * max(rates.input, rates.cached_input) + output_tokens * rates.output for rates in candidates
    )
    return round_up_to_nano(pico, margin_basis_points=row.margin_basis_points)


def _tier_is_reachable(row: PriceRow, rates: Rates, input_tokens: int) -> bool:
    """A tier is reachable when at most ``input_tokens`` can fall into it: every tier up to the bound's own."""
    for tier in row.tiers:
        if tier.rates is rates:
            return True
        if tier.up_to_input_tokens is None or input_tokens <= tier.up_to_input_tokens:
            return False
    return False


def _is_peak(peak: Peak, at_ms: int) -> bool:
    local = datetime.fromtimestamp(at_ms / 1000, UTC) + timedelta(minutes=peak.utc_offset_minutes)
    if local.weekday() not in peak.weekdays or local.date().isoformat() in peak.holidays:
        return False
    minute = local.hour * 60 + local.minute
    return any(start <= minute < end for start, end in peak.windows_minutes)
