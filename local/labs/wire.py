"""What a lab puts on the wire, as steps: the head of the response, events, pauses, and the faults of a connection."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

Headers = dict[str, str]

EVENT_STREAM = "text/event-stream; charset=utf-8"
JSON = "application/json"
KEEP_ALIVE = b": keep-alive\n\n"
BLANK_LINE = b"\n"

# One encoder for all events: json.dumps with other than its defaults makes a new one at each call.
encode_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Head:
    """Status line and headers; comes before all bytes, and leaves at once."""

    status: int
    headers: Headers


@dataclass(frozen=True, slots=True)
class Filler:
    """Bytes that are no event: a comment of the stream, or a blank line before a JSON body."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


class Act(Enum):
    """What a connection does when it fails."""

    HANG = auto()  # silent until the client leaves
    CUT = auto()  # closed after what was sent, without an end
    RESET = auto()  # thrown away (RST), with what is still unsent


# Bare bytes are one event (or one part of a JSON body), and leave as one chunk.
Step = Head | bytes | Filler | Pause | Act


def encode(value: object) -> bytes:
    return encode_text(value).encode()


def events(prefix: bytes, payloads: Iterable[object]) -> Iterator[bytes]:
    """Each payload as one server-sent event; ``prefix`` is ``data:`` with or without its space."""
    for payload in payloads:
        yield prefix + encode_text(payload).encode() + b"\n\n"


class Cutter:
    """Cuts a stream into pieces of one size, wherever that falls; a rest waits for the next bytes."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        data = self._rest + data
        whole = len(data) - len(data) % self._size
        self._rest = data[whole:]
        for start in range(0, whole, self._size):
            yield data[start : start + self._size]

    def flush(self) -> Iterator[bytes]:
        rest, self._rest = self._rest, b""
        if rest:
            yield rest
