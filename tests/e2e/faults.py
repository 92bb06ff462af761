"""What a provider of the fault wall can do about a call: answer as OpenAI would, or fail in one of the known ways."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.e2e.fault_server import Act, Exchange

EVENT_STREAM = "text/event-stream"
JSON = "application/json"
WORDS = tuple(f"word{number} " for number in range(1, 13))
PROMPT_TOKENS = {"first": 11, "second": 21}
DEFAULT_PROMPT_TOKENS = 31
DONE = b"data: [DONE]\n\n"
# What comes before a fault within a stream: the role, the provider's name and seven words.
WORDS_BEFORE = 7
WORDS_AFTER = len(WORDS) - WORDS_BEFORE
EVENTS_BEFORE = 2 + WORDS_BEFORE
LAST_WORD_BEFORE = WORDS[WORDS_BEFORE - 1].strip()

Json = dict[str, Any]


def text_of(provider: str) -> str:
    """What a provider answers: its name, and then the same words as all others."""
    return f"{provider}: " + "".join(WORDS)


def usage_of(provider: str) -> Json:
    prompt, completion = PROMPT_TOKENS.get(provider, DEFAULT_PROMPT_TOKENS), len(WORDS) + 1
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


async def sound(exchange: Exchange) -> None:
    """A whole answer."""
    if not exchange.is_stream:
        await exchange.respond(200, json.dumps(_completion(exchange)).encode(), JSON)
        return
    await exchange.begin(EVENT_STREAM)
    for event in _events(exchange):
        await exchange.send(event)
    await exchange.end()


def saying(texts: Sequence[str], *, piece_bytes: int) -> Act:
    """A whole answer that says these texts, one in each event, cut into pieces of a size."""

    async def act(exchange: Exchange) -> None:
        role, *others = _events(exchange)
        said = [_event(exchange, [{"index": 0, "delta": {"content": text}, "finish_reason": None}]) for text in texts]
        wire = b"".join([role, *said, *others[1 + len(WORDS) :]])
        await exchange.begin(EVENT_STREAM)
        for start in range(0, len(wire), piece_bytes):
            await exchange.send(wire[start : start + piece_bytes])
        await exchange.end()

    return act


async def flood(exchange: Exchange) -> None:
    """A whole answer, with more words in it than a caller who does not read can be sent."""
    role, *rest = _events(exchange)
    await exchange.begin(EVENT_STREAM)
    await exchange.send(role)
    await exchange.fill(_event(exchange, [{"index": 0, "delta": {"content": "word " * 2000}, "finish_reason": None}]))
    for event in rest:
        await exchange.send(event)
    await exchange.end()


def status(code: int, error: Json | str = "", **headers: str) -> Act:
    """A refusal: an error object, or the text of one whose body is no JSON."""

    async def act(exchange: Exchange) -> None:
        body = error if isinstance(error, str) else json.dumps({"error": error})
        await exchange.respond(code, body.encode(), JSON, **headers)

    return act


def body(code: int, document: Any) -> Act:
    """A response whose JSON is given in full."""

    async def act(exchange: Exchange) -> None:
        await exchange.respond(code, json.dumps(document, ensure_ascii=False).encode(), JSON)

    return act


async def reset_before_head(exchange: Exchange) -> None:
    await exchange.reset()


async def close_before_head(exchange: Exchange) -> None:
    await exchange.cut()


async def no_response(exchange: Exchange) -> None:
    await exchange.silence()


async def head_alone(exchange: Exchange) -> None:
    """A status line, and then nothing."""
    await exchange.begin(EVENT_STREAM if exchange.is_stream else JSON)
    await exchange.silence()


async def comments_alone(exchange: Exchange) -> None:
    """A provider that says that it is alive, and nothing else."""
    await exchange.begin(EVENT_STREAM if exchange.is_stream else JSON)
    while True:
        await exchange.send(b": keep-alive\n\n" if exchange.is_stream else b"\n")
        await asyncio.sleep(0.1)


async def role_alone(exchange: Exchange) -> None:
    """The first chunk, which has a role and no content, and then nothing."""
    await exchange.begin(EVENT_STREAM)
    await exchange.send(_events(exchange)[0])
    await exchange.silence()


async def reset_after_head(exchange: Exchange) -> None:
    await exchange.begin(EVENT_STREAM if exchange.is_stream else JSON)
    await exchange.reset()


async def empty_body(exchange: Exchange) -> None:
    await exchange.begin(EVENT_STREAM if exchange.is_stream else JSON)
    await exchange.end()


async def done_alone(exchange: Exchange) -> None:
    await exchange.begin(EVENT_STREAM)
    await exchange.send(DONE)
    await exchange.end()


async def no_words(exchange: Exchange) -> None:
    """An answer that finishes without content."""
    if not exchange.is_stream:
        await exchange.respond(200, json.dumps(_completion(exchange, words="")).encode(), JSON)
        return
    await exchange.begin(EVENT_STREAM)
    for event in (_events(exchange)[0], _finish(exchange), DONE):
        await exchange.send(event)
    await exchange.end()


async def html_page(exchange: Exchange) -> None:
    """A proxy that answers for the provider, as if all were well."""
    await exchange.respond(200, b"<html><body>Bad gateway</body></html>", "text/html")


async def broken_json(exchange: Exchange) -> None:
    """The first event, or the answer, is half a JSON."""
    half = json.dumps(_completion(exchange)).encode()[:40]
    if not exchange.is_stream:
        await exchange.respond(200, half, JSON)
        return
    await exchange.begin(EVENT_STREAM)
    await exchange.send(b"data: " + half + b"\n\n")
    await exchange.silence()


def error_in_200(error: Json) -> Act:
    return body(200, {"error": error})


def late(seconds: float) -> Act:
    """A whole answer whose first word comes late."""

    async def act(exchange: Exchange) -> None:
        await exchange.begin(EVENT_STREAM if exchange.is_stream else JSON)
        await asyncio.sleep(seconds)
        pieces = _events(exchange) if exchange.is_stream else [json.dumps(_completion(exchange)).encode()]
        for piece in pieces:
            await exchange.send(piece)
        await exchange.end()

    return act


def late_refusal(seconds: float, code: int) -> Act:
    """An error whose status line comes late."""

    async def act(exchange: Exchange) -> None:
        await asyncio.sleep(seconds)
        await status(code, {"message": "The engine is overloaded"})(exchange)

    return act


def after(events: int, then: Callable[[Exchange], Any]) -> Act:
    """The first events of a stream, or half of a JSON answer, and then something else."""

    async def act(exchange: Exchange) -> None:
        await exchange.begin(EVENT_STREAM if exchange.is_stream else JSON)
        if exchange.is_stream:
            for event in _events(exchange)[:events]:
                await exchange.send(event)
        else:
            whole = json.dumps(_completion(exchange)).encode()
            await exchange.send(whole[: len(whole) // 2])
        await then(exchange)

    return act


def within(then: Callable[[Exchange], Any]) -> Act:
    """The first words of a stream and, once the caller has them, something else as the tenth event."""

    async def told(exchange: Exchange) -> None:
        await exchange.heard()
        await then(exchange)

    return after(EVENTS_BEFORE, told)


async def cut(exchange: Exchange) -> None:
    await exchange.cut()


async def reset(exchange: Exchange) -> None:
    await exchange.reset()


async def stall(exchange: Exchange) -> None:
    await exchange.silence()


def resume(seconds: float) -> Callable[[Exchange], Any]:
    """A silence, and then the rest of the answer."""

    async def then(exchange: Exchange) -> None:
        await asyncio.sleep(seconds)
        for event in _events(exchange)[EVENTS_BEFORE:]:
            await exchange.send(event)
        await exchange.end()

    return then


def rest_after(words: int) -> Callable[[Exchange], Any]:
    """So many words more, one by one, and then the rest of the answer, its usage and the end all at once."""

    async def then(exchange: Exchange) -> None:
        rest = _events(exchange)[EVENTS_BEFORE:]
        for event in rest[:words]:
            await exchange.send(event)
            await asyncio.sleep(0.1)
        await exchange.send(b"".join(rest[words:]))
        await exchange.end()

    return then


async def end(exchange: Exchange) -> None:
    """The response ends as if it were whole."""
    await exchange.end()


async def malformed_chunk(exchange: Exchange) -> None:
    """Half a JSON as an event; what follows it is sound."""
    await exchange.send(b'data: {"id": "c", "choices": [{"delta": {"cont\n\n')
    await exchange.send(_finish(exchange))
    await exchange.send(DONE)
    await exchange.end()


def error_event(error: Json, *, name: str = "") -> Callable[[Exchange], Any]:
    """An error in place of the next event, and the end of the response."""

    async def then(exchange: Exchange) -> None:
        field = f"event: {name}\n" if name else ""
        await exchange.send(f"{field}data: {json.dumps({'error': error})}\n\n".encode())
        await exchange.end()

    return then


def without(*, done: bool = False, finish: bool = False) -> Act:
    """A stream of all words that leaves out its end mark, its finish reason, or both."""

    async def act(exchange: Exchange) -> None:
        await exchange.begin(EVENT_STREAM)
        for event in _events(exchange):
            is_finish = b'"finish_reason": "stop"' in event
            if not (done and event == DONE) and not (finish and is_finish):
                await exchange.send(event)
        await exchange.end()

    return act


def by_turns(*acts: Act) -> tuple[Act, ...]:
    """A plan that repeats these acts for very long."""
    return acts * 200


def _completion(exchange: Exchange, words: str | None = None) -> Json:
    provider = exchange.asked.provider
    message = {"role": "assistant", "content": text_of(provider) if words is None else words}
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": exchange.asked.model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": usage_of(provider),
    }


def _events(exchange: Exchange) -> list[bytes]:
    """Role, name, the words, finish, usage where it was asked for, end mark."""
    provider = exchange.asked.provider
    deltas: list[Json] = [{"role": "assistant", "content": ""}, {"content": f"{provider}: "}]
    deltas += [{"content": word} for word in WORDS]
    events = [_event(exchange, [{"index": 0, "delta": delta, "finish_reason": None}]) for delta in deltas]
    options: Mapping[str, Any] = exchange.asked.body.get("stream_options") or {}
    usage = [_event(exchange, [], usage=usage_of(provider))] if options.get("include_usage") else []
    return [*events, _finish(exchange), *usage, DONE]


def _finish(exchange: Exchange) -> bytes:
    return _event(exchange, [{"index": 0, "delta": {}, "finish_reason": "stop"}])


def _event(exchange: Exchange, choices: list[Json], **fields: Any) -> bytes:
    chunk = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1_790_000_000,
        "model": exchange.asked.model,
        "choices": choices,
        **fields,
    }
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode()
