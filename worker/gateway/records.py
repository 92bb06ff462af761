"""The contract between the edge and the control plane: what stands in KV, in queue messages and in internal calls.

Each record is a frozen value with ``to_json`` (a plain JSON object) and ``from_fields`` (which refuses, with
FieldError, what does not fit). Amounts are nano-USD, prices pico-USD per token, times milliseconds since 1970 UTC.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from gateway.fields import FieldError, Fields
from gateway.money import NanoUsd, PicoUsd

CATALOGUE_KV_KEY = "catalogue"
API_KEY_KV_PREFIX = "key:"
DEAD_LETTERS_KV_PREFIX = "dead:"

KeyState = Literal["active", "revoked"]
SpendCapPeriod = Literal["day", "month", "total"]
UsageState = Literal["complete", "partial", "failed", "abandoned"]
Dialect = Literal["deepseek", "moonshot", "dashscope", "zai", "spark", "openai"]


def dead_letters_kv_name(account_id: str) -> str:
    """The KV name that says that an account's usage could not be delivered."""
    return DEAD_LETTERS_KV_PREFIX + account_id


def key_kv_name(key_sha256: str) -> str:
    """The KV name under which the record of an API key stands."""
    return API_KEY_KV_PREFIX + key_sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLimits:
    """What one key may use; None is no limit. A cap counts settled and held spend of the period, in UTC."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_requests: int | None = None
    spend_cap_nano_usd: NanoUsd | None = None
    spend_cap_period: SpendCapPeriod = "total"

    @classmethod
    def from_fields(cls, fields: Fields) -> "KeyLimits":
        cap = fields.optional(fields.integer, "spend_cap_nano_usd")
        return cls(
            requests_per_minute=fields.optional(fields.integer, "requests_per_minute"),
            tokens_per_minute=fields.optional(fields.integer, "tokens_per_minute"),
            concurrent_requests=fields.optional(fields.integer, "concurrent_requests"),
            spend_cap_nano_usd=None if cap is None else NanoUsd(cap),
            spend_cap_period=fields.choice("spend_cap_period", get_args(SpendCapPeriod)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """What the edge knows of an API key, in KV under ``key:<sha256>``. Of two, the higher version is right."""

    account_id: str
    key_id: str
    state: KeyState
    expires_at_ms: int | None
    models: tuple[str, ...] | None
    limits: KeyLimits
    version: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_fields(cls, fields: Fields) -> "KeyRecord":
        return cls(
            account_id=fields.text("account_id"),
            key_id=fields.text("key_id"),
            state=fields.choice("state", get_args(KeyState)),
            expires_at_ms=fields.optional(fields.integer, "expires_at_ms"),
            models=fields.optional(fields.texts, "models"),
            limits=KeyLimits.from_fields(fields.object("limits")),
            version=fields.integer("version"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
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
        return asdict(self)

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """How a provider is reached. The API key itself is a Worker secret named ``api_key_env``."""

    name: str
    dialect: Dialect
    base_url: str
    api_key_env: str
    connect_timeout_ms: int
    first_event_timeout_ms: int
    idle_timeout_ms: int
    total_timeout_ms: int

    @classmethod
    def from_fields(cls, fields: Fields) -> "Provider":
        return cls(
            name=fields.text("name"),
            dialect=fields.choice("dialect", get_args(Dialect)),
            base_url=fields.text("base_url"),
            api_key_env=fields.text("api_key_env"),
            connect_timeout_ms=fields.integer("connect_timeout_ms", minimum=1),
            first_event_timeout_ms=fields.integer("first_event_timeout_ms", minimum=1),
            idle_timeout_ms=fields.integer("idle_timeout_ms", minimum=1),
            total_timeout_ms=fields.integer("total_timeout_ms", minimum=1),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One place where a model is served: provider, its own id for the model, parameters to inject, its prices.

    ``prices`` are newest first.
    """

    provider: str
    model: str
    inject: dict[str, Any]
    prices: tuple[PriceRow, ...]

    @classmethod
    def from_fields(cls, fields: Fields) -> "Target":
        return cls(
            provider=fields.text("provider"),
            model=fields.text("model"),
            inject=fields.raw_object("inject"),
            prices=tuple(PriceRow.from_fields(row) for row in fields.objects("prices")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A public model: a name that stays, and the targets that serve it today, in order of preference.

    ``image_tokens`` is the most that one image of the input can take; 0 where the model takes text alone.
    """

    id: str
    context_length: int
    max_output_tokens: int
    targets: tuple[Target, ...]
    image_tokens: int = 0

    @classmethod
    def from_fields(cls, fields: Fields) -> "Model":
        return cls(
            id=fields.text("id"),
            context_length=fields.integer("context_length", minimum=1),
            max_output_tokens=fields.integer("max_output_tokens", minimum=1),
            targets=tuple(Target.from_fields(target) for target in fields.objects("targets")),
            image_tokens=fields.optional(fields.integer, "image_tokens") or 0,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """All providers and models, in KV under ``catalogue``. Of two, the higher version is right."""

    version: int
    published_at_ms: int
    providers: dict[str, Provider]
    models: dict[str, Model]

    def to_json(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "published_at_ms": self.published_at_ms,
            "providers": [asdict(provider) for provider in self.providers.values()],
            "models": [asdict(model) for model in self.models.values()],
        }

    @classmethod
    def from_fields(cls, fields: Fields) -> "Catalogue":
        providers = [Provider.from_fields(provider) for provider in fields.objects("providers")]
        models = [Model.from_fields(model) for model in fields.objects("models")]
        return cls(
            version=fields.integer("version"),
            published_at_ms=fields.integer("published_at_ms"),
            providers={provider.name: provider for provider in providers},
            models={model.id: model for model in models},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one answer. ``cached_tokens`` are part of the prompt, ``reasoning_tokens`` of the completion."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int

    @classmethod
    def from_fields(cls, fields: Fields) -> "Usage":
        usage = cls(
            prompt_tokens=fields.integer("prompt_tokens"),
            cached_tokens=fields.integer("cached_tokens"),
            completion_tokens=fields.integer("completion_tokens"),
            reasoning_tokens=fields.integer("reasoning_tokens"),
        )
        if usage.cached_tokens > usage.prompt_tokens:
            raise FieldError("usage: more cached tokens than prompt tokens")
        return usage


NO_USAGE = Usage(prompt_tokens=0, cached_tokens=0, completion_tokens=0, reasoning_tokens=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at one target: ``outcome`` is ``ok`` or the typed cause why we moved on; status 0 is no answer."""

    provider: str
    model: str
    outcome: str
    status: int
    ms: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_fields(cls, fields: Fields) -> "Attempt":
        return cls(
            provider=fields.text("provider"),
            model=fields.text("model"),
            outcome=fields.text("outcome"),
            status=fields.integer("status"),
            ms=fields.integer("ms"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRecord:
    """What one request used and what it cost; ``request_id`` identifies it everywhere and forever.

    ``model`` is the public name that was asked for, ``served_model`` the one that answered. A record without a
    ``price_row`` costs nothing. ``estimated`` says that the tokens were counted here, not reported by the provider.
    """

    request_id: str
    account_id: str
    key_id: str
    model: str
    served_model: str | None
    provider: str | None
    usage: Usage
    cost_nano_usd: NanoUsd
    price_row: str | None
    state: UsageState
    estimated: bool
    stream: bool
    attempts: tuple[Attempt, ...]
    started_at_ms: int
    first_event_ms: int | None
    total_ms: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_fields(cls, fields: Fields) -> "UsageRecord":
        return cls(
            request_id=fields.text("request_id"),
            account_id=fields.text("account_id"),
            key_id=fields.text("key_id"),
            model=fields.text("model"),
            served_model=fields.optional(fields.text, "served_model"),
            provider=fields.optional(fields.text, "provider"),
            usage=Usage.from_fields(fields.object("usage")),
            cost_nano_usd=NanoUsd(fields.integer("cost_nano_usd")),
            price_row=fields.optional(fields.text, "price_row"),
            state=fields.choice("state", get_args(UsageState)),
            estimated=fields.boolean("estimated"),
            stream=fields.boolean("stream"),
            attempts=tuple(Attempt.from_fields(attempt) for attempt in fields.objects("attempts")),
            started_at_ms=fields.integer("started_at_ms"),
            first_event_ms=fields.optional(fields.integer, "first_event_ms"),
            total_ms=fields.integer("total_ms"),
        )


GrantKind = Literal["credit", "trial", "top_up", "refund", "reversal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Money that a ledger transfer gives to (or, when negative, takes from) a Wallet; ``id`` is the transfer's."""

    id: str
    kind: GrantKind
    amount_nano_usd: NanoUsd

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_fields(cls, fields: Fields) -> "Grant":
        return cls(
            id=fields.text("id"),
            kind=fields.choice("kind", get_args(GrantKind)),
            amount_nano_usd=NanoUsd(fields.integer("amount_nano_usd", minimum=-(2**53))),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletState:
    """The sums of one Wallet: available = granted - settled - held."""

    account_id: str
    granted_nano_usd: NanoUsd
    settled_nano_usd: NanoUsd
    held_nano_usd: NanoUsd
    open_holds: int
    unacknowledged_records: int

    @property
    def balance_nano_usd(self) -> NanoUsd:
        return NanoUsd(self.granted_nano_usd - self.settled_nano_usd)

    @property
    def available_nano_usd(self) -> NanoUsd:
        return NanoUsd(self.balance_nano_usd - self.held_nano_usd)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_fields(cls, fields: Fields) -> "WalletState":
        return cls(
            account_id=fields.text("account_id"),
            granted_nano_usd=NanoUsd(fields.integer("granted_nano_usd", minimum=-(2**53))),
            settled_nano_usd=NanoUsd(fields.integer("settled_nano_usd")),
            held_nano_usd=NanoUsd(fields.integer("held_nano_usd")),
            open_holds=fields.integer("open_holds"),
            unacknowledged_records=fields.integer("unacknowledged_records"),
        )


def dump(record: Any) -> str:
    """The compact JSON text of a record."""
    return json.dumps(record.to_json(), separators=(",", ":"), ensure_ascii=False)
