"""Server-sent events, as bytes: where one ends, and what it says. (WHATWG HTML, section 9.2.)"""

import re
from typing import NamedTuple

MAX_EVENT_BYTES = 8 * 2**20

DONE = "[DONE]"
DONE_EVENT = b"data: [DONE]\n\n"

_BLANK_LINE = re.compile(rb"\r\n\r\n|\n\n|\r\r|\n\r\n")
_LINE_END = re.compile(r"\r\n|\n|\r")
_ONE_LINE = re.compile(rb"data: ?([^\r\n]*)\n\n")


class EventTooLarge(Exception):
    """One event is longer than MAX_EVENT_BYTES."""


class Event(NamedTuple):
    """``data`` is None for an event of comments alone."""

    name: str | None
    data: str | None


class Splitter:
    """Cuts a byte stream into whole events, whatever pieces it comes in; keeps the last, unfinished one."""

    __slots__ = ("rest",)

    def __init__(self) -> None:
        self.rest = bytearray()

    def feed(self, piece: bytes) -> list[bytes]:
        """The events that are whole now, each with the blank line that ends it. Raises EventTooLarge."""
        # A blank line may be cut between two pieces, so up to three of its bytes are looked at again.
        position, start = max(0, len(self.rest) - 3), 0
        self.rest += piece
        events = []
        while match := _BLANK_LINE.search(self.rest, position):
            events.append(bytes(self.rest[start : match.end()]))
            start = position = match.end()
        del self.rest[:start]
        if len(self.rest) > MAX_EVENT_BYTES:
            raise EventTooLarge
        return events


def last_boundary(buffer: bytes) -> int:
    """Where the last whole event of the buffer ends; 0 where none does."""
    if b"\r" not in buffer:  # nearly all
        at = buffer.rfind(b"\n\n")
        return at + 2 if at >= 0 else 0
    found = ((buffer.rfind(blank), blank) for blank in (b"\n\n", b"\r\n\r\n", b"\n\r\n", b"\r\r"))
    return max((at + len(blank) for at, blank in found if at >= 0), default=0)


def parse_event(raw: bytes) -> Event:
    """What one whole event says. A missing space after the colon is allowed, as the standard has it."""
    if (single := _ONE_LINE.fullmatch(raw)) is not None:  # nearly all
        return Event(name=None, data=single[1].decode("utf-8", "replace"))
    name: str | None = None
    data: str | None = None
    for line in _LINE_END.split(raw.decode("utf-8", "replace")):
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data = value if data is None else f"{data}\n{value}"
        elif field == "event":
            name = value
    return Event(name=name, data=data)


def data_event(text: str) -> bytes:
    """One event whose data is a single line of JSON."""
    # JSON can spell half of a surrogate pair, which is not UTF-8; written as its escape it is the same JSON.
    return b"data: " + text.encode(errors="backslashreplace") + b"\n\n"
