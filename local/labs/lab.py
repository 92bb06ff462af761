"""A Lab: what the five have in common, and what each says for itself."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NoReturn

from local.labs.answer import Answer, compose
from local.labs.call import Call, Json
from local.labs.wire import EVENT_STREAM, JSON, Headers, events

# What a key is worth follows from how it begins; any other is good.
BAD_KEY_PREFIX = "bad"
BROKE_KEY_PREFIX = "broke"

# Errors that a lab need not tell from another one.
ALIASES = {
    "429": "rate-limit",
    "429-no-hint": "rate-limit",
    "http-500": "server-error",
    "http-502": "server-error",
    "http-503": "server-error",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LabError:
    """An error as a lab sends it. In a lab's table, texts have places for facts: ``{model}``, ``{key_end}`` …"""

    status: int
    body: Json
    headers: Headers = field(default_factory=dict)


class Refused(Exception):
    """The lab does not answer this call."""

    def __init__(self, error: LabError) -> None:
        super().__init__(error.body)
        self.error = error


class Lab(ABC):
    """One lab's wire. Its table ``errors`` has at least: auth-missing, auth, balance, rate-limit, overloaded, context,
    content-filter, model, bad-request (with a ``{text}``) and server-error.
    """

    name: ClassVar[str]
    owner: ClassVar[str]
    bases: ClassVar[Mapping[str, tuple[str, ...]]]  # path -> the models served there; the usual path first
    versions: ClassVar[Mapping[str, str]] = {}  # further providers of a catalogue -> the path where each is served
    errors: ClassVar[Mapping[str, LabError]]
    usage_places: ClassVar[tuple[str, ...]]  # for the directive
    error_in_200: ClassVar[str] = "overloaded"
    error_in_stream: ClassVar[str] = "overloaded"
    data_prefix: ClassVar[bytes] = b"data: "
    stream_type: ClassVar[str] = EVENT_STREAM
    json_type: ClassVar[str] = JSON
    max_tokens_fields: ClassVar[tuple[str, ...]] = ("max_tokens",)

    # What each lab says.

    @abstractmethod
    def check(self, call: Call) -> None:
        """Raise Refused where the lab refuses these parameters."""

    @abstractmethod
    def thinks(self, call: Call) -> bool: ...

    @abstractmethod
    def completion(self, call: Call, answer: Answer) -> Json:
        """The answer as one JSON body."""

    @abstractmethod
    def deltas(self, call: Call, answer: Answer) -> Iterator[Json]:
        """The chunks of a stream up to the one that finishes it."""

    @abstractmethod
    def closing(self, call: Call, answer: Answer) -> Iterator[Json]:
        """The chunks that finish a stream: finish reason and usage, in their places."""

    def default_usage_place(self, call: Call) -> str:  # noqa: ARG002 - some labs ask the call
        return self.usage_places[0]

    def calls_tools(self, call: Call) -> bool:  # noqa: ARG002 - some labs ask the model
        return True

    def headers(self, call: Call) -> Headers:  # noqa: ARG002 - some labs show an id
        return {}

    def error_200(self, call: Call, error: LabError) -> Json:  # noqa: ARG002 - some labs show an id
        """The body of an error that comes with status 200."""
        return error.body

    def error_events(self, call: Call, error: LabError) -> Iterator[bytes]:  # noqa: ARG002
        """How an error ends a stream."""
        yield from events(self.data_prefix, [error.body])

    def facts(self, call: Call) -> Json:
        """What texts of errors may mention."""
        return {
            "model": call.model,
            "key_end": call.api_key[-4:],
            "id": call.id,
            "seconds": call.directives.retry_after or 1,
        }

    # What they have in common.

    def admit(self, call: Call) -> None:
        """Raise Refused unless the key is good, the model served here, and the parameters legal."""
        self.authenticate(call)
        if call.flaw:
            self.refuse(call, "bad-request", text=call.flaw)
        if call.model not in self.bases[call.base]:
            self.refuse(call, "model")
        if call.directives.usage not in (None, "none", *self.usage_places):
            self.refuse(call, "bad-request", text=f"lab directive: no usage place {call.directives.usage} here")
        if call.directives.error not in (None, *self.errors, *ALIASES):
            self.refuse(call, "bad-request", text=f"lab directive: no error {call.directives.error} here")
        self.check(call)

    def authenticate(self, call: Call) -> None:
        if not call.api_key:
            self.refuse(call, "auth-missing")
        if call.api_key.startswith(BAD_KEY_PREFIX):
            self.refuse(call, "auth")
        if call.api_key.startswith(BROKE_KEY_PREFIX):
            self.refuse(call, "balance")

    def answer(self, call: Call) -> Answer:
        limits = (call.body[name] for name in self.max_tokens_fields if call.body.get(name) is not None)
        return compose(
            call, thinking=self.thinks(call), calls_tools=self.calls_tools(call), max_tokens=next(limits, None)
        )

    def usage_place(self, call: Call) -> str:
        return call.directives.usage or self.default_usage_place(call)

    def error(self, call: Call, name: str, **facts: str) -> LabError:
        """An error of the table with its facts filled in, and with Retry-After where the directive asks."""
        entry = self.errors[name if name in self.errors else ALIASES[name]]
        known = self.facts(call) | facts
        headers = _filled(entry.headers, known)
        if call.directives.retry_after is not None:
            headers["retry-after"] = str(call.directives.retry_after)
        status = int(name.removeprefix("http-")) if name.startswith("http-") else entry.status
        return replace(entry, status=status, body=_filled(entry.body, known), headers=headers)

    def refuse(self, call: Call, name: str, **facts: str) -> NoReturn:
        raise Refused(self.error(call, name, **facts))

    def models(self, base: str) -> Json:
        entries = [
            {"id": model, "object": "model", "created": 1767225600, "owned_by": self.owner}
            for model in self.bases[base]
        ]
        return {"object": "list", "data": entries}


def outside(value: Any, low: float, high: float) -> bool:
    """Whether a parameter is given and not a number from ``low`` to ``high``."""
    if value is None:
        return False
    return isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high


def count_outside(value: Any, low: int, high: int) -> bool:
    """Whether a parameter is given and not an integer from ``low`` to ``high``."""
    return value is not None and (not isinstance(value, int) or outside(value, low, high))


def lacks_json_word(call: Call) -> bool:
    """Whether JSON is asked for by the parameter alone; several labs want the word in the prompt too."""
    return call.response_format.get("type") == "json_object" and "json" not in call.text.lower()


def foreign_role(call: Call, known: Iterable[str]) -> str | None:
    return next((role for role in sorted(call.roles) if role not in known), None)


def _filled(template: Any, facts: Json) -> Any:
    match template:
        case str():
            return template.format_map(facts)
        case dict():
            return {key: _filled(value, facts) for key, value in template.items()}
        case list():
            return [_filled(value, facts) for value in template]
    return template
