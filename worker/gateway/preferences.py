"""The caller's own control over where a call is answered: other models to fall back on, and which providers.

The fields are OpenRouter's: ``models`` and ``provider`` in the body. For a client that cannot add fields to its body
each has a header: ``x-haotokai-models`` and ``x-haotokai-provider-order``, ``-ignore``, ``-sort``, ``-max-price`` and
``-allow-fallbacks``. Where a field is given twice, the body wins. No provider is sent any of it.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, get_args

from gateway.errors import InvalidRequest
from gateway.frozen import frozen
from gateway.money import MoneyError, PicoUsd, parse_price
from gateway.records import Rates

MAX_MODELS = 8
MAX_PROVIDERS = 32
MAX_NAME_CHARS = 128

Sort = Literal["price", "latency", "throughput"]


@frozen
class Preferences:
    """Which providers may answer, and in which order; the defaults leave the catalogue's order as it is.

    Providers in ``order`` come first, as it has them. Without ``allow_fallbacks`` they are the only ones; and where
    there is no ``order``, each model has its first target alone. Prices are the most that a token may cost.
    """

    order: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    sort: Sort | None = None
    max_prompt_price: PicoUsd | None = None
    max_completion_price: PicoUsd | None = None
    allow_fallbacks: bool = True

    @property
    def first_targets_only(self) -> bool:
        return not self.allow_fallbacks and not self.order

    def lists(self, provider: str) -> bool:
        """Whether ``order`` leaves this provider in."""
        return self.allow_fallbacks or not self.order or provider in self.order

    def affords(self, rates: Rates) -> bool:
        if self.max_prompt_price is not None and rates.input > self.max_prompt_price:
            return False
        return self.max_completion_price is None or rates.output <= self.max_completion_price

    def rank(self, provider: str) -> int:
        """The place of a provider in ``order``; all others come behind."""
        return self.order.index(provider) if provider in self.order else len(self.order)


NO_PREFERENCES = Preferences()


def read_models(value: Any, header: str | None) -> tuple[str, ...]:
    """The models to fall back on, from the field or the header; raises InvalidRequest."""
    models = _words(header) if value is None and header is not None else value
    if models is None:
        return ()
    if not isinstance(models, list) or not 1 <= len(models) <= MAX_MODELS or not all(map(_is_name, models)):
        raise InvalidRequest(
            f"'models' must be a list of 1 to {MAX_MODELS} names; GET /v1/models lists them.", param="models"
        )
    return tuple(dict.fromkeys(models))


def read_preferences(value: Any, header: Callable[[str], str | None]) -> Preferences:
    """The field ``provider`` and its headers; raises InvalidRequest, naming the field that does not fit."""
    if value is not None and not isinstance(value, Mapping):
        raise InvalidRequest("'provider' must be an object.", param="provider")
    given = _from_headers(header)
    for name, item in (value or {}).items():
        if name not in _FIELDS:
            raise InvalidRequest(
                f"'provider' has the fields {', '.join(_FIELDS)}; {name[:MAX_NAME_CHARS]!r} is none of them.",
                param="provider",
            )
        if item is not None:
            given[name] = item
    if not given:
        return NO_PREFERENCES
    found: dict[str, Any] = {}
    for name, item in given.items():
        found |= _FIELDS[name].read(item, f"provider.{name}")
    return Preferences(**found)


def _from_headers(header: Callable[[str], str | None]) -> dict[str, Any]:
    return {
        name: field.from_header(text)
        for name, field in _FIELDS.items()
        if (text := header(field.header_name)) is not None
    }


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",")]


def _pairs(text: str) -> dict[str, str]:
    """``prompt=1,completion=2``"""
    pairs = [word.partition("=") for word in _words(text)]
    return {name.strip(): value.strip() for name, _, value in pairs}


def _flag(text: str) -> Any:
    return {"true": True, "false": False}.get(text.lower(), text)


def _read_order(value: Any, param: str) -> dict[str, Any]:
    return {"order": _providers(value, param)}


def _read_ignore(value: Any, param: str) -> dict[str, Any]:
    return {"ignore": _providers(value, param)}


def _read_sort(value: Any, param: str) -> dict[str, Any]:
    if value not in get_args(Sort):
        raise InvalidRequest(f"'{param}' must be one of {', '.join(get_args(Sort))}.", param=param)
    return {"sort": value}


def _read_max_price(value: Any, param: str) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not value.keys() <= {"prompt", "completion"}:
        raise InvalidRequest(f"'{param}' must be an object of prompt and completion.", param=param)
    return {f"max_{name}_price": _price(price, param) for name, price in value.items() if price is not None}


def _read_allow_fallbacks(value: Any, param: str) -> dict[str, Any]:
    if not isinstance(value, bool):
        raise InvalidRequest(f"'{param}' must be true or false.", param=param)
    return {"allow_fallbacks": value}


class _Field(NamedTuple):
    header_name: str
    from_header: Callable[[str], Any]
    read: Callable[[Any, str], dict[str, Any]]


_FIELDS = {
    "order": _Field("x-haotokai-provider-order", _words, _read_order),
    "ignore": _Field("x-haotokai-provider-ignore", _words, _read_ignore),
    "sort": _Field("x-haotokai-provider-sort", str.strip, _read_sort),
    "max_price": _Field("x-haotokai-provider-max-price", _pairs, _read_max_price),
    "allow_fallbacks": _Field("x-haotokai-provider-allow-fallbacks", _flag, _read_allow_fallbacks),
}


def _providers(value: Any, param: str) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_PROVIDERS or not all(map(_is_name, value)):
        raise InvalidRequest(f"'{param}' must be a list of at most {MAX_PROVIDERS} providers.", param=param)
    return tuple(dict.fromkeys(name.lower() for name in value))


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME_CHARS


def _price(value: Any, param: str) -> PicoUsd:
    """USD per 1M tokens, as a number or a decimal text."""
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise MoneyError("not a price")
        # To the sixth decimal, which is the last that a price can have: 0.1 + 0.2 is 0.3 here.
        return parse_price(value if isinstance(value, str) else f"{value:.6f}")
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(f"'{param}' takes USD per 1M tokens, such as 0.5 or \"0.5\".", param=param) from error
