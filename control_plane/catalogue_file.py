"""The shape of catalogue.toml, refused as a whole with the path of every fault. The file's header explains it."""

import json
import re
import tomllib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    StringConstraints,
    ValidationError,
    model_validator,
)

from gateway.money import PicoUsd, parse_price
from gateway.records import DRILL_URL, Dialect, Rates

MARGIN_MAX_BASIS_POINTS: Final = 100_000
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MINUTES_IN_DAY: Final = 24 * 60
_WINDOW: Final = re.compile(r"(\d\d):([0-5]\d)-(\d\d):([0-5]\d)", re.ASCII)
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class CatalogueError(Exception):
    """The catalogue cannot be used. The text names every fault with its path in the file."""


def read_catalogue_file(path: Path) -> "CatalogueFile":
    """The file's content. Raises CatalogueError when it cannot be read or is not a catalogue."""
    try:
        return CatalogueFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CatalogueError(f"{path}: {error}") from error
    except ValidationError as error:
        faults = [_fault(item["loc"], item["msg"]) for item in error.errors()]
        raise CatalogueError(f"{path}:\n  " + "\n  ".join(faults)) from error


def check_url(url: str) -> str:
    """An absolute http or https URL without a trailing slash; raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be an http or https URL without a query")
    return url.rstrip("/")


def _check_base_url(url: str) -> str:
    return url if url == DRILL_URL else check_url(url)


def _read_price(value: object) -> PicoUsd:
    # A TOML float is binary, so it cannot say 0.55 exactly.
    if not isinstance(value, str):
        raise ValueError('must be a text such as "0.55"')
    return parse_price(value)


def _read_instant(value: object) -> datetime:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("must be a date (from 00:00 UTC) or a time with its offset")
        return value.astimezone(UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise ValueError("must be a date (from 00:00 UTC) or a time with its offset")


def _check_json(value: dict[str, Any]) -> dict[str, Any]:
    try:
        json.dumps(value, allow_nan=False)
    except TypeError as error:
        raise ValueError("must hold only what JSON can say") from error
    return value


def _read_window(value: object) -> tuple[int, int]:
    if isinstance(value, list) and all(isinstance(end, str) for end in value):
        value = "-".join(value)
    match = _WINDOW.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('must be a text such as "09:00-12:00"')
    start_hour, start_minute, end_hour, end_minute = (int(part) for part in match.groups())
    start, end = start_hour * 60 + start_minute, end_hour * 60 + end_minute
    if not start < end <= _MINUTES_IN_DAY:
        raise ValueError("must end after it starts, and on the same day")
    return start, end


Price = Annotated[PicoUsd, BeforeValidator(_read_price)]
Instant = Annotated[datetime, BeforeValidator(_read_instant)]
Window = Annotated[tuple[int, int], BeforeValidator(_read_window)]
BaseUrl = Annotated[str, AfterValidator(_check_base_url)]
Source = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Inject = Annotated[dict[str, Any], AfterValidator(_check_json)]
ProviderName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
PublicName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")]
EnvironmentName = Annotated[str, StringConstraints(pattern=r"^([A-Z][A-Z0-9_]{0,63})?$")]
ProviderModel = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class RatesShape(_Shape):
    """Prices in USD per 1M tokens; without ``cached_input`` there is no discount."""

    input: Price
    cached_input: Price | None = None
    output: Price

    def rates(self) -> Rates:
        cached_input = self.input if self.cached_input is None else self.cached_input
        return Rates(input=self.input, cached_input=cached_input, output=self.output)


class TierShape(RatesShape):
    up_to_input_tokens: PositiveInt | None = None


class PeakShape(RatesShape):
    timezone: str
    windows: Annotated[list[Window], Field(min_length=1)]
    weekdays: list[Weekday] = ["mon", "tue", "wed", "thu", "fri"]
    holidays: str | None = None

    def utc_offset(self, at: datetime) -> timedelta:
        """The zone's offset from UTC then; raises ValueError when there is no such zone."""
        try:
            return at.astimezone(ZoneInfo(self.timezone)).utcoffset() or timedelta()
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"no such timezone: {self.timezone}") from error


class PriceShape(_Shape):
    """One price row: rates for any size, or tiers, or tiers up to a size and rates for what is larger."""

    effective_from: Instant
    source: Source
    input: Price | None = None
    cached_input: Price | None = None
    output: Price | None = None
    tiers: list[TierShape] = []
    peak: PeakShape | None = None

    @property
    def all_tiers(self) -> list[TierShape]:
        """The tiers in rising order, the last without an upper end."""
        if self.input is None or self.output is None:
            return self.tiers
        return [
            *self.tiers,
            TierShape.model_construct(
                input=self.input, cached_input=self.cached_input, output=self.output, up_to_input_tokens=None
            ),
        ]

    @model_validator(mode="after")
    def _check_tiers(self) -> "PriceShape":
        if (self.input is None) != (self.output is None) or (self.input is None and self.cached_input is not None):
            raise ValueError("input and output must stand together")
        ends = [tier.up_to_input_tokens for tier in self.all_tiers]
        if ends != [*sorted({end for end in ends if end is not None}), None]:
            raise ValueError("tiers must rise, and exactly one, the last, must have no up_to_input_tokens")
        return self

    @model_validator(mode="after")
    def _check_timezone(self) -> "PriceShape":
        # What is published is an offset, which two years of weeks show not to change.
        if self.peak is not None:
            weeks = [self.effective_from + timedelta(weeks=week) for week in range(104)]
            if len({self.peak.utc_offset(at) for at in weeks}) > 1:
                raise ValueError(f"peak.timezone: the offset of {self.peak.timezone} changes within the year")
        return self


def _check_one_row_a_time(rows: list[PriceShape]) -> list[PriceShape]:
    if len({row.effective_from for row in rows}) < len(rows):
        raise ValueError("two rows have the same effective_from")
    return rows


Prices = Annotated[list[PriceShape], AfterValidator(_check_one_row_a_time)]


class TargetShape(_Shape):
    provider: str
    model: ProviderModel
    inject: Inject = {}
    context_length: PositiveInt | None = None
    max_output_tokens: PositiveInt | None = None
    prices: Prices = []


class ModelShape(_Shape):
    context_length: PositiveInt
    max_output_tokens: PositiveInt
    image_tokens: NonNegativeInt = 0
    targets: Annotated[list[TargetShape], Field(min_length=1)]
    prices: Prices = []

    def prices_of(self, target: TargetShape) -> list[PriceShape]:
        """The target's own prices, else the model's."""
        return target.prices or self.prices


class ProviderShape(_Shape):
    dialect: Dialect
    base_url: BaseUrl
    api_key_env: EnvironmentName
    connect_timeout_ms: PositiveInt = 5_000
    first_event_timeout_ms: PositiveInt = 15_000
    idle_timeout_ms: PositiveInt = 20_000
    total_timeout_ms: PositiveInt = 600_000


class CatalogueFile(_Shape):
    margin_basis_points: Annotated[int, Field(ge=0, le=MARGIN_MAX_BASIS_POINTS)] = 0
    holidays: dict[str, list[date]] = {}
    providers: Annotated[dict[ProviderName, ProviderShape], Field(min_length=1)]
    models: Annotated[dict[PublicName, ModelShape], Field(min_length=1)]

    @model_validator(mode="after")
    def _check_references(self) -> "CatalogueFile":
        for name, model in self.models.items():
            for index, target in enumerate(model.targets):
                path = ("models", name, "targets", index)
                if target.provider not in self.providers:
                    raise ValueError(_fault((*path, "provider"), f"no such provider: {target.provider}"))
                rows = model.prices_of(target)
                if not rows:
                    raise ValueError(_fault(path, "has no prices, and neither has its model"))
                calendars = {row.peak.holidays for row in rows if row.peak is not None} - {None}
                if unknown := calendars - self.holidays.keys():
                    raise ValueError(_fault(path, f"no such holidays: {', '.join(map(str, unknown))}"))
        return self


def _fault(path: tuple[int | str, ...], message: str) -> str:
    """Such as ``models."glm-5.2".prices[0].input: …``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part != "[key]":
            text += f".{part}" if _BARE_KEY.fullmatch(part) else f'."{part}"'
    message = message.removeprefix("Value error, ")
    return f"{text.removeprefix('.')}: {message}" if text else message
