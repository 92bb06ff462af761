"""How a provider's stream reaches the caller, now or late, and how one is read that nobody waits for yet."""

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

MAX_WAITING_BYTES = 64 * 1024
"""How much waits for a slow caller before the provider waits."""

PIECES_PER_CHECK = 8
"""How often it is asked how much waits."""

LINGER_MS = 1_000
"""How long a provider may take to end its stream once nothing more is wanted of it."""


class StreamRelay:
    """The Relay port: the runtime reads and writes, and calls Python with each piece in between.

    Python waits for none of it, which would take a Future and a turn of its loop for each piece: ``Array.fromAsync`` is
    the loop of reads, and a piece is written by an assignment, because Pyodide makes a Future of a promise that a call
    returns. What is written goes into a native pipe, because only that one fails when the caller has left.
    """

    def __init__(self, reader: JsProxy, head: bytes, deadline: Deadline, edit: Edit, *, idle_timeout_ms: int) -> None:
        _equip_runtime()
        pipe = js.IdentityTransformStream.new(_pipe_options())
        self.body = OpaqueBody(pipe.readable)
        self._writer = pipe.writable.getWriter()
        self._reader = reader
        self._head = head
        self._deadline = deadline
        self._edit = edit
        self._idle_timeout_ms = idle_timeout_ms
        self._last_piece = -1
        self._last_piece_before = -1
        self._is_caller_there = True
        self._gone: JsProxy | None = None

    async def run(self) -> bool:
        take, check = create_proxy(self._take), create_proxy(self._check)
        timer = js.setInterval(check, self._idle_timeout_ms)
        self._writer.closed.catch(self._leave)
        try:
            self._write(self._feed(self._head))
            await _quietly(js.Array.fromAsync(self._reader, take))
            # The connection is dropped for silence, and when the call has taken all the time there is.
            self._write(self._edit.end(silent=self._deadline.signal.aborted))
            await self._close()
        except BaseException:
            self._is_caller_there = False
            self._deadline.abort()
            await _quietly(self._writer.abort())  # a caller sees it break off: it must not look ended
            raise
        finally:
            js.clearInterval(timer)
            self._deadline.end()
            take.destroy()
            check.destroy()
        return self._is_caller_there

    def _take(self, piece: JsProxy, index: int) -> JsProxy | None:
        """Called by the runtime with each piece on its way; it reads on when the returned promise is kept."""
        self._last_piece = index
        taken = piece.to_bytes()
        given = self._feed(taken)
        if given and self._is_caller_there:
            self._writer.piece = piece if given is taken else to_js(given)
        if index % PIECES_PER_CHECK == 0 and self._is_caller_behind():
            return self._room()
        return None

    def _room(self) -> JsProxy:
        """A promise that a caller who is behind has caught up, or has left, or the call was given up: the writer's own
        promise is only kept for one who is there. Made inside of an array, for the reason given above."""
        if self._gone is None:
            self._gone = js.Promise.withResolvers()
            self._deadline.signal.onabort = self._gone.resolve
        promises = js.Array.of(self._writer.ready, self._gone.promise)
        room: JsProxy = js.Array.of(promises).map(js.Promise.race.bind(js.Promise))[0]
        return room

    def _feed(self, piece: bytes) -> bytes:
        given = self._edit.feed(piece)
        if given and self._edit.is_over:  # what follows the last of it is nothing
            self._deadline.set_total(LINGER_MS)
        return given

    def _write(self, piece: bytes) -> None:
        if piece and self._is_caller_there:
            self._writer.piece = to_js(piece)

    async def _close(self) -> None:
        try:
            await self._writer.close()
        except JsException:
            self._is_caller_there = False

    def _leave(self, _error: JsException) -> None:
        """The caller has left, and the provider is read on for a while; or we have broken off."""
        if self._is_caller_there and not self._edit.is_over:
            self._deadline.set_total(DRAIN_MS)
        self._is_caller_there = False
        if self._gone is not None:
            self._gone.resolve()

    def _check(self) -> None:
        """Called once in the idle limit; drops the connection if nothing has come since the last time."""
        if self._last_piece == self._last_piece_before and not self._is_caller_behind():
            self._deadline.abort()
        self._last_piece_before = self._last_piece

    def _is_caller_behind(self) -> bool:
        """Whether so much waits for a slow caller that the provider waits, too."""
        room = self._writer.desiredSize if self._is_caller_there else None
        return isinstance(room, int) and room <= 0  # null where the caller has just left


@cache
def _pipe_options() -> JsProxy:
    return to_object({"highWaterMark": MAX_WAITING_BYTES})


@cache
def _equip_runtime() -> None:
    """What a relay needs of the runtime's classes, added with the first one: a writer writes what its ``piece`` is set
    to, and a reader can be iterated over. (A stream's own iterator makes functions for each piece.)"""
    writers, readers = js.WritableStreamDefaultWriter.prototype, js.ReadableStreamDefaultReader.prototype
    js.Object.defineProperty(writers, "piece", to_object({"set": writers.write}))
    readers.next = readers.read
    js.Reflect.set(readers, js.Symbol.asyncIterator, readers.valueOf)


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
        self._buffer = js.Uint8Array.new(8 * GATHERED_BYTES)

    async def read(self, *, idle_timeout_ms: int) -> bytes | None:
        """The next piece, None at the end; raises as ``Deadline.wait`` does."""
        began_ms = now_ms()
        read = self._reader.readAtLeast(self._at_least, self._buffer)
        piece = await self._deadline.wait(read, idle_timeout_ms)
        size = piece.value.length if is_object(piece.value) else 0
        if not size:
            return None
        rate = size * 1000 // max(1, now_ms() - began_ms)
        self._at_least = max(1, min(GATHERED_BYTES, rate // WAKES_PER_S))
        gathered: bytes = piece.value.to_bytes()
        self._buffer = js.Uint8Array.new(piece.value.buffer)
        return gathered


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
