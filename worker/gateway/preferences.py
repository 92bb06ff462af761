"""The caller's own control over where a call is answered: other models to fall back on, and which providers.

The fields are OpenRouter's. They come in the body (``models``, ``provider``) or, where a client cannot add fields to
it, in the headers ``x-haotokai-models`` (a list with commas) and ``x-haotokai-preferences`` (the JSON of ``provider``).
The body wins. No provider is sent either.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from gateway.errors import InvalidRequest
from gateway.fields import FieldError, Fields
from gateway.money import MoneyError, PicoUsd, parse_price
from gateway.records import Rates

MAX_MODELS = 8
MAX_PROVIDERS = 32
MAX_HEADER_CHARS = 4096

Sort = Literal["price", "latency", "throughput"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """Which providers may answer, and in which order; the defaults leave the catalogue's order as it is.

    ``order`` come first, in that order, and are the only ones without ``allow_fallbacks``. Without ``order`` and
    without ``allow_fallbacks`` only the first target is asked. Prices are the most that a token may cost.
    """

    order: tuple[str, ...] = ()
    ignore: frozenset[str] = frozenset()
    sort: Sort | None = None
    max_prompt_price: PicoUsd | None = None
    max_completion_price: PicoUsd | None = None
    allow_fallbacks: bool = True

    def admits(self, provider: str, rates: Rates) -> bool:
        """Whether a target with these rates may be asked at all."""
        if provider in self.ignore or (self.order and not self.allow_fallbacks and provider not in self.order):
            return False
        if self.max_prompt_price is not None and rates.input > self.max_prompt_price:
            return False
        return self.max_completion_price is None or rates.output <= self.max_completion_price

    def rank(self, provider: str) -> int:
        """The place of a provider in ``order``; all others come behind."""
        return self.order.index(provider) if provider in self.order else len(self.order)


NO_PREFERENCES = Preferences()


def read_models(value: Any, header: str | None) -> tuple[str, ...]:
    """The models to fall back on, from the field or the header; raises InvalidRequest."""
    names = header.split(",") if value is None and header is not None else value
    if names is None:
        return ()
    if not isinstance(names, list) or not 1 <= len(names) <= MAX_MODELS:
        raise InvalidRequest(f"'models' must be a list of 1 to {MAX_MODELS} models.", param="models")
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise InvalidRequest("'models' must name models; GET /v1/models lists them.", param="models")
    return tuple(dict.fromkeys(name.strip() for name in names))


def read_preferences(value: Any, header: str | None) -> Preferences:
    """The field ``provider`` or its header; raises InvalidRequest, naming the field that does not fit."""
    if value is None and header is None:
        return NO_PREFERENCES
    values = _from_header(header) if value is None and header is not None else value
    if not isinstance(values, Mapping):
        raise InvalidRequest("'provider' must be an object.", param="provider")
    unknown = sorted(values.keys() - _READERS.keys())
    if unknown:
        raise InvalidRequest(f"'provider' has no field {unknown[0]!r}.", param="provider")
    found: dict[str, Any] = {}
    for name, given in values.items():
        if given is not None:
            found |= _READERS[name](given)
    return Preferences(**found)


def _from_header(header: str) -> Any:
    if len(header) > MAX_HEADER_CHARS:
        raise InvalidRequest(f"x-haotokai-preferences has more than {MAX_HEADER_CHARS} characters.", param="provider")
    try:
        return Fields.parse(header, "x-haotokai-preferences").values
    except FieldError as error:
        raise InvalidRequest("x-haotokai-preferences is not a JSON object.", param="provider") from error


def _order(value: Any) -> dict[str, Any]:
    return {"order": _providers(value, "provider.order")}


def _ignore(value: Any) -> dict[str, Any]:
    return {"ignore": frozenset(_providers(value, "provider.ignore"))}


def _sort(value: Any) -> dict[str, Any]:
    if value not in get_args(Sort):
        raise InvalidRequest("'provider.sort' must be price, latency or throughput.", param="provider.sort")
    return {"sort": value}


def _max_price(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not value.keys() <= {"prompt", "completion"}:
        raise InvalidRequest("'provider.max_price' must be {prompt, completion}.", param="provider.max_price")
    return {f"max_{name}_price": _price(price) for name, price in value.items() if price is not None}


def _allow_fallbacks(value: Any) -> dict[str, Any]:
    if not isinstance(value, bool):
        raise InvalidRequest("'provider.allow_fallbacks' must be true or false.", param="provider.allow_fallbacks")
    return {"allow_fallbacks": value}


_READERS = {
    "order": _order,
    "ignore": _ignore,
    "sort": _sort,
    "max_price": _max_price,
    "allow_fallbacks": _allow_fallbacks,
}


def _providers(value: Any, name: str) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_PROVIDERS or not all(isinstance(item, str) for item in value):
        raise InvalidRequest(f"'{name}' must be a list of at most {MAX_PROVIDERS} providers.", param=name)
    return tuple(dict.fromkeys(value))


def _price(value: Any) -> PicoUsd:
    """USD per 1M tokens, as a number or a decimal text."""
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise MoneyError("not a price")
        return parse_price(value if isinstance(value, str) else f"{value:.6f}".rstrip("0").rstrip("."))
    except (MoneyError, ValueError) as error:
        raise InvalidRequest(
            "'provider.max_price' takes USD per 1M tokens, such as 0.5 or \"0.5\".", param="provider.max_price"
        ) from error
