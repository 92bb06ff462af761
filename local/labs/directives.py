"""Directives: what a test asks of the labs, written into the last user message of the prompt.

    [[lab tokens=200 delay_ms=2 id=run-7 deepseek.fault=http-503 times=1]]

A key with a lab's name before it acts on that lab alone, and there wins over the bare key. Keys, all optional:

    id=TEXT              journal this request under this id
    tokens=N             pieces of content; each is one token (default: 8 to 24, by the prompt)
    reasoning=N          pieces of reasoning, where the lab thinks (default 6)
    words=N              words in each piece (default 1)
    bytes=N              pad the content to N bytes
    unicode              multi-byte text
    cached=N             prompt tokens that come from the cache (at most all of them)
    tool_object          a tool call as an object, also where a list was asked for (Spark)
    tools=N              parallel tool calls (default 1; 0 answers with text)
    finish=REASON        finish reason, also one that only this lab knows
    usage=PLACE          where a stream carries usage: finish, choice, separate, text, documented or none, as the lab
                         can; none leaves it out of a JSON body too
    first_delay_ms=N     between the head and the first event; before the head of a JSON answer
    delay_ms=N           between events; a JSON answer takes as long as its stream
    keepalive=N          comments before the first event, or blank lines before the JSON body
    cut_bytes=K          send the stream in pieces of K bytes
    framing=NAME         frame the events of a stream differently: see quirks.FRAMINGS
    omit=NAME+NAME       leave these fields out of chunks and answers: see quirks.OMITTABLE
    fault=NAME           see FAULTS
    at=N                 the event the fault strikes (default 1; a JSON body has two parts)
    times=N              only the first N requests with this id at this lab have the fault
    error=NAME           the error of error-200 and error-event, by its name in the lab's table
    retry_after=S        seconds in Retry-After of an error
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from local.labs.quirks import FRAMINGS, OMITTABLE

MAX_NUMBER = 100_000_000

# The lab's own error of that name, with its status.
REFUSAL_FAULTS = frozenset(
    {
        "http-500",
        "http-502",
        "http-503",
        "429",
        "429-no-hint",
        "balance",
        "auth",
        "rate-limit",
        "overloaded",
        "context",
        "content-filter",
        "model",
    }
)
OTHER_FAULTS = {
    "reset": "the connection is reset before the head",
    "hang": "nothing comes until the client leaves",
    "slow-headers": "the head comes after first_delay_ms, or after 10 s",
    "reset-mid": "the connection is closed after event N, without an end",
    "stall": "nothing comes after event N until the client leaves",
    "malformed": "event N is broken JSON",
    "no-done": "the stream ends without [DONE]",
    "no-finish": "the stream ends without finish reason, usage and [DONE]",
    "error-200": "an error as JSON, with status 200",
    "error-event": "event N is an error, and the last; in a JSON answer the same as error-200",
    "empty": "an answer of no tokens",
    "empty-stream": "status 200 and no body",
    "html-502": "a page of a proxy, with status 502",
    "wrong-content-type": "all is well, but called text/plain",
}
FAULTS = REFUSAL_FAULTS | OTHER_FAULTS.keys()

_DIRECTIVE = re.compile(r"\[\[lab\b([^\]]*)\]\]")


class DirectiveError(ValueError):
    """A directive that no lab understands; the lab answers 400 with this text, so that the test sees it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Directives:
    """The directives that one lab found in one prompt."""

    id: str | None = None
    tokens: int | None = None
    reasoning: int | None = None
    words: int = 1
    bytes: int = 0
    unicode: bool = False
    cached: int = 0
    tools: int = 1
    tool_object: bool = False
    finish: str | None = None
    usage: str | None = None
    first_delay_ms: int | None = None
    delay_ms: int = 0
    keepalive: int = 0
    cut_bytes: int | None = None
    framing: str | None = None
    omit: str = ""
    fault: str | None = None
    at: int = 1
    times: int | None = None
    error: str | None = None
    retry_after: int | None = None

    @property
    def omitted(self) -> tuple[str, ...]:
        """The fields to leave out."""
        return tuple(self.omit.split("+")) if self.omit else ()

    @classmethod
    def parse(cls, text: str, lab: str) -> "Directives":
        """Read every directive in ``text`` for the lab of this name; raises DirectiveError."""
        for_all: dict[str, Any] = {}
        for_lab: dict[str, Any] = {}
        for key, value in _assignments(text):
            owner, dot, name = key.rpartition(".")
            read = _read(name, value)
            if not dot:
                for_all[name] = read
            elif owner == lab:
                for_lab[name] = read
        directives = cls(**for_all | for_lab)
        if directives.times is not None and directives.id is None:
            raise DirectiveError("times needs an id to count by")
        return directives


_TEXTS = {"id", "finish", "usage", "framing", "omit", "fault", "error"}
_FLAGS = {"unicode", "tool_object"}
_KEYS = {field.name for field in fields(Directives)}


def strip(text: str) -> str:
    """The text without its directives."""
    return _DIRECTIVE.sub("", text)


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    for directive in _DIRECTIVE.finditer(text):
        for word in directive[1].split():
            key, _, value = word.partition("=")
            yield key, value


def _read(name: str, value: str) -> str | int | bool:
    if name not in _KEYS:
        raise DirectiveError(f"there is no directive {name!r}")
    if name in _FLAGS:
        return value != "0"
    if name == "fault" and value not in FAULTS:
        raise DirectiveError(f"there is no fault {value!r}")
    if name == "framing" and value not in FRAMINGS:
        raise DirectiveError(f"there is no framing {value!r}")
    if name == "omit" and not set(value.split("+")) <= set(OMITTABLE):
        raise DirectiveError(f"not all of {value!r} can be left out")
    if name in _TEXTS and value:
        return value
    if value.isdecimal() and int(value) <= MAX_NUMBER and (int(value) or name not in {"words", "cut_bytes"}):
        return int(value)
    raise DirectiveError(f"{value!r} does not fit {name!r}")
