"""The two ways in which a provider's stream reaches the caller, and the Meter that reads the copy of one.

The native way: the runtime pipes the provider's body to the caller and a copy of it to the Meter, an invocation of its
own over a loopback binding, which wakes a few times per second; Python sees no event. The edited way calls Python with
each piece, for the providers and the requests that need a change on the way.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

import js
from pyodide.ffi import JsException, JsProxy, create_proxy, to_js

from deadline import Deadline
from gateway.fields import Fields
from gateway.metering import StreamMeter
from gateway.ports import Edit, OpaqueBody, StreamFacts
from webapi import is_object, to_object

METER_PIECE_BYTES = 4096
"""The most that gathers before the Meter wakes: about a dozen events."""

METER_WAKES_PER_S = 2

DRAIN_MS = 25_000
"""How long a provider is read on after the caller has left; the platform gives such work 30 s."""

_PIPE_OPTIONS = to_object({"preventClose": True, "preventAbort": True})
_PIPE_AND_KEEP_SOURCE = to_object({"preventClose": True, "preventAbort": True, "preventCancel": True})
_BYOB = to_object({"mode": "byob"})


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
        if not meter.done():
            # All has passed and the Meter is about to see the end, or the caller has left and it reads on for a while.
            await asyncio.wait({meter}, timeout=DRAIN_MS / 1000)
        if not meter.done() or meter.result().silent:
            self._deadline.abort()  # both ends of the copy see it
        facts = await meter
        self._deadline.end()
        await pipe  # a slow caller may be behind
        if await _write(self._writable, self._end(facts)):
            await _quietly(self._writable.close())
        self._facts.set_result(facts)

    async def _pipe(self, head: bytes, to_caller: JsProxy) -> None:
        # The provider's stream may break, or the caller leave; the Meter tells which, and reads on.
        if await _write(self._writable, head):
            await _quietly(to_caller.pipeTo(self._writable, _PIPE_OPTIONS))
        else:
            await _quietly(to_caller.cancel())


class EditedRelay:
    """The Relay port: the runtime pipes through a transform that calls Python with each piece.

    A transform costs a quarter of what a loop of reads and writes in Python does, because nothing is awaited. Behind it
    stands a native pipe, because only that one fails when the caller has left.
    """

    def __init__(self, source: JsProxy, deadline: Deadline, edit: Edit) -> None:
        self._take_proxy = create_proxy(self._take)
        self._transform = js.TransformStream.new(to_object({"transform": self._take_proxy}))
        pipe = js.IdentityTransformStream.new()
        self.body = OpaqueBody(pipe.readable)
        self._writable = pipe.writable
        self._source = source
        self._deadline = deadline
        self._edit = edit
        self._meter = StreamMeter()
        self._pieces = 0
        self._controller: JsProxy | None = None
        self._facts: asyncio.Future[StreamFacts] = asyncio.get_running_loop().create_future()

    async def facts(self) -> StreamFacts:
        return await self._facts

    async def run(self, head: bytes, rest: bytes, idle_timeout_ms: int) -> None:
        """Pass the stream on to its end, and read on for a while when the caller has left."""
        self._meter.feed(rest)
        watch = asyncio.ensure_future(self._watch(idle_timeout_ms))
        if await _write(self._writable, self._edit.feed(head)):
            await self._pipe()
        else:
            await self._drain()
        silent = watch.done()
        watch.cancel()
        self._deadline.end()
        self._meter.end()
        facts = self._meter.facts(silent=silent)
        if await _write(self._writable, self._edit.end(facts)):
            await _quietly(self._writable.close())
        self._take_proxy.destroy()
        self._facts.set_result(facts)

    def _take(self, piece: JsProxy, controller: JsProxy) -> None:
        """Called by the runtime with each piece on its way."""
        self._pieces += 1
        self._controller = controller
        taken = piece.to_bytes()
        self._meter.feed(taken)
        given = self._edit.feed(taken)
        if given is taken:
            controller.enqueue(piece)
        elif given:
            controller.enqueue(to_js(given))

    async def _pipe(self) -> None:
        delivery = asyncio.ensure_future(_quietly(self._transform.readable.pipeTo(self._writable, _PIPE_OPTIONS)))
        await _quietly(self._source.pipeTo(self._transform.writable, _PIPE_AND_KEEP_SOURCE))
        if delivery.done():
            await self._drain()  # the caller has left: the pipe into the transform ends as if all were well
        await _quietly(self._transform.writable.close())
        await delivery

    async def _drain(self) -> None:
        until_ms = js.Date.now() + DRAIN_MS
        try:
            reader = self._source.getReader()
            while not (piece := await reader.read()).done and js.Date.now() < until_ms:
                self._pieces += 1
                self._meter.feed(piece.value.to_bytes())
        except JsException:
            return
        self._deadline.abort()

    async def _watch(self, idle_timeout_ms: int) -> None:
        """Ends, and drops the connection, once nothing has come for the idle limit."""
        seen = -1
        while seen != self._pieces or self._is_caller_behind():
            seen = self._pieces
            await asyncio.sleep(idle_timeout_ms / 1000)
        self._deadline.abort()

    def _is_caller_behind(self) -> bool:
        """Whether pieces wait for a slow caller, so that the provider waits too."""
        waiting = None if self._controller is None else self._controller.desiredSize
        return isinstance(waiting, int) and waiting < 0  # null where the caller has left


class LatePipe:
    """The LateBody port: a native pipe that is written to until the stream that follows is there."""

    def __init__(self) -> None:
        pipe = js.IdentityTransformStream.new()
        self.body = OpaqueBody(pipe.readable)
        self._writable = pipe.writable

    async def write(self, piece: bytes) -> bool:
        return await _write(self._writable, piece)

    async def pass_on(self, body: str | OpaqueBody) -> None:
        source: Any = js.Response.new(body).body if isinstance(body, str) else body
        # The runtime does not pipe from one native pipe into another ("Inter-TransformStream … is not implemented").
        await _quietly(source.pipeThrough(js.TransformStream.new()).pipeTo(self._writable))

    async def close(self) -> None:
        await _quietly(self._writable.close())


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


async def _write(writable: JsProxy, piece: bytes) -> bool:
    """Whether the caller is still there to take it."""
    if not piece:
        return True
    try:
        writer = writable.getWriter()
        await writer.write(to_js(piece))
        writer.releaseLock()
    except JsException:
        return False
    return True


async def _quietly(promise: Any) -> None:
    try:
        await promise
    except JsException:
        return
