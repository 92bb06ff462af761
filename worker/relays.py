"""How a provider's stream reaches the caller, now or late."""

import asyncio
from functools import cache
from typing import Any

import js
from pyodide.ffi import JsException, JsProxy, create_proxy, to_js

from deadline import Deadline
from gateway.ports import Edit, OpaqueBody
from readers import StreamCopy
from webapi import options, to_object

DRAIN_MS = 25_000
"""How long a provider is read on after the caller has left; the platform gives such work 30 s."""

FINISH_S = 5
"""How long it may take until the rewriter has taken all that was given to it: it does so at once, or never, where the
caller left in that moment."""

PLAIN_TEXT = b"<plaintext>"

LINGER_MS = 1_000
"""How long a provider may take to end its stream once nothing more is wanted of it."""


class BrokenOff(Exception):
    """A fault of ours in the middle of a stream, without its text: the runtime logs what is raised to it, and the text
    may hold a prompt."""


class StreamRelay:
    """The Relay port: the runtime carries the stream through its HTMLRewriter, which calls Python with each piece.

    That is its one transform that moves the pieces itself; a loop of reads and writes enters the isolate twice for each
    of them. What follows ``<plaintext>`` is text to the end, whatever stands in it. What the rewriter holds when the
    caller leaves is lost, so from then on the stream is read from a copy. Both are counted in bytes, of which there
    seem to be a few more where a provider sends what is not UTF-8.
    """

    def __init__(self, stream: JsProxy, head: bytes, deadline: Deadline, edit: Edit, *, idle_timeout_ms: int) -> None:
        pipe = js.IdentityTransformStream.new()
        self._handlers = {"text": create_proxy(self._take), "end": create_proxy(self._finish)}
        rewriter = js.HTMLRewriter.new().on("plaintext", _unwrapping()).onDocument(to_object(self._handlers))
        self.body = OpaqueBody(rewriter.transform(js.Response.new(pipe.readable)).body)
        self._writable = pipe.writable
        self._stream, copy = stream.tee()
        self._copy = StreamCopy(copy, deadline, behind_bytes=len(head), idle_timeout_ms=idle_timeout_ms)
        self._head = head
        self._deadline = deadline
        self._edit = edit
        self._is_finished: asyncio.Future[None] = asyncio.Future()
        self._fault: Exception | None = None

    async def run(self) -> bool:
        copying = asyncio.ensure_future(self._copy.read())
        try:
            is_caller_there = await self._carry()
            if self._fault is not None:
                raise self._fault
            if not is_caller_there:
                await self._drain(copying)
        except BaseException:
            self._deadline.abort()
            await _quietly(self._writable.abort())  # a caller sees it break off: it must not look ended
            raise
        finally:
            self._deadline.end()
            copying.cancel()
            for handler in self._handlers.values():
                handler.destroy()
        return is_caller_there

    async def _carry(self) -> bool:
        """Whether the caller was there to take all of it."""
        if not await _write(self._writable, PLAIN_TEXT + self._head):
            return False
        try:
            await _quietly(self._stream.pipeTo(self._writable, options(preventClose=True, preventAbort=True)))
            await self._writable.close()
            async with asyncio.timeout(FINISH_S):
                await self._is_finished
        except (JsException, TimeoutError):
            return False
        return True

    async def _drain(self, copying: asyncio.Future[None]) -> None:
        """The provider is read on for a while, and what comes is for nobody."""
        if not self._edit.is_over:
            self._deadline.set_total(DRAIN_MS)
        self._copy.divert(self._feed)
        await copying
        self._edit.end(silent=self._deadline.signal.aborted)

    def _take(self, chunk: JsProxy) -> None:
        """Called by the runtime with each piece on its way."""
        text = chunk.text
        if not text:
            return
        taken = text.encode()
        self._copy.passed_bytes += len(taken)
        try:
            given = self._feed(taken)
        except Exception as error:
            raise self._broken_off(error) from None
        if not given:
            chunk.remove()
        elif given is not taken:
            chunk.replace(given.decode(), options(html=True))

    def _finish(self, end: JsProxy) -> None:
        """Called by the runtime after the last piece. The connection has been dropped for silence, or because the call
        has taken all the time there is."""
        try:
            last = self._edit.end(silent=self._deadline.signal.aborted)
        except Exception as error:
            raise self._broken_off(error) from None
        if last:
            end.append(last.decode(), options(html=True))
        if not self._is_finished.done():
            self._is_finished.set_result(None)

    def _broken_off(self, fault: Exception) -> BrokenOff:
        self._fault = fault
        self._deadline.abort()
        return BrokenOff()

    def _feed(self, piece: bytes) -> bytes:
        given = self._edit.feed(piece)
        if given and self._edit.is_over:  # what follows the last of it is nothing
            self._deadline.set_total(LINGER_MS)
        return given


@cache
def _unwrapping() -> JsProxy:
    return to_object({"element": create_proxy(_unwrap)})


def _unwrap(element: JsProxy) -> None:
    element.removeAndKeepContent()


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
