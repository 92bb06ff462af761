"""A small catalogue, its providers and prices, the key of one account, and a call and its answer."""

from collections.abc import Sequence
from typing import Any

from gateway.credentials import make_api_key
from gateway.money import PicoUsd
from gateway.records import (
    Catalogue,
    KeyLimits,
    KeyRecord,
    Model,
    PriceRow,
    Provider,
    Rates,
    Target,
    Tier,
)
from gateway.records import Dialect as DialectName

NOW_MS = 1_795_500_000_000  # 2026-11-24T06:00Z
API_KEY = make_api_key(bytes(range(32)))
ACCOUNT = "acct_1"
KEY_ID = "key_1"
NO_LIMITS = KeyLimits()


def rates(*, input_price: int, cached: int, output: int) -> Rates:
    """In pico-USD per token, that is USD per 1M tokens times 10**6."""
    return Rates(input=PicoUsd(input_price), cached_input=PicoUsd(cached), output=PicoUsd(output))


def price_row(name: str, tiers: Sequence[tuple[int | None, Rates]]) -> PriceRow:
    return PriceRow(
        id=name,
        effective_from_ms=0,
        effective_until_ms=None,
        tiers=tuple(Tier(up_to_input_tokens=end, rates=prices) for end, prices in tiers),
        peak=None,
        margin_basis_points=0,
        source="https://example.com/prices",
    )


def provider(name: str, dialect: DialectName) -> Provider:
    return Provider(
        name=name,
        dialect=dialect,
        base_url=f"https://{name}.example/v1",
        api_key_env=name,
        connect_timeout_ms=5_000,
        first_event_timeout_ms=15_000,
        idle_timeout_ms=20_000,
        total_timeout_ms=600_000,
    )


def target(name: str, model: str, *prices: PriceRow, inject: dict[str, Any] | None = None) -> Target:
    return Target(provider=name, model=model, inject=inject or {}, prices=prices or (FLAT,))


def model(name: str, *targets: Target, max_output_tokens: int = 8_192, image_tokens: int = 0) -> Model:
    return Model(
        id=name,
        context_length=131_072,
        max_output_tokens=max_output_tokens,
        targets=targets,
        image_tokens=image_tokens,
    )


def catalogue(*models: Model) -> Catalogue:
    return Catalogue(
        version=1, published_at_ms=NOW_MS, providers=PROVIDERS, models={model.id: model for model in models}
    )


def key_record(
    *, limits: KeyLimits = NO_LIMITS, models: tuple[str, ...] | None = None, expires_at_ms: int | None = None
) -> KeyRecord:
    return KeyRecord(
        account_id=ACCOUNT,
        key_id=KEY_ID,
        state="active",
        expires_at_ms=expires_at_ms,
        models=models,
        limits=limits,
        version=1,
    )


FLAT = price_row("flat", [(None, rates(input_price=150_000, cached=3_000, output=600_000))])
TIERED = price_row(
    "tiered",
    [
        (32, rates(input_price=1_200_000, cached=240_000, output=6_000_000)),
        (None, rates(input_price=2_400_000, cached=480_000, output=12_000_000)),
    ],
)
DIALECT_NAMES: dict[str, DialectName] = {
    "deepseek": "deepseek",
    "moonshot": "moonshot",
    "dashscope": "dashscope",
    "zai": "zai",
    "spark": "spark",
    "mirror": "openai",
}
PROVIDERS = {name: provider(name, dialect) for name, dialect in DIALECT_NAMES.items()}
CATALOGUE = catalogue(
    model("deepseek-chat", target("deepseek", "deepseek-flash", inject={"thinking": {"type": "disabled"}})),
    model("kimi-k2", target("moonshot", "kimi-k2.6")),
    model("qwen3-max", target("dashscope", "qwen3-max", TIERED)),
    model("glm-4.6", target("zai", "glm-4.6")),
    model("spark-max", target("spark", "generalv3.5")),
    model("open", target("mirror", "open-1")),
)
CHAT = {"model": "deepseek-chat", "messages": [{"role": "user", "content": "Hello"}]}


def two_targets(first: str, second: str = "mirror") -> Catalogue:
    """A model ``deepseek-chat`` that two providers serve."""
    return catalogue(model("deepseek-chat", target(first, f"{first}-1"), target(second, f"{second}-1")))


def whole_answer(text: str = "Hi", **fields: Any) -> dict[str, Any]:
    """An answer in OpenAI's form."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_764_657_993,
        "model": "deepseek-flash",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30},
        **fields,
    }
