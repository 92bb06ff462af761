"""The catalogue: providers, models, the targets that serve them, and how those are doing."""

from dataclasses import field
from typing import Any, Literal, get_args

from gateway.fields import Fields
from gateway.frozen import frozen
from gateway.records.plain import to_object
from gateway.records.prices import PriceRow

CATALOGUE_KV_KEY = "catalogue"
DRILL_URL = "drill:"
"""The base URL of a provider that is no lab: its models are the Worker's own drills, which fail on purpose."""

Dialect = Literal["deepseek", "moonshot", "dashscope", "zai", "spark", "openai"]


@frozen
class Provider:
    """How a provider is reached. The API key itself is a Worker secret named ``api_key_env`` (empty: it needs none)."""

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

    @property
    def is_drill(self) -> bool:
        """Whether it fails on purpose, so that its failures mean nothing."""
        return self.base_url.startswith(DRILL_URL)


@frozen
class Target:
    """One place where a model is served: provider, its own id for the model, parameters to inject, its prices.

    ``prices`` are newest first. ``context_length`` and ``max_output_tokens`` are the target's own, where they differ
    from the model's.
    """

    provider: str
    model: str
    inject: dict[str, Any]
    prices: tuple[PriceRow, ...]
    context_length: int | None = None
    max_output_tokens: int | None = None

    @classmethod
    def from_fields(cls, fields: Fields) -> "Target":
        return cls(
            provider=fields.text("provider"),
            model=fields.text("model"),
            inject=fields.raw_object("inject"),
            prices=tuple(PriceRow.from_fields(row) for row in fields.objects("prices")),
            context_length=fields.optional(fields.integer, "context_length"),
            max_output_tokens=fields.optional(fields.integer, "max_output_tokens"),
        )


@frozen
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


Health = Literal["healthy", "degraded", "down"]


@frozen
class TargetHealth:
    """How a provider's model has done lately, over all requests: what moves it in the order of targets.

    ``first_event_ms`` and ``tokens_per_second`` are medians, None where too little was seen.
    """

    provider: str
    model: str
    health: Health
    first_event_ms: int | None
    tokens_per_second: int | None

    @classmethod
    def from_fields(cls, fields: Fields) -> "TargetHealth":
        return cls(
            provider=fields.text("provider"),
            model=fields.text("model"),
            health=fields.choice("health", get_args(Health)),
            first_event_ms=fields.optional(fields.integer, "first_event_ms"),
            tokens_per_second=fields.optional(fields.integer, "tokens_per_second"),
        )


@frozen
class Catalogue:
    """All providers and models, in KV under ``catalogue``. Of two, the higher version is right.

    ``health`` is by provider and the provider's id of the model; a target that is not in it counts as healthy.
    """

    version: int
    published_at_ms: int
    providers: dict[str, Provider]
    models: dict[str, Model]
    health: dict[tuple[str, str], TargetHealth] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "published_at_ms": self.published_at_ms,
            "providers": [to_object(record) for record in self.providers.values()],
            "models": [to_object(record) for record in self.models.values()],
            "health": [to_object(record) for record in self.health.values()],
        }

    @classmethod
    def from_fields(cls, fields: Fields) -> "Catalogue":
        providers = [Provider.from_fields(provider) for provider in fields.objects("providers")]
        models = [Model.from_fields(model) for model in fields.objects("models")]
        healths = [TargetHealth.from_fields(health) for health in fields.objects("health")]
        return cls(
            version=fields.integer("version"),
            published_at_ms=fields.integer("published_at_ms"),
            providers={provider.name: provider for provider in providers},
            models={model.id: model for model in models},
            health={(health.provider, health.model): health for health in healths},
        )
