"""GET /v1/models: what can be asked for, what it costs now, and what it maps to today. Public, no key needed."""

from typing import Any

from gateway.errors import ModelNotFound
from gateway.http import Exchange, Response, json_response
from gateway.money import format_price
from gateway.ports import Ports
from gateway.pricing import rates_for, row_in_force
from gateway.records import Catalogue, Model, PriceRow, Rates, Target, TargetHealth
from gateway.routing import read_catalogue

CACHE = {"cache-control": "public, max-age=60"}


async def list_models(exchange: Exchange, ports: Ports) -> Response:
    """Every public model, in OpenAI's list."""
    del exchange
    catalogue, now_ms = await read_catalogue(ports), ports.now_ms()
    models = [_model(model, catalogue, now_ms) for model in catalogue.models.values()]
    return json_response({"object": "list", "data": models}, headers=CACHE)


async def show_model(exchange: Exchange, ports: Ports) -> Response:
    """One public model; raises ModelNotFound."""
    catalogue = await read_catalogue(ports)
    model = catalogue.models.get(exchange.rest)
    if model is None:
        raise ModelNotFound(f"The model {exchange.rest!r} does not exist; GET /v1/models lists those that do.")
    return json_response(_model(model, catalogue, ports.now_ms()), headers=CACHE)


def _model(model: Model, catalogue: Catalogue, now_ms: int) -> dict[str, Any]:
    targets = [_target(target, model, catalogue, now_ms) for target in model.targets]
    return {
        "id": model.id,
        "object": "model",
        "created": 0,
        "owned_by": model.targets[0].provider,
        "context_length": model.context_length,
        "max_output_tokens": model.max_output_tokens,
        "maps_to": targets[0]["model"],
        "price": targets[0]["price"],
        "targets": targets,
    }


def _target(target: Target, model: Model, catalogue: Catalogue, now_ms: int) -> dict[str, Any]:
    row = row_in_force(target.prices, at_ms=now_ms)
    return {
        "provider": target.provider,
        "model": target.model,
        "context_length": target.context_length or model.context_length,
        "max_output_tokens": target.max_output_tokens or model.max_output_tokens,
        "price": None if row is None else _price(row, now_ms),
        "health": _health(catalogue.health.get((target.provider, target.model))),
    }


def _health(health: TargetHealth | None) -> dict[str, Any] | None:
    """As it was seen lately, and as ``provider.sort`` sorts by it; None where too little was seen."""
    if health is None:
        return None
    return {
        "state": health.health,
        "first_event_ms": health.first_event_ms,
        "tokens_per_second": health.tokens_per_second,
    }


def _price(row: PriceRow, now_ms: int) -> dict[str, Any]:
    """The row in force, in USD per 1M tokens: the rates of this moment for a small request, then all of its rules."""
    return {
        "row": row.id,
        "unit": "USD per 1M tokens",
        **_rates(rates_for(row, input_tokens=0, at_ms=now_ms)),
        "tiers": [{"up_to_input_tokens": tier.up_to_input_tokens, **_rates(tier.rates)} for tier in row.tiers],
        "peak": None if row.peak is None else _rates(row.peak.rates),
        "margin_basis_points": row.margin_basis_points,
        "source": row.source,
    }


def _rates(rates: Rates) -> dict[str, str]:
    return {
        "input": format_price(rates.input),
        "cached_input": format_price(rates.cached_input),
        "output": format_price(rates.output),
    }
