"""A script: the steps of a lab's response to one call, with the fault that the call asks for."""

from collections.abc import Iterator
from itertools import chain, islice

from local.labs.answer import Answer
from local.labs.call import Call, Json
from local.labs.directives import REFUSAL_FAULTS
from local.labs.lab import Lab, LabError, Refused
from local.labs.quirks import FRAMINGS, without
from local.labs.wire import BLANK_LINE, KEEP_ALIVE, Act, Filler, Head, Pause, Step, encode, events

SLOW_HEADERS_MS = 10_000
BROKEN_HTML = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
    b"<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n"
)


def script(lab: Lab, call: Call) -> Iterator[Step]:
    """All that the lab does about the call. Nothing of it has happened when this returns."""
    match call.directives.fault:
        case "reset":
            return iter((Act.RESET,))
        case "hang":
            return iter((Act.HANG,))
        case "html-502":
            return iter((Head(502, {"content-type": "text/html"}), BROKEN_HTML))
        case "slow-headers":
            return chain((_first_pause(call, SLOW_HEADERS_MS),), _response(lab, call))
    return _response(lab, call)


def _response(lab: Lab, call: Call) -> Iterator[Step]:
    directives = call.directives
    try:
        if directives.fault in REFUSAL_FAULTS:
            lab.refuse(call, str(directives.fault))
        lab.admit(call)
    except Refused as refused:
        return _error(lab, call, refused.error)
    if directives.fault == "error-200" or (directives.fault == "error-event" and not call.stream):
        error = lab.error(call, directives.error or lab.error_in_200)
        return _json(lab, call, 200, lab.error_200(call, error))
    return (_stream if call.stream else _whole)(lab, call, lab.answer(call))


def _error(lab: Lab, call: Call, error: LabError) -> Iterator[Step]:
    return _json(lab, call, error.status, error.body, error.headers)


def _json(lab: Lab, call: Call, status: int, body: Json, headers: dict[str, str] | None = None) -> Iterator[Step]:
    yield Head(status, {"content-type": lab.json_type, **lab.headers(call), **(headers or {})})
    yield encode(body)


def _stream(lab: Lab, call: Call, answer: Answer) -> Iterator[Step]:
    yield _head(lab, call, lab.stream_type)
    yield from _waiting(call, KEEP_ALIVE)
    pause = Pause(call.directives.delay_ms / 1000)
    framed = FRAMINGS.get(call.directives.framing or "", bytes)
    for position, step in enumerate(_bent(_events(lab, call, answer), call, lab)):
        if position and pause.seconds:
            yield pause
        yield framed(step) if isinstance(step, bytes) else step


def _whole(lab: Lab, call: Call, answer: Answer) -> Iterator[Step]:
    """A JSON answer. Its head comes when the answer is ready, unless blank lines hold the connection open till then."""
    body = lab.completion(call, answer)
    if call.directives.usage == "none":
        body.pop("usage")
    data = encode(without(body, call.directives.omitted))
    ready = [Pause(call.directives.delay_ms * answer.completion_tokens / 1000)]
    head = _head(lab, call, lab.json_type)
    if call.directives.keepalive:
        yield from chain((head,), _waiting(call, BLANK_LINE), ready)
    else:
        yield from chain(_waiting(call, BLANK_LINE), ready, (head,))
    # In two parts, so that a fault after the first one cuts the body in the middle.
    yield from _bent(iter((data[: len(data) // 2], data[len(data) // 2 :])), call, lab)


def _head(lab: Lab, call: Call, content_type: str) -> Head:
    if call.directives.fault == "wrong-content-type":
        content_type = "text/plain; charset=utf-8"
    return Head(200, {"content-type": content_type, **lab.headers(call)})


def _waiting(call: Call, filler: bytes) -> Iterator[Step]:
    """The time before the first event, with as many fillers spread over it as the directive asks."""
    count = call.directives.keepalive
    pause = Pause(0) if call.directives.fault == "slow-headers" else _first_pause(call)
    for _ in range(count):
        yield Filler(filler)
        yield Pause(pause.seconds / count)
    if not count:
        yield pause


def _first_pause(call: Call, default_ms: int = 0) -> Pause:
    delay_ms = call.directives.first_delay_ms
    return Pause((default_ms if delay_ms is None else delay_ms) / 1000)


def _events(lab: Lab, call: Call, answer: Answer) -> Iterator[bytes]:
    """The whole stream, or what is left of it by a fault of its end."""
    fault, omitted = call.directives.fault, call.directives.omitted
    yield from events(lab.data_prefix, (without(chunk, omitted) for chunk in lab.deltas(call, answer)))
    if fault == "no-finish":
        return
    yield from events(lab.data_prefix, (without(chunk, omitted) for chunk in lab.closing(call, answer)))
    if fault != "no-done":
        yield lab.data_prefix + b"[DONE]\n\n"


def _bent(sound: Iterator[bytes], call: Call, lab: Lab) -> Iterator[bytes | Act]:
    """The events, until the fault strikes at one of them."""
    at = call.directives.at
    match call.directives.fault:
        case "reset-mid":
            return chain(islice(sound, at), (Act.CUT,))
        case "stall":
            return chain(islice(sound, at), (Act.HANG,))
        case "error-event":
            error = lab.error(call, call.directives.error or lab.error_in_stream)
            return chain(islice(sound, at - 1), lab.error_events(call, error))
        case "malformed":
            return (_broken(event) if number == at else event for number, event in enumerate(sound, start=1))
        case "empty-stream":
            return iter(())
    return sound


def _broken(event: bytes) -> bytes:
    """An event, or part of a body, whose JSON ends in the middle."""
    return event[: len(event) // 2] + event[len(event.rstrip()) :]
