"""From what was asked to where it can be answered: the call, and its candidates in order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from gateway.errors import InvalidRequest, ModelNotFound, ServiceUnavailable, UnsupportedParameter
from gateway.ports import Document, PlatformError, Ports
from gateway.preferences import NO_PREFERENCES, Preferences, read_models, read_preferences
from gateway.pricing import rates_for, row_in_force
from gateway.providers import DIALECTS
from gateway.providers.dialect import Dialect
from gateway.records import Catalogue, KeyRecord, Model, PriceRow, Provider, Rates, Target, TargetHealth

MAX_TOKENS_NAMES = ("max_completion_tokens", "max_tokens")
OWN_FIELDS = ("models", "provider")
MAX_CHOICES = 128
BYTES_PER_TYPICAL_TOKEN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One chat completion that a key may make: what the gateway reads of it; the rest of ``document`` passes on.

    ``models`` are the one that is asked for and those to fall back on, in order; ``names`` are the document's fields.
    ``whole`` says that the caller wants the answer only once all of it is there.
    """

    request_id: str
    key: KeyRecord
    started_at_ms: int
    idempotency_key: str | None
    document: Document
    size_bytes: int
    names: frozenset[str]
    models: tuple[str, ...]
    preferences: Preferences
    stream: bool
    whole: bool
    include_usage: bool
    max_tokens: int | None
    choices: int

    @property
    def model(self) -> str:
        """The public name that was asked for."""
        return self.models[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One target that may answer, with all that an attempt needs."""

    model: Model
    target: Target
    provider: Provider
    price: PriceRow
    health: TargetHealth | None = None

    @property
    def dialect(self) -> Dialect:
        return DIALECTS[self.provider.dialect]

    @property
    def context_length(self) -> int:
        return self.target.context_length or self.model.context_length

    @property
    def max_output_tokens(self) -> int:
        return self.target.max_output_tokens or self.model.max_output_tokens

    def rates(self, call: Call) -> Rates:
        """What its tokens cost in a request of this size."""
        return rates_for(self.price, input_tokens=call.size_bytes // BYTES_PER_TYPICAL_TOKEN, at_ms=call.started_at_ms)


def read_call(
    document: Document,
    size_bytes: int,
    *,
    header: Callable[[str], str | None],
    request_id: str,
    key: KeyRecord,
    started_at_ms: int,
    idempotency_key: str | None,
) -> Call:
    """Raises InvalidRequest, naming the parameter, for what no provider could take."""
    names = frozenset(document.names())
    models = _models(document, header("x-haotokai-models"))
    if not document.items("messages"):
        raise InvalidRequest("'messages' must be a list of at least one message.", param="messages")
    _refuse_unbounded(document, names)
    stream = _boolean(document, "stream")
    return Call(
        request_id=request_id,
        key=key,
        started_at_ms=started_at_ms,
        idempotency_key=idempotency_key,
        document=document,
        size_bytes=size_bytes,
        names=names,
        models=models,
        preferences=_preferences(document, names, header("x-haotokai-preferences")),
        stream=stream,
        whole=_is_whole(header("x-haotokai-delivery")),
        include_usage=stream and _include_usage(document),
        max_tokens=_max_tokens(document, names),
        choices=_choices(document, names),
    )


async def read_catalogue(ports: Ports) -> Catalogue:
    """The catalogue in force; raises ServiceUnavailable where it cannot be read."""
    try:
        return await ports.catalogue()
    except PlatformError as error:
        raise ServiceUnavailable("The catalogue cannot be read right now; please try again.") from error


def resolve(call: Call, catalogue: Catalogue) -> tuple[Candidate, ...]:
    """Who may answer, in order: the models as the caller lists them, each model's targets as the catalogue does unless
    the caller prefers otherwise. Raises ModelNotFound, UnsupportedParameter where no target can do what is asked, and
    InvalidRequest where the caller's preferences leave none."""
    priced = tuple(candidate for model in call.models for candidate in _targets_of(model, call, catalogue))
    if not priced:
        raise ServiceUnavailable(f"The model {call.model!r} has no price in force.", param="model")
    able = _able(call, priced)
    if call.preferences == NO_PREFERENCES:
        return able
    return _preferred(call, able, catalogue)


def _targets_of(name: str, call: Call, catalogue: Catalogue) -> tuple[Candidate, ...]:
    model = catalogue.models.get(name)
    if model is None:
        raise ModelNotFound(
            f"The model {name!r} does not exist; GET /v1/models lists those that do.",
            param="model" if name == call.model else "models",
        )
    candidates = tuple(
        Candidate(
            model=model,
            target=target,
            provider=catalogue.providers[target.provider],
            price=price,
            health=catalogue.health.get((target.provider, target.model)) if catalogue.health else None,
        )
        for target in model.targets
        if (price := row_in_force(target.prices, at_ms=call.started_at_ms)) is not None
    )
    return candidates if not catalogue.health else tuple(sorted(candidates, key=_is_down))


def _is_down(candidate: Candidate) -> bool:
    return candidate.health is not None and candidate.health.health == "down"


def _able(call: Call, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Those whose provider can do exactly what is asked."""
    able: list[Candidate] = []
    refusal: UnsupportedParameter | None = None
    for candidate in candidates:
        try:
            candidate.dialect.check(call.document, call.names, candidate.target)
        except UnsupportedParameter as error:
            refusal = refusal or error
        else:
            able.append(candidate)
    if refusal is not None and not able:
        raise refusal
    return tuple(able)


def _preferred(call: Call, candidates: Sequence[Candidate], catalogue: Catalogue) -> tuple[Candidate, ...]:
    preferences = call.preferences
    for name in (*preferences.order, *sorted(preferences.ignore)):
        if name not in catalogue.providers:
            raise InvalidRequest(f"There is no provider {name!r}; GET /v1/models names them.", param="provider")
    admitted = [item for item in candidates if preferences.admits(item.provider.name, item.rates(call))]
    if not admitted:
        raise InvalidRequest("'provider' leaves no target of the model to ask.", param="provider")
    place = {name: index for index, name in enumerate(call.models)}
    ordered = sorted(
        admitted,
        key=lambda item: (place[item.model.id], preferences.rank(item.provider.name), _sort_key(call, item)),
    )
    return tuple(ordered) if preferences.allow_fallbacks or preferences.order else tuple(ordered[:1])


def _sort_key(call: Call, candidate: Candidate) -> float:
    """Lower is asked first; what is not known comes last."""
    health = candidate.health
    match call.preferences.sort:
        case None:
            return 0
        case "price":
            rates = candidate.rates(call)
            return rates.input + rates.output
        case "latency":
            return float("inf") if health is None or health.first_event_ms is None else health.first_event_ms
        case "throughput":
            return 0 if health is None or health.tokens_per_second is None else -health.tokens_per_second
        case _:
            assert_never(call.preferences.sort)


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
        document.write(candidate.dialect.max_tokens_name, min(max_tokens, candidate.max_output_tokens))
    candidate.dialect.inject(document, candidate.target.inject)
    if call.stream and candidate.dialect.asks_usage:
        document.write("stream_options", {"include_usage": True})
    candidate.dialect.prepare(document)
    return document


def _models(document: Document, header: str | None) -> tuple[str, ...]:
    model = document.read("model")
    fallbacks = read_models(document.read("models"), header)
    if model is None and fallbacks:
        return fallbacks
    if not isinstance(model, str) or not model:
        raise InvalidRequest("'model' must name a model; GET /v1/models lists them.", param="model")
    return tuple(dict.fromkeys((model, *fallbacks)))


def _preferences(document: Document, names: frozenset[str], header: str | None) -> Preferences:
    return read_preferences(document.read("provider") if "provider" in names else None, header)


def _is_whole(delivery: str | None) -> bool:
    if delivery not in (None, "whole"):
        raise InvalidRequest("x-haotokai-delivery must be 'whole', or absent.", param="x-haotokai-delivery")
    return delivery is not None


def _refuse_unbounded(document: Document, names: frozenset[str]) -> None:
    """Raises UnsupportedParameter for a provider's own tools: what they add to the prompt and the bill has no bound."""
    for tool in document.items("tools") if "tools" in names else ():
        if (kind := tool.read("type")) != "function":
            raise UnsupportedParameter(f"Tools of type {kind!r} are not supported; use 'function'.", param="tools")
    for name in ("enable_search", "web_search_options"):
        if name in names and document.read(name):
            raise UnsupportedParameter(f"'{name}' is not supported.", param=name)


def _include_usage(document: Document) -> bool:
    options = document.read("stream_options")
    if options is None:
        return False
    if not isinstance(options, dict):
        raise InvalidRequest("'stream_options' must be an object.", param="stream_options")
    return options.get("include_usage") is True


def _max_tokens(document: Document, names: frozenset[str]) -> int | None:
    given = [_positive(document, name) for name in MAX_TOKENS_NAMES if name in names]
    return min((value for value in given if value is not None), default=None)


def _choices(document: Document, names: frozenset[str]) -> int:
    choices = (_positive(document, "n") if "n" in names else None) or 1
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
