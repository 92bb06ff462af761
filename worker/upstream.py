"""Calls to providers over the runtime's fetch, and the two ways in which a stream reaches the caller.

The native way: the runtime pipes the provider's body to the caller and a copy of it to the Meter, an invocation of its
own over a loopback binding, which wakes a few times per second; Python sees no event. The edited way reads each piece,
for the providers and the requests that need a change on the way.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

import js
from pyodide.ffi import JsException, JsProxy, to_js

from gateway.fields import Fields
from gateway.metering import StreamMeter
from gateway.ports import (
    Edit,
    NotJson,
    OpaqueBody,
    StreamFacts,
    UpstreamCall,
    UpstreamFailed,
    UpstreamReply,
    UpstreamSilent,
)
from webapi import JsDocument, document_of, is_object, to_object

METER_PIECE_BYTES = 4096
"""The most that gathers before the Meter wakes: about a dozen events."""

METER_WAKES_PER_S = 2

DRAIN_MS = 25_000
"""How long a provider is read on after the caller has left; the platform gives such work 30 s."""

ERROR_BODY_TIMEOUT_MS = 10_000

_PIPE_OPTIONS = to_object({"preventClose": True, "preventAbort": True})
_BYOB = to_object({"mode": "byob"})

Background = Callable[[Awaitable[None]], None]
CopyReader = Callable[[JsProxy, int], Awaitable[StreamFacts]]


class Upstreams:
    """Sends calls. ``read_copy`` hands the copy of a stream to the Meter."""

    def __init__(self, read_copy: CopyReader, background: Background) -> None:
        self._read_copy = read_copy
        self._background = background

    async def send(self, call: UpstreamCall) -> UpstreamReply:
        """POST the document; answers when the head of the reply is there."""
        deadline = Deadline()
        deadline.set_total(call.total_timeout_ms)
        options = to_object({"method": "POST", "headers": dict(call.headers), "redirect": "manual"})
        options.body = js.JSON.stringify(call.document.value)  # type: ignore[attr-defined]
        options.signal = deadline.signal
        response = await deadline.wait(js.fetch(call.url, options), call.headers_timeout_ms)
        return JsReply(response, deadline, self._read_copy, self._background)


class Deadline:
    """Aborts a call when a step of it, or the whole, takes too long."""

    def __init__(self) -> None:
        self._controller = js.AbortController.new()
        self._abort = self._controller.abort.bind(self._controller)
        self._total: int | None = None
        self.signal: JsProxy = self._controller.signal

    def set_total(self, timeout_ms: int) -> None:
        self._total = js.setTimeout(self._abort, timeout_ms)

    async def wait(self, promise: Awaitable[Any], timeout_ms: int) -> Any:
        """The promise's value; raises UpstreamSilent when it was aborted, UpstreamFailed when it failed."""
        timer = js.setTimeout(self._abort, timeout_ms)
        try:
            return await promise
        except JsException as error:
            aborted = self._controller.signal.aborted
            self.end()
            raise (UpstreamSilent if aborted else UpstreamFailed)(error.name) from error
        finally:
            js.clearTimeout(timer)

    def end(self) -> None:
        """Nothing more is awaited."""
        js.clearTimeout(self._total)

    def abort(self) -> None:
        """Drop the connection."""
        self.end()
        self._abort()


class JsReply:
    """The UpstreamReply port over a Response."""

    def __init__(self, response: JsProxy, deadline: Deadline, read_copy: CopyReader, background: Background) -> None:
        self.status: int = response.status
        self.deadline = deadline
        self._response = response
        self._read_copy = read_copy
        self._background = background
        self._reader: JsProxy | None = None

    def header(self, name: str) -> str | None:
        value = self._response.headers.get(name)
        return value if isinstance(value, str) else None

    async def text(self, *, limit_bytes: int) -> str:
        body = b""
        while len(body) < limit_bytes and (piece := await self.read(timeout_ms=ERROR_BODY_TIMEOUT_MS)) is not None:
            body += piece
        self.close()
        return body[:limit_bytes].decode("utf-8", "replace")

    async def document(self) -> JsDocument:
        try:
            return document_of(await self._response.json())
        except JsException as error:
            if error.name == "SyntaxError":
                raise NotJson from error
            raise (UpstreamSilent if self.deadline.signal.aborted else UpstreamFailed)(error.name) from error
        finally:
            self.deadline.end()

    async def read(self, *, timeout_ms: int) -> bytes | None:
        if not is_object(self._response.body):
            return None
        if self._reader is None:
            self._reader = self._response.body.getReader()
        piece = await self.deadline.wait(self._reader.read(), timeout_ms)
        return None if piece.done else piece.value.to_bytes()

    def relay_native(
        self, head: bytes, *, rest: bytes, idle_timeout_ms: int, end: Callable[[StreamFacts], bytes]
    ) -> "NativeRelay":
        if self._reader is not None:
            self._reader.releaseLock()
        relay = NativeRelay(self._response.body, self.deadline, end)
        self._background(relay.run(head, rest, lambda copy: self._read_copy(copy, idle_timeout_ms)))
        return relay

    def relay_edited(self, head: bytes, *, edit: Edit, idle_timeout_ms: int) -> "EditedRelay":
        relay = EditedRelay(self, edit, idle_timeout_ms)
        self._background(relay.run(head))
        return relay

    def close(self) -> None:
        self.deadline.abort()


class NativeRelay:
    """The Relay port: the runtime pipes, the Meter watches, and Python writes only the head and the end."""

    def __init__(self, source: JsProxy, deadline: Deadline, end: Callable[[StreamFacts], bytes]) -> None:
        pipe = js.IdentityTransformStream.new()
        self.body = OpaqueBody(pipe.readable)
        self._writable = pipe.writable
        self._source = source
        self._deadline = deadline
        self._end = end
        self._facts: asyncio.Future[StreamFacts] = asyncio.get_running_loop().create_future()

    async def facts(self) -> StreamFacts:
        return await self._facts

    async def run(self, head: bytes, rest: bytes, read_copy: Callable[[JsProxy], Awaitable[StreamFacts]]) -> None:
        """Pass the stream on to its end; the facts are there even when the caller has left."""
        # The Meter's copy is taken before the pipe, so that it sees the end first and the last bytes can depend on it.
        to_caller, copy = self._source.tee()
        meter = asyncio.ensure_future(read_copy(_prefixed(rest, copy)))
        pipe = asyncio.ensure_future(self._pipe(head, to_caller))
        await asyncio.wait({meter, pipe}, return_when=asyncio.FIRST_COMPLETED)
        if pipe.done():
            await asyncio.wait({meter}, timeout=DRAIN_MS / 1000)
        self._deadline.end()
        if not (meter.done() and pipe.done()):
            # Silent, or drained for long enough: both ends of the copy see the abort.
            self._deadline.abort()
        facts = await meter
        await pipe
        await self._finish(facts)
        self._facts.set_result(facts)

    async def _pipe(self, head: bytes, to_caller: JsProxy) -> None:
        try:
            writer = self._writable.getWriter()
            await writer.write(to_js(head))
            writer.releaseLock()
            await to_caller.pipeTo(self._writable, _PIPE_OPTIONS)
        except JsException:
            # The provider's stream broke, or the caller left; the Meter tells which, and reads on.
            if not to_caller.locked:
                await _quietly(to_caller.cancel())

    async def _finish(self, facts: StreamFacts) -> None:
        try:
            writer = self._writable.getWriter()
            if last := self._end(facts):
                await writer.write(to_js(last))
            await writer.close()
        except JsException:
            return  # the caller has left


class EditedRelay:
    """The Relay port, piece by piece through an Edit."""

    def __init__(self, reply: JsReply, edit: Edit, idle_timeout_ms: int) -> None:
        pipe = js.IdentityTransformStream.new()
        self.body = OpaqueBody(pipe.readable)
        self._writer = pipe.writable.getWriter()
        self._reply = reply
        self._edit = edit
        self._idle_timeout_ms = idle_timeout_ms
        self._caller_is_there = True
        self._facts: asyncio.Future[StreamFacts] = asyncio.get_running_loop().create_future()

    async def facts(self) -> StreamFacts:
        return await self._facts

    async def run(self, head: bytes) -> None:
        """Pass the stream on to its end, and read on for a while when the caller has left."""
        await self._write(self._edit.feed(head))
        facts = await self._read_on()
        self._reply.deadline.end()
        await self._write(self._edit.end(facts))
        if self._caller_is_there:
            await _quietly(self._writer.close())
        self._facts.set_result(facts)

    async def _read_on(self) -> StreamFacts:
        meter, drain_until_ms = StreamMeter(), None
        try:
            while (piece := await self._reply.read(timeout_ms=self._idle_timeout_ms)) is not None:
                meter.feed(piece)
                await self._write(self._edit.feed(piece))
                if not self._caller_is_there:
                    drain_until_ms = drain_until_ms or js.Date.now() + DRAIN_MS
                    if js.Date.now() > drain_until_ms:
                        self._reply.close()
                        break
            meter.end()
        except UpstreamSilent:
            return meter.facts(silent=True)
        except UpstreamFailed:
            pass
        return meter.facts()

    async def _write(self, piece: bytes) -> None:
        if not piece or not self._caller_is_there:
            return
        try:
            await self._writer.write(to_js(piece))
        except JsException:
            self._caller_is_there = False


async def read_copy(body: JsProxy, *, idle_timeout_ms: int) -> StreamFacts:
    """Meter the copy of a stream, in pieces as large as come in half a second."""
    reader, meter, at_least = body.getReader(_BYOB), StreamMeter(), 1
    try:
        while True:
            began_ms = js.Date.now()
            piece = await _within(reader.readAtLeast(at_least, js.Uint8Array.new(65536)), idle_timeout_ms, at_least)
            if piece is None:
                return meter.facts(silent=True)
            size = piece.value.length if is_object(piece.value) else 0
            if size:
                meter.feed(piece.value.to_bytes())
            if piece.done:
                break
            rate = size * 1000 // max(1, js.Date.now() - began_ms)
            at_least = max(1, min(METER_PIECE_BYTES, rate // METER_WAKES_PER_S))
    except JsException:
        return meter.facts()  # the provider's stream was cut
    meter.end()
    return meter.facts()


def facts_to_json(facts: StreamFacts) -> str:
    """For the way back from the Meter."""
    return json.dumps(asdict(facts))


def facts_from_json(text: str) -> StreamFacts:
    return StreamFacts(**Fields.parse(text, "stream facts").values)


async def _within(read: Any, idle_timeout_ms: int, at_least: int) -> Any:
    """The result of a read, or None where nothing came in time.

    A read of many bytes may have gathered some of them, unseen, so it gets the time twice.
    """
    for _ in range(1 if at_least == 1 else 2):
        idle = js.Promise.withResolvers()
        timer = js.setTimeout(idle.resolve, idle_timeout_ms)
        result = await js.Promise.race(to_js([read, idle.promise]))
        js.clearTimeout(timer)
        if is_object(result):
            return result
    return None


def _prefixed(rest: bytes, copy: JsProxy) -> JsProxy:
    """The copy, behind the bytes of an event that had begun in the head."""
    if not rest:
        return copy
    pipe = js.IdentityTransformStream.new()
    asyncio.ensure_future(_feed(pipe.writable, rest, copy))  # noqa: RUF006 it ends with the copy
    return pipe.readable


async def _feed(writable: JsProxy, rest: bytes, copy: JsProxy) -> None:
    try:
        writer = writable.getWriter()
        await writer.write(to_js(rest))
        writer.releaseLock()
        await copy.pipeTo(writable)
    except JsException:
        return  # the reader sees the same break


async def _quietly(promise: Any) -> None:
    try:
        await promise
    except JsException:
        return
