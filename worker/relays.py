"""How a provider's stream reaches the caller, now or late, and how one is read that nobody waits for yet."""

import asyncio
from functools import cache
from typing import Any

import js
from pyodide.ffi import JsException, JsProxy, create_proxy, to_js

from deadline import Deadline
from gateway.ports import Edit, OpaqueBody
from webapi import is_object, now_ms, to_object

GATHERED_BYTES = 4 * 1024
"""The most that gathers before Python wakes: about a dozen events. What gathers is not seen, so a stream that brings
less within the idle limit, having been fast before, counts as silent."""

WAKES_PER_S = 2

DRAIN_MS = 25_000
"""How long a provider is read on after the caller has left; the platform gives such work 30 s."""

LINGER_MS = 1_000
"""How long a provider may take to end its stream once nothing more is wanted of it."""


class StreamRelay:
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
        self._pieces = 0
        self._controller: JsProxy | None = None
        self._ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def ended(self) -> bool:
        return await self._ended

    async def run(self, head: bytes, idle_timeout_ms: int) -> None:
        """Pass the stream on to its end, and read on for a while when the caller has left."""
        is_there = False
        watch = asyncio.ensure_future(self._watch(idle_timeout_ms))
        try:
            is_there = await _write(self._writable, self._feed(head)) and await self._pipe()
            if not is_there:
                await self._drain()
            # The connection is dropped for silence, and when the call has taken all the time there is.
            if await _write(self._writable, self._edit.end(silent=self._deadline.signal.aborted)):
                await _quietly(self._writable.close())
        except BaseException:
            self._deadline.abort()
            await _quietly(self._writable.abort())  # a caller sees it break off: it must not look ended
            raise
        finally:
            watch.cancel()
            self._deadline.end()
            self._take_proxy.destroy()
            self._ended.set_result(is_there)

    def _take(self, piece: JsProxy, controller: JsProxy) -> None:
        """Called by the runtime with each piece on its way."""
        self._pieces += 1
        self._controller = controller
        taken = piece.to_bytes()
        given = self._feed(taken)
        if given is taken:
            controller.enqueue(piece)
        elif given:
            controller.enqueue(to_js(given))

    def _feed(self, piece: bytes) -> bytes:
        if self._edit.is_over:
            return b""
        given = self._edit.feed(piece)
        if self._edit.is_over:
            self._deadline.set_total(LINGER_MS)
        return given

    async def _pipe(self) -> bool:
        """Whether the caller stayed to the end."""
        delivery = asyncio.ensure_future(
            _quietly(self._transform.readable.pipeTo(self._writable, _pipe_options(keep_source=False)))
        )
        await _quietly(self._source.pipeTo(self._transform.writable, _pipe_options(keep_source=True)))
        if delivery.done():
            return False  # the caller has left: the pipe into the transform ends as if all were well
        await _quietly(self._transform.writable.close())
        await delivery
        return True

    async def _drain(self) -> None:
        until_ms = now_ms() + DRAIN_MS
        try:
            reader = self._source.getReader()
            while not (piece := await reader.read()).done and now_ms() < until_ms:
                self._pieces += 1
                self._feed(piece.value.to_bytes())
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


class Gatherer:
    """Reads a stream in pieces as large as come in half a second, so that a long one wakes Python seldom."""

    def __init__(self, body: JsProxy, deadline: Deadline) -> None:
        self._reader = body.getReader(to_object({"mode": "byob"}))
        self._deadline = deadline
        self._at_least = 1

    async def read(self, *, idle_timeout_ms: int) -> bytes | None:
        """The next piece, None at the end; raises as ``Deadline.wait`` does."""
        began_ms = now_ms()
        read = self._reader.readAtLeast(self._at_least, js.Uint8Array.new(8 * GATHERED_BYTES))
        piece = await self._deadline.wait(read, idle_timeout_ms)
        size = piece.value.length if is_object(piece.value) else 0
        if not size:
            return None
        rate = size * 1000 // max(1, now_ms() - began_ms)
        self._at_least = max(1, min(GATHERED_BYTES, rate // WAKES_PER_S))
        gathered: bytes = piece.value.to_bytes()
        return gathered


@cache
def _pipe_options(*, keep_source: bool) -> JsProxy:
    return to_object({"preventClose": True, "preventAbort": True, "preventCancel": keep_source})


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
