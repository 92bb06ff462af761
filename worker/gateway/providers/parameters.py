"""What a provider takes of OpenAI's parameters: each passes as it is, is left out because that changes nothing, or is
refused with the reason. Nothing is changed in silence."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

MAX_SEED = 2**53 - 1
"""A larger integer would change on its way through a JSON number."""

Reason = str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """``refuse`` gives the reason why a value cannot be had, or None; ``sent``: whether the provider is told of it."""

    refuse: Callable[[Any], Reason]
    sent: bool = True


def _is_one_of(value: Any, values: tuple[Any, ...]) -> bool:
    return any(value == item and isinstance(value, bool) == isinstance(item, bool) for item in values)


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value) if isinstance(value, str) else str(value)


def anything() -> Parameter:
    """It passes; what is wrong with it the provider says."""
    return Parameter(refuse=lambda _: None)


def left_out() -> Parameter:
    """It has no effect on an answer, so the provider is not told."""
    return Parameter(refuse=lambda _: None, sent=False)


def only(*values: Any) -> Parameter:
    """What the provider does anyway: these values are left out, and all others refused."""
    shown = " or ".join(map(_shown, values))
    return Parameter(refuse=lambda value: None if _is_one_of(value, values) else f"can only be {shown}", sent=False)


def one_of(*values: Any) -> Parameter:
    shown = ", ".join(map(_shown, values))
    return Parameter(refuse=lambda value: None if _is_one_of(value, values) else f"must be one of {shown}")


def number(low: float, high: float, *, above: bool = False, below: bool = False) -> Parameter:
    """A number from ``low`` to ``high``; ``above`` and ``below`` leave the ends themselves out."""

    def refuse(value: Any) -> Reason:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return "must be a number"
        if value < low or (above and value == low):
            return f"must be {'above' if above else 'at least'} {low:g}"
        if value > high or (below and value == high):
            return f"must be {'below' if below else 'at most'} {high:g}"
        return None

    return Parameter(refuse=refuse)


def integer(low: int, high: int) -> Parameter:
    def refuse(value: Any) -> Reason:
        return None if type(value) is int and low <= value <= high else f"must be an integer from {low} to {high}"

    return Parameter(refuse=refuse)


def stops(most: int, *, longest_bytes: int | None = None) -> Parameter:
    """Stop texts: one, or a list of so many."""

    def refuse(value: Any) -> Reason:
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            return "must be a text or a list of texts"
        if len(texts) > most:
            return f"may have at most {most} texts"
        if longest_bytes is not None and any(len(text.encode(errors="replace")) > longest_bytes for text in texts):
            return f"may have at most {longest_bytes} bytes in each text"
        return None

    return Parameter(refuse=refuse)


def formats(*types: str) -> Parameter:
    """``response_format`` of these types."""

    def refuse(value: Any) -> Reason:
        kind = value.get("type") if isinstance(value, Mapping) else None
        return None if kind in types else f"must have one of the types {', '.join(types)}"

    return Parameter(refuse=refuse)


def choices(*words: str, named: bool) -> Parameter:
    """``tool_choice`` by these words and, where ``named``, of one function."""
    known = [*words, *(["a function"] if named else [])]

    def refuse(value: Any) -> Reason:
        fits = value in words if isinstance(value, str) else named and isinstance(value, Mapping)
        return None if fits else f"must be one of {', '.join(known)}"

    return Parameter(refuse=refuse)


SEED = integer(0, MAX_SEED)

# What every call has, or the gateway itself reads and writes.
OWN = frozenset(
    {"model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "models", "provider"}
)

# What says nothing about the answer, or asks for what is done anyway.
COMMON: Mapping[str, Parameter] = {
    "tools": anything(),
    "user": left_out(),
    "metadata": left_out(),
    "prompt_cache_key": left_out(),
    "safety_identifier": left_out(),
    "store": only(False),
    "service_tier": only("auto", "default"),
    "modalities": only(["text"]),
    "logit_bias": only({}),
    "logprobs": only(False),
    "n": only(1),
    "parallel_tool_calls": only(True),
    "verbosity": only("medium"),
}


def refusal_of(name: str, value: Any, known: Mapping[str, Parameter]) -> Reason:
    """Why a provider with these parameters cannot take this one; null is the same as absent."""
    parameter = known.get(name)
    if value is None:
        return None
    return "is not supported by this model" if parameter is None else parameter.refuse(value)


def unsent(names: Collection[str], known: Mapping[str, Parameter]) -> list[str]:
    """Those that the provider is not told of."""
    return [name for name in names if name in known and not known[name].sent]
