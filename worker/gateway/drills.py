"""Drills: providers that fail on purpose, so that anyone can watch failover at work without an outage.

A drill speaks OpenAI's wire. What it does follows from its name, which is the provider's id of a drill model, and from
how often this one request has asked it.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from enum import Enum, auto
from typing import Any

from gateway.frozen import frozen

SENTENCE = "This is a drill. What you read was said by the target that answered, and it is free of charge."
WORDS = tuple(f"{word} " for word in SENTENCE.split())
PROMPT_TOKENS = 8
CREATED_S = 1_767_225_600
WORDS_BEFORE_FAULT = 9
"""A fault within an answer strikes its eleventh event, behind the role and nine words, or the middle of its JSON."""

SLOW_MS = 12_000
"""When a slow drill says its first word: two seconds after the status line of a stream stops waiting."""

SILENT_MS = 25_000
"""How long a silent drill keeps its connection where nobody drops it before; the platform gives such work 30 s."""

JSON = "application/json"
EVENT_STREAM = "text/event-stream"


class Break(Enum):
    """The connection breaks, and the body has no end."""

    CUT = auto()


@frozen
class Pause:
    ms: int


Step = bytes | Pause | Break


@frozen
class Ask:
    """One call to the drill of this name. ``number`` counts, from 1, the calls of one request to it."""

    name: str
    stream: bool
    number: int


@frozen
class Performance:
    """What a drill does: after ``wait_ms`` the head, then the steps of the body."""

    steps: tuple[Step, ...]
    status: int = 200
    headers: Mapping[str, str]
    wait_ms: int = 0


Drill = Callable[[Ask], Performance]
Json = dict[str, Any]


def _error(code: str, message: str) -> Json:
    return {"error": {"message": message, "type": "drill", "param": None, "code": code}}


OVERLOADED = _error("overloaded", "The engine is overloaded.")


def perform(ask: Ask) -> Performance:
    """What the drill does about the call; a name that no drill has is refused as OpenAI refuses a model."""
    drill = _DRILLS.get(ask.name)
    if drill is None:
        return _refusal(404, _error("model_not_found", "There is no such drill."))
    return drill(ask)


def _sound(ask: Ask) -> Performance:
    return _answer(ask, [*_words(ask, WORDS), *_ending(ask, WORDS)] if ask.stream else [_completion(ask, WORDS)])


def _once(fault: Drill) -> Drill:
    """The fault at the first call of a request, and a sound answer to the next."""
    return lambda ask: fault(ask) if ask.number == 1 else _sound(ask)


def _rate_limited(_: Ask) -> Performance:
    return _refusal(429, _error("rate_limit_exceeded", "Rate limit reached."), {"retry-after": "1"})


def _failing(_: Ask) -> Performance:
    return _refusal(500, _error("server_error", "The server had an error."))


def _overloaded(_: Ask) -> Performance:
    return _refusal(503, OVERLOADED)


def _filtered(_: Ask) -> Performance:
    return _refusal(400, _error("content_filter", "This drill is refused as a content filter would."))


def _too_long(_: Ask) -> Performance:
    return _refusal(400, _error("context_length_exceeded", "This drill is refused as too long for the model."))


def _no_response(ask: Ask) -> Performance:
    return Performance(wait_ms=SILENT_MS, headers=_headers(ask), steps=(Break.CUT,))


def _slow(ask: Ask) -> Performance:
    return _answer(ask, [Pause(ms=SLOW_MS), *_sound(ask).steps])


def _empty(ask: Ask) -> Performance:
    return _answer(ask, [*_words(ask, ()), *_ending(ask, ())] if ask.stream else [_completion(ask, ())])


def _malformed(ask: Ask) -> Performance:
    return _answer(ask, [_broken(ask)])


def _malformed_mid_stream(ask: Ask) -> Performance:
    return _answer(ask, [*_beginning(ask), _broken(ask)] if ask.stream else [_broken(ask)])


def _error_in_200(_: Ask) -> Performance:
    return _refusal(200, OVERLOADED)


def _error_event(ask: Ask) -> Performance:
    return _answer(ask, [_event(OVERLOADED)]) if ask.stream else _error_in_200(ask)


def _error_mid_stream(ask: Ask) -> Performance:
    return _answer(ask, [*_beginning(ask), _event(OVERLOADED)]) if ask.stream else _error_in_200(ask)


def _cut(ask: Ask) -> Performance:
    return _answer(ask, [*_beginning(ask), Break.CUT])


def _stalled(ask: Ask) -> Performance:
    return _answer(ask, [*_beginning(ask), Pause(ms=SILENT_MS), Break.CUT])


_DRILLS: Mapping[str, Drill] = {
    "ok": _sound,
    "429": _rate_limited,
    "429-once": _once(_rate_limited),
    "500-once": _once(_failing),
    "503": _overloaded,
    "timeout": _no_response,
    "slow-first-token": _slow,
    "empty": _empty,
    "malformed": _malformed,
    "malformed-mid-stream": _malformed_mid_stream,
    "error-in-200": _error_in_200,
    "error-event": _error_event,
    "error-mid-stream": _error_mid_stream,
    "cut-mid-stream": _cut,
    "stall": _stalled,
    "content-filter": _filtered,
    "context-length": _too_long,
}


def _answer(ask: Ask, steps: Iterable[Step]) -> Performance:
    return Performance(headers=_headers(ask), steps=tuple(steps))


def _refusal(status: int, error: Json, headers: Mapping[str, str] | None = None) -> Performance:
    return Performance(status=status, headers={"content-type": JSON, **(headers or {})}, steps=(_dump(error),))


def _headers(ask: Ask) -> dict[str, str]:
    return {"content-type": EVENT_STREAM if ask.stream else JSON}


def _beginning(ask: Ask) -> list[bytes]:
    """What comes before a fault within an answer."""
    if ask.stream:
        return _words(ask, WORDS[:WORDS_BEFORE_FAULT])
    whole = _completion(ask, WORDS)
    return [whole[: len(whole) // 2]]


def _broken(ask: Ask) -> bytes:
    half = b'{"id": "drill", "choices": [{'
    return b"data: " + half + b"\n\n" if ask.stream else half


def _words(ask: Ask, words: Iterable[str]) -> list[bytes]:
    """The events of the role and of each word."""
    deltas: list[Json] = [{"role": "assistant", "content": ""}, *({"content": word} for word in words)]
    return [_event(_chunk(ask, [{"index": 0, "delta": delta, "finish_reason": None}])) for delta in deltas]


def _ending(ask: Ask, words: tuple[str, ...]) -> list[bytes]:
    """The events of the finish, of the usage, and the end mark."""
    finish = _chunk(ask, [{"index": 0, "delta": {}, "finish_reason": "stop"}])
    return [_event(finish), _event({**_chunk(ask, []), "usage": _usage(words)}), b"data: [DONE]\n\n"]


def _chunk(ask: Ask, choices: list[Any]) -> Json:
    return {
        "id": "drill",
        "object": "chat.completion.chunk",
        "created": CREATED_S,
        "model": ask.name,
        "choices": choices,
    }


def _completion(ask: Ask, words: tuple[str, ...]) -> bytes:
    message = {"role": "assistant", "content": "".join(words)}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return _dump({**_chunk(ask, choices), "object": "chat.completion", "usage": _usage(words)})


def _usage(words: tuple[str, ...]) -> dict[str, int]:
    return {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": len(words),
        "total_tokens": PROMPT_TOKENS + len(words),
    }


def _event(payload: Json) -> bytes:
    return b"data: " + _dump(payload) + b"\n\n"


def _dump(payload: Json) -> bytes:
    return json.dumps(payload, separators=(",", ":")).encode()
