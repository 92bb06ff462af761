"""What a provider does with one parameter of a request: take it, leave it out without a difference, or not take it.

A table, parameter by parameter, belongs to each provider; what is not in its table is refused. Never is a value
changed to one that the provider would take.
"""

from collections.abc import Callable, Mapping
from typing import Any

from gateway.errors import InvalidRequest, UnsupportedParameter
from gateway.fields import MAX_INTEGER
from gateway.frozen import frozen
from gateway.ports import Document

OWN = frozenset(
    {
        "model",
        "models",
        "provider",
        "messages",
        "tools",
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
    }
)
"""What the gateway reads itself: it writes these anew for each provider, takes them off, or looks into them apart."""


@frozen
class Parameter:
    """``takes`` says in words what ``accepts`` tells. What is not sent makes no difference to the answer."""

    takes: str
    accepts: Callable[[Any], bool]
    sends: bool = True


Table = Mapping[str, Parameter]


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


PASSES = Parameter(takes="any value", accepts=lambda _: True)
NO_EFFECT = Parameter(takes="any value", accepts=lambda _: True, sends=False)


def between(low: float, high: float) -> Parameter:
    """Numbers from ``low`` to ``high``."""
    return Parameter(takes=f"{low} to {high}", accepts=lambda value: low <= value <= high)


def above(low: float, high: float) -> Parameter:
    """Numbers above ``low`` and up to ``high``."""
    return Parameter(takes=f"above {low} to {high}", accepts=lambda value: low < value <= high)


def below(low: float, high: float) -> Parameter:
    """Numbers from ``low`` to below ``high``."""
    return Parameter(takes=f"{low} to below {high}", accepts=lambda value: low <= value < high)


def one_of(*values: str) -> Parameter:
    return Parameter(takes=", ".join(values), accepts=lambda value: value in values)


def only(*values: Any) -> Parameter:
    """What the provider does anyway: these values need not be sent, and there are no others."""
    return Parameter(
        takes=" or ".join(map(_word, values)) + " only",
        accepts=lambda value: any(value == known for known in values),
        sends=False,
    )


def formats(*kinds: str) -> Parameter:
    """A ``response_format``, by its type."""
    return Parameter(takes=", ".join(kinds), accepts=lambda value: value.get("type") in kinds)


def stops(most: int, *, most_bytes: int | None = None) -> Parameter:
    """One text at which to stop, or up to ``most``, each of up to ``most_bytes``."""

    def accepts(value: Any) -> bool:
        texts = [value] if isinstance(value, str) else value
        return len(texts) <= most and all(most_bytes is None or len(text.encode()) <= most_bytes for text in texts)

    size = "" if most_bytes is None else f" of {most_bytes} bytes"
    return Parameter(takes=f"up to {most}{size}", accepts=accepts)


def tool_choices(*words: str, named: bool) -> Parameter:
    """A ``tool_choice``: words, and a function by its name."""
    return Parameter(
        takes=", ".join((*words, *(["a named function"] if named else []))),
        accepts=lambda value: value in words if isinstance(value, str) else named and value.get("type") == "function",
    )


def thinking(*types: str, **more: tuple[Any, ...]) -> Parameter:
    """A switch ``thinking``: its types, and what further fields may say."""

    def accepts(value: Any) -> bool:
        known = {"type": types, **more}
        return "type" in value and all(name in known and value[name] in known[name] for name in value)

    return Parameter(takes=", ".join((*types, *more)), accepts=accepts)


SEED = Parameter(takes="0 to 2^53 - 1", accepts=lambda value: 0 <= value <= MAX_INTEGER)

COMMON: Table = {
    # What is about the caller's own affairs, or about speed, changes no answer.
    "user": NO_EFFECT,
    "metadata": NO_EFFECT,
    "prediction": NO_EFFECT,
    "prompt_cache_key": NO_EFFECT,
    "prompt_cache_options": NO_EFFECT,
    "prompt_cache_retention": NO_EFFECT,
    "safety_identifier": NO_EFFECT,
    # What the providers do anyway.
    "frequency_penalty": only(0),
    "logit_bias": only({}),
    "logprobs": only(False),
    "modalities": only(["text"]),
    "n": only(1),
    "parallel_tool_calls": only(True),
    "presence_penalty": only(0),
    "service_tier": only("auto", "default"),
    "store": only(False),
    "top_logprobs": only(0),
    "verbosity": only("medium"),
    "response_format": formats("text", "json_object"),
}
"""What the labs have in common; each adds its own."""


def check(document: Document, names: frozenset[str], table: Table, *, model: str) -> None:
    """Raises UnsupportedParameter for what ``model`` cannot do, InvalidRequest for what means nothing anywhere."""
    for name in sorted(names - OWN):
        if table.get(name) is NO_EFFECT or (value := document.read(name)) is None:
            continue
        if (kind := _KINDS.get(name)) is not None and not kind.accepts(value):
            raise InvalidRequest(f"'{name}' must be {kind.takes}.", param=name)
        if (parameter := table.get(name)) is None:
            raise UnsupportedParameter(f"'{name}' is not supported by {model}.", param=name)
        if not parameter.accepts(value):
            raise UnsupportedParameter(
                f"'{name}' has a value that {model} does not take; it takes {parameter.takes}.", param=name
            )


def leave_out(document: Document, names: frozenset[str], table: Table) -> None:
    """Take off what need not be sent, and nulls."""
    for name in names - OWN:
        parameter = table.get(name)
        if (parameter is not None and not parameter.sends) or document.read(name) is None:
            document.remove(name)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    # An integer that a JavaScript number cannot hold exactly arrives as a float.
    return _is_number(value) and float(value).is_integer()


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _kind(takes: str, *types: type) -> Parameter:
    return Parameter(takes=takes, accepts=lambda value: isinstance(value, types))


_BOOLEAN = _kind("true or false", bool)
_TEXT = _kind("a text", str)
_OBJECT = _kind("an object", dict)
_NUMBER = Parameter(takes="a number", accepts=_is_number)
_INTEGER = Parameter(takes="an integer", accepts=_is_integer)

# The JSON type of each: a value of another means nothing to any provider.
_KINDS: Table = {
    "do_sample": _BOOLEAN,
    "enable_search": _BOOLEAN,
    "enable_thinking": _BOOLEAN,
    "frequency_penalty": _NUMBER,
    "logit_bias": _OBJECT,
    "logprobs": _BOOLEAN,
    "modalities": Parameter(takes="a list of texts", accepts=_is_texts),
    "n": _INTEGER,
    "parallel_tool_calls": _BOOLEAN,
    "presence_penalty": _NUMBER,
    "reasoning_effort": _TEXT,
    "repetition_penalty": _NUMBER,
    "request_id": _TEXT,
    "response_format": _OBJECT,
    "seed": _INTEGER,
    "service_tier": _TEXT,
    "stop": Parameter(
        takes="a text or a list of texts", accepts=lambda value: isinstance(value, str) or _is_texts(value)
    ),
    "store": _BOOLEAN,
    "temperature": _NUMBER,
    "thinking": _OBJECT,
    "thinking_budget": _INTEGER,
    "tool_choice": _kind("a text or an object", str, dict),
    "tool_stream": _BOOLEAN,
    "top_k": _INTEGER,
    "top_logprobs": _INTEGER,
    "top_p": _NUMBER,
    "user_id": _TEXT,
    "verbosity": _TEXT,
}
