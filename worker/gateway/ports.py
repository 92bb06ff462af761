"""What the gateway needs of its platform, one Protocol per need.

Two families of adapters serve them: webapi.py and bindings.py in workerd, and the stateful fakes of the tests.
"""

import asyncio
from collections.abc import Awaitable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NewType, Protocol

from gateway.frozen import frozen
from gateway.records import Catalogue, KeyRecord

if TYPE_CHECKING:  # they know candidates, and so documents
    from gateway.circuits import Circuits
    from gateway.key_pool import KeyPool
    from gateway.turnstile import Turnstile

OpaqueBody = NewType("OpaqueBody", object)
"""A body that stays with the platform: a native stream, or a document to be written by its JSON engine."""


class PlatformError(Exception):
    """Something that the request needs did not answer. The text holds no secret."""


class BodyTooLarge(Exception):
    """A body is longer than the limit that was given."""


class NotJson(Exception):
    """A body is not JSON, or not an object."""


class UpstreamFailed(Exception):
    """No answer came from a provider: refused, reset, or cut."""


class UpstreamSilent(UpstreamFailed):
    """No answer came in time."""


class Document(Protocol):
    """A JSON object. A large one is parsed, held and written by the platform's own JSON engine, and only the fields
    that are named are looked at, so that a large prompt never becomes Python objects.
    """

    def names(self) -> list[str]:
        """The names of its fields."""

    def read(self, name: str) -> Any:
        """The field as plain Python data; None where it is absent or null."""

    def given(self, names: Collection[str]) -> dict[str, Any]:
        """Those of these fields that are there and not null, as plain Python data."""

    def write(self, name: str, value: Any) -> None:
        """Set a field to plain Python data."""

    def remove(self, name: str) -> None: ...

    def items(self, name: str) -> "Sequence[Document]":
        """The objects of a list field; other items, and a field that is no list, count as none."""

    def has_list(self) -> bool:
        """Whether one of its fields is a list. Unlike ``items``, it leaves a long text where it is."""

    def detach(self, name: str) -> None:
        """Give this document a field of its own, so that changes inside it reach no other copy."""

    def copy(self) -> "Document":
        """A shallow copy: writing a field of the copy leaves the original as it is."""

    def as_body(self) -> "str | OpaqueBody":
        """To be sent as a JSON body."""


class Body(Protocol):
    """The body of a request, read at most once."""

    async def document(self, *, limit_bytes: int) -> tuple[Document, int]:
        """The JSON object and its size in bytes; raises BodyTooLarge, NotJson."""

    async def read(self, *, limit_bytes: int) -> bytes:
        """The raw bytes; raises BodyTooLarge."""


@frozen
class UpstreamCall:
    """One POST of a JSON document to a provider."""

    url: str
    headers: Mapping[str, str]
    document: Document
    headers_timeout_ms: int
    total_timeout_ms: int


@frozen
class StreamFacts:
    """What was seen of a stream: its usage as the provider wrote it, how it ended, and how much content came.

    ``done`` is the provider's own end mark; ``finish_reason`` and ``usage`` are the last that were not null;
    ``error`` is the object of an error event; ``silent`` says that it was given up after the idle limit.
    """

    usage: Mapping[str, Any] | None = None
    finish_reason: str | None = None
    done: bool = False
    error: Mapping[str, Any] | None = None
    silent: bool = False
    content_bytes: int = 0


class Edit(Protocol):
    """What becomes of a stream on its way: fed with what the provider sends, it returns what the caller gets."""

    @property
    def is_over(self) -> bool:
        """Whether the caller has had the last of it, and nothing more is wanted of the provider."""

    def feed(self, piece: bytes) -> bytes: ...

    def end(self, *, silent: bool) -> bytes:
        """The last bytes, unless they were given already, once the provider's stream has ended, been cut, or fallen
        silent for too long."""


class Relay(Protocol):
    """A stream on its way to the caller, who has ``body`` from the beginning."""

    body: OpaqueBody

    async def run(self) -> bool:
        """Carry it to its end; whether the caller was there to take all of it."""


class UpstreamReply(Protocol):
    """A provider's answer, its head first. Every read raises UpstreamFailed or UpstreamSilent."""

    status: int

    def header(self, name: str) -> str | None: ...

    async def text(self, *, limit_bytes: int) -> str:
        """The body as text, cut at the limit."""

    async def document(self) -> Document:
        """The body as a JSON object; raises NotJson."""

    async def read(self, *, timeout_ms: int) -> bytes | None:
        """The next piece of the body, as soon as it comes; None at its end."""

    async def gather(self, *, idle_timeout_ms: int) -> bytes | None:
        """The next piece of the body, as large as comes in a moment; None at its end."""

    def relay(self, head: bytes, *, edit: Edit, idle_timeout_ms: int) -> Relay:
        """Pass on what was read, and the rest of the body piece by piece, through ``edit``."""

    def close(self) -> None:
        """Stop reading and drop the connection."""


class LateBody(Protocol):
    """A body that the caller has before its content is known."""

    body: OpaqueBody

    async def write(self, piece: bytes) -> bool:
        """Whether the caller is still there to take it."""

    async def pass_on(self, body: "str | OpaqueBody") -> None:
        """The rest of it, to its end."""

    async def close(self) -> None: ...


class Word(Protocol):
    """What one request tells another, once: what is told later changes nothing."""

    def tell(self, word: bool, /) -> None: ...

    async def heard(self, *, limit_ms: int) -> bool | None:
        """The word; None where it does not come in time. It is listened to once."""


class Ports(Protocol):
    """Everything outside the gateway that a request touches."""

    @property
    def internal_secret(self) -> str: ...

    @property
    def circuits(self) -> "Circuits":
        """What this isolate found out about targets."""

    @property
    def key_pool(self) -> "KeyPool":
        """Which of the operator's keys rest in this isolate."""

    @property
    def turnstile(self) -> "Turnstile":
        """Where streams of this isolate wait to begin."""

    @property
    def top_up_url(self) -> str:
        """Where a caller whose balance is used up is sent."""

    def now_ms(self) -> int: ...

    def new_request_id(self) -> str:
        """As ``make_request_id`` makes them."""

    def background(self, work: Awaitable[None]) -> None:
        """Carry on with ``work`` after the response; it must not raise."""

    async def pause(self, ms: int) -> None: ...

    async def finished(self, work: "asyncio.Future[Any]", *, within_ms: int) -> bool:
        """Wait for the work, but not longer than this; whether it has ended, well or not."""

    def late_body(self) -> LateBody: ...

    def log(self, event: str, **facts: str | int | None) -> None:
        """One structured line: ids, codes and counts, never text of a caller or a provider."""

    def secret(self, name: str) -> str | None:
        """A provider's API keys, separated by commas, by the name that the catalogue gives them."""

    async def find_key(self, key_sha256: str) -> KeyRecord | None:
        """None where there is no such key; raises PlatformError when that cannot be told."""

    async def catalogue(self) -> Catalogue:
        """The catalogue in force; raises PlatformError where there is none."""

    async def wallet(self, account_id: str, operation: str, text: str) -> str:
        """Call one account's Wallet, JSON text in and out; raises PlatformError."""

    async def settle(self, account_id: str, line: str, *, lingers: bool) -> None:
        """Bring one settlement, a line of text, to its Wallet; raises PlatformError.

        One that lingers may wait a moment for another call to that Wallet, and go along with it.
        """

    async def send(self, call: UpstreamCall) -> UpstreamReply:
        """Raises UpstreamFailed, UpstreamSilent."""
