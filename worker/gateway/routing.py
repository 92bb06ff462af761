"""From what was asked to where it can be answered: the call, and its candidates in order.

The order: the models as the caller lists them; of each model the targets as the catalogue lists them, unless the caller
sorts them; the providers that the caller names before the others. A target that is down comes behind all that are not.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import assert_never

from gateway.errors import InvalidRequest, ModelNotFound, ServiceUnavailable, UnsupportedParameter
from gateway.frozen import frozen
from gateway.ports import Document, PlatformError, Ports
from gateway.preferences import NO_PREFERENCES, Preferences
from gateway.pricing import charged_rates, row_in_force
from gateway.providers import DIALECTS
from gateway.providers.dialect import Dialect
from gateway.records import Catalogue, KeyRecord, Model, PriceRow, Provider, Rates, Target, TargetHealth

MAX_TOKENS_NAMES = ("max_completion_tokens", "max_tokens")
OWN_FIELDS = ("models", "provider")
"""The fields that are for us."""

_NOT_PASSED_ON = (*OWN_FIELDS, *MAX_TOKENS_NAMES, "stream_options")

BYTES_PER_TYPICAL_TOKEN = 4


@frozen
class Call:
    """One chat completion that a key may make: what the gateway reads of it; the rest of ``document`` passes on.

    ``models`` are the one that is asked for and those to fall back on, in order; ``names`` are the document's fields,
    but for those that are for us. ``whole`` says that the caller wants the answer only once all of it is there.
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

    def parts(self) -> Iterator[Document]:
        """The parts of the messages whose content is a list of parts."""
        for message in self.document.items("messages"):
            if message.has_list():
                yield from message.items("content")


@frozen
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

    @property
    def is_down(self) -> bool:
        return self.health is not None and self.health.health == "down"

    def rates(self, call: Call) -> Rates:
        """What a token costs the caller in a request of this size."""
        tokens = call.size_bytes // BYTES_PER_TYPICAL_TOKEN
        return charged_rates(self.price, input_tokens=tokens, at_ms=call.started_at_ms)


async def read_catalogue(ports: Ports) -> Catalogue:
    """The catalogue in force; raises ServiceUnavailable where it cannot be read."""
    try:
        return await ports.catalogue()
    except PlatformError as error:
        raise ServiceUnavailable("The catalogue cannot be read right now; please try again.") from error


def resolve(call: Call, catalogue: Catalogue) -> tuple[Candidate, ...]:
    """Who may answer, in order. Raises ModelNotFound, InvalidRequest where the caller's preferences leave nobody, and
    UnsupportedParameter where nobody whom they leave can do what is asked."""
    candidates = [candidate for name in call.models for candidate in _targets_of(name, call, catalogue)]
    if not candidates:
        raise ServiceUnavailable(f"The model {call.model!r} has no price in force.", param="model")
    if call.preferences != NO_PREFERENCES:
        candidates = _admitted(call, candidates, catalogue)
    candidates = _able(call, candidates)
    if call.preferences != NO_PREFERENCES or catalogue.health:
        candidates = _ordered(call, candidates)
    return tuple(candidates)


def _targets_of(name: str, call: Call, catalogue: Catalogue) -> Iterator[Candidate]:
    model = catalogue.models.get(name)
    if model is None:
        raise ModelNotFound(
            f"The model {name!r} does not exist; GET /v1/models lists those that do.",
            param="model" if name == call.model else "models",
        )
    for target in model.targets:
        price = row_in_force(target.prices, at_ms=call.started_at_ms)
        if price is not None:
            yield Candidate(
                model=model,
                target=target,
                provider=catalogue.providers[target.provider],
                price=price,
                health=catalogue.health.get((target.provider, target.model)),
            )


def _admitted(call: Call, candidates: list[Candidate], catalogue: Catalogue) -> list[Candidate]:
    """Those that the caller's preferences leave in."""
    preferences = call.preferences
    for param, names in (("provider.order", preferences.order), ("provider.ignore", preferences.ignore)):
        for name in names:
            if name not in catalogue.providers:
                raise InvalidRequest(f"There is no provider {name!r}; GET /v1/models names them.", param=param)
    admits: dict[str, Callable[[Candidate], bool]] = {
        "provider.ignore": lambda candidate: candidate.provider.name not in preferences.ignore,
        "provider.order": lambda candidate: preferences.lists(candidate.provider.name),
        "provider.max_price": lambda candidate: preferences.affords(candidate.rates(call)),
    }
    for param, admit in admits.items():
        left = [candidate for candidate in candidates if admit(candidate)]
        if not left:
            raise InvalidRequest(f"'{param}' leaves nobody to ask: {_described(call, candidates)}.", param=param)
        candidates = left
    return candidates


def _described(call: Call, candidates: Sequence[Candidate]) -> str:
    names = dict.fromkeys(candidate.provider.name for candidate in candidates)
    return f"{' or '.join(call.models)} would be answered by {' or '.join(names)}"


def _able(call: Call, candidates: list[Candidate]) -> list[Candidate]:
    """Those that can do exactly what is asked."""
    able: list[Candidate] = []
    refusal: UnsupportedParameter | None = None
    for candidate in _seeing(call, candidates):
        try:
            candidate.dialect.check(call.document, call.names, candidate.target)
        except UnsupportedParameter as error:
            refusal = refusal or error
        else:
            able.append(candidate)
    if refusal is not None and not able:
        raise refusal
    return able


def _seeing(call: Call, candidates: list[Candidate]) -> list[Candidate]:
    """Without those that see no images, where the call has some and others do see them."""
    seeing = [candidate for candidate in candidates if candidate.model.image_tokens]
    if not seeing or len(seeing) == len(candidates):
        return candidates
    return seeing if any(part.read("type") == "image_url" for part in call.parts()) else candidates


def _ordered(call: Call, candidates: list[Candidate]) -> list[Candidate]:
    preferences = call.preferences
    place = {name: index for index, name in enumerate(call.models)}
    ordered = sorted(
        candidates,
        key=lambda candidate: (
            candidate.is_down,
            place[candidate.model.id],
            preferences.rank(candidate.provider.name),
            _sort_key(call, candidate),
        ),
    )
    if not preferences.first_targets_only:
        return ordered
    first: dict[str, Candidate] = {}
    for candidate in ordered:
        first.setdefault(candidate.model.id, candidate)
    return list(first.values())


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


def outgoing(call: Call, candidate: Candidate, *, max_tokens: int | None, streamed: bool) -> Document:
    """The document that one candidate is sent: its own model id, injected parameters, its dialect's changes. It may be
    ``streamed`` where the caller asked for no stream."""
    document = call.document.copy()
    for name in _NOT_PASSED_ON:
        document.remove(name)
    document.write("model", candidate.target.model)
    if max_tokens is not None:
        document.write(candidate.dialect.max_tokens_name, min(max_tokens, candidate.max_output_tokens))
    candidate.dialect.inject(document, candidate.target.inject)
    if streamed and not call.stream:
        document.write("stream", True)
    if streamed and candidate.dialect.asks_usage:
        document.write("stream_options", {"include_usage": True})
    candidate.dialect.prepare(document)
    return document
