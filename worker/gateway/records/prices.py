"""What a target's tokens cost: rows of rates, with their tiers and their peak hours."""

from typing import Any

from gateway.fields import FieldError, Fields
from gateway.frozen import frozen
from gateway.money import PicoUsd
from gateway.records.plain import to_object


@frozen
class Rates:
    """Prices of the three classes of tokens, in pico-USD per token."""

    input: PicoUsd
    cached_input: PicoUsd
    output: PicoUsd

    @classmethod
    def from_fields(cls, fields: Fields) -> "Rates":
        return cls(
            input=PicoUsd(fields.integer("input")),
            cached_input=PicoUsd(fields.integer("cached_input")),
            output=PicoUsd(fields.integer("output")),
        )


@frozen
class Tier:
    """The rates of a whole request whose total input is at most ``up_to_input_tokens`` (None: any size)."""

    up_to_input_tokens: int | None
    rates: Rates

    @classmethod
    def from_fields(cls, fields: Fields) -> "Tier":
        return cls(
            up_to_input_tokens=fields.optional(fields.integer, "up_to_input_tokens"),
            rates=Rates.from_fields(fields.object("rates")),
        )


@frozen
class Peak:
    """Hours with other rates, in the provider's local time, which has a fixed offset from UTC.

    ``windows_minutes`` are [start, end) minutes of the day; ``weekdays`` are 0 (Monday) to 6; ``holidays`` are
    local dates as ISO texts on which there is no peak.
    """

    utc_offset_minutes: int
    weekdays: tuple[int, ...]
    holidays: tuple[str, ...]
    windows_minutes: tuple[tuple[int, int], ...]
    rates: Rates

    @classmethod
    def from_fields(cls, fields: Fields) -> "Peak":
        return cls(
            utc_offset_minutes=fields.integer("utc_offset_minutes", minimum=-1440),
            weekdays=fields.integers("weekdays"),
            holidays=fields.texts("holidays"),
            windows_minutes=tuple(fields.integer_pairs("windows_minutes")),
            rates=Rates.from_fields(fields.object("rates")),
        )


@frozen
class PriceRow:
    """One published price of one target. The id is made from the content, so it names these figures forever.

    ``tiers`` are in rising order and the last has no upper end; a row without context tiers has one.
    ``effective_from_ms`` is inclusive, ``effective_until_ms`` (None: still open) is exclusive.
    """

    id: str
    effective_from_ms: int
    effective_until_ms: int | None
    tiers: tuple[Tier, ...]
    peak: Peak | None
    margin_basis_points: int
    source: str

    def to_json(self) -> dict[str, Any]:
        return to_object(self)

    @classmethod
    def from_fields(cls, fields: Fields) -> "PriceRow":
        peak = fields.optional(fields.object, "peak")
        tiers = tuple(Tier.from_fields(tier) for tier in fields.objects("tiers"))
        ends = [tier.up_to_input_tokens for tier in tiers]
        if ends != [*sorted({end for end in ends if end is not None}), None]:
            raise FieldError("price row: the tiers must rise, and only the last has no upper end")
        return cls(
            id=fields.text("id"),
            effective_from_ms=fields.integer("effective_from_ms"),
            effective_until_ms=fields.optional(fields.integer, "effective_until_ms"),
            tiers=tiers,
            peak=None if peak is None else Peak.from_fields(peak),
            margin_basis_points=fields.integer("margin_basis_points"),
            source=fields.text("source"),
        )
