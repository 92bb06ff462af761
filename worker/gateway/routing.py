"""From what was asked to where it can be answered: the call, and its candidates in order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.errors import InvalidRequest, ModelNotFound, ServiceUnavailable, UnsupportedParameter
from gateway.ports import Document, PlatformError, Ports
from gateway.pricing import row_in_force
from gateway.providers import DIALECTS
from gateway.providers.dialect import Dialect
from gateway.records import Catalogue, KeyRecord, Model, PriceRow, Provider, Target

MAX_TOKENS_NAMES = ("max_completion_tokens", "max_tokens")
OWN_FIELDS = ("models", "provider")
MAX_CHOICES = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One chat completion that a key may make: what the gateway reads of it; the rest of ``document`` passes on."""

    request_id: str
    key: KeyRecord
    started_at_ms: int
    idempotency_key: str | None
    document: Document
    size_bytes: int
    model: str
    stream: bool
    include_usage: bool
    max_tokens: int | None
    choices: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One target that may answer, with all that an attempt needs."""

    model: Model
    target: Target
    provider: Provider
    price: PriceRow

    @property
    def dialect(self) -> Dialect:
        return DIALECTS[self.provider.dialect]


def read_call(
    document: Document,
    size_bytes: int,
    *,
    request_id: str,
    key: KeyRecord,
    started_at_ms: int,
    idempotency_key: str | None,
) -> Call:
    """Raises InvalidRequest, naming the parameter, for what no provider could take."""
    model = document.read("model")
    if not isinstance(model, str) or not model:
        raise InvalidRequest("'model' must name a model; GET /v1/models lists them.", param="model")
    if not document.items("messages"):
        raise InvalidRequest("'messages' must be a list of at least one message.", param="messages")
    _refuse_unbounded(document)
    stream = _boolean(document, "stream")
    return Call(
        request_id=request_id,
        key=key,
        started_at_ms=started_at_ms,
        idempotency_key=idempotency_key,
        document=document,
        size_bytes=size_bytes,
        model=model,
        stream=stream,
        include_usage=stream and _include_usage(document),
        max_tokens=_max_tokens(document),
        choices=_choices(document),
    )


async def read_catalogue(ports: Ports) -> Catalogue:
    """The catalogue in force; raises ServiceUnavailable where it cannot be read."""
    try:
        return await ports.catalogue()
    except PlatformError as error:
        raise ServiceUnavailable("The catalogue cannot be read right now; please try again.") from error


def resolve(call: Call, catalogue: Catalogue) -> tuple[Candidate, ...]:
    """The targets of the model, in the catalogue's order; raises ModelNotFound."""
    model = catalogue.models.get(call.model)
    if model is None:
        raise ModelNotFound(
            f"The model {call.model!r} does not exist; GET /v1/models lists those that do.", param="model"
        )
    candidates = tuple(
        Candidate(model=model, target=target, provider=catalogue.providers[target.provider], price=price)
        for target in model.targets
        if (price := row_in_force(target.prices, at_ms=call.started_at_ms)) is not None
    )
    if not candidates:
        raise ServiceUnavailable(f"The model {call.model!r} has no price in force.", param="model")
    return candidates


def deadline_ms(call: Call, candidates: Sequence[Candidate]) -> int:
    """When the call must have ended, all its attempts together: after the longest time that one of them may take."""
    return call.started_at_ms + max(candidate.provider.total_timeout_ms for candidate in candidates)


def outgoing(call: Call, candidate: Candidate, *, max_tokens: int | None) -> Document:
    """The document that one candidate is sent: its own model id, injected parameters, its dialect's changes."""
    document = call.document.copy()
    for name in (*OWN_FIELDS, *MAX_TOKENS_NAMES, "stream_options"):
        document.remove(name)
    document.write("model", candidate.target.model)
    if max_tokens is not None:
        document.write(candidate.dialect.max_tokens_name, max_tokens)
    for name, value in candidate.target.inject.items():
        if document.read(name) is None:
            document.write(name, value)
    if call.stream and candidate.dialect.asks_usage:
        document.write("stream_options", {"include_usage": True})
    candidate.dialect.prepare(document)
    return document


def _refuse_unbounded(document: Document) -> None:
    """Raises UnsupportedParameter for a provider's own tools: what they add to the prompt and the bill has no bound."""
    for tool in document.items("tools"):
        if (kind := tool.read("type")) != "function":
            raise UnsupportedParameter(f"Tools of type {kind!r} are not supported; use 'function'.", param="tools")
    for name in ("enable_search", "web_search_options"):
        if document.read(name):
            raise UnsupportedParameter(f"'{name}' is not supported.", param=name)


def _include_usage(document: Document) -> bool:
    options = document.read("stream_options")
    if options is None:
        return False
    if not isinstance(options, dict):
        raise InvalidRequest("'stream_options' must be an object.", param="stream_options")
    return options.get("include_usage") is True


def _max_tokens(document: Document) -> int | None:
    given = [value for name in MAX_TOKENS_NAMES if (value := _positive(document, name)) is not None]
    return min(given, default=None)


def _choices(document: Document) -> int:
    choices = _positive(document, "n") or 1
    if choices > MAX_CHOICES:
        raise InvalidRequest(f"'n' must be at most {MAX_CHOICES}.", param="n")
    return choices


def _positive(document: Document, name: str) -> int | None:
    value: Any = document.read(name)
    if value is None:
        return None
    if type(value) is not int or value < 1:
        raise InvalidRequest(f"'{name}' must be a positive integer.", param=name)
    return value


def _boolean(document: Document, name: str) -> bool:
    value = document.read(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise InvalidRequest(f"'{name}' must be true or false.", param=name)
