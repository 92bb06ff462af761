"""Calls to providers over the runtime's fetch."""

from collections.abc import Awaitable, Callable

import js
from pyodide.ffi import JsException, JsProxy

from deadline import Deadline
from gateway.ports import Edit, NotJson, StreamFacts, UpstreamCall, UpstreamFailed, UpstreamReply, UpstreamSilent
from relays import EditedRelay, NativeRelay
from webapi import JsDocument, document_of, is_object, to_object

ERROR_BODY_TIMEOUT_MS = 10_000

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
    ) -> NativeRelay:
        relay = NativeRelay(self._take_body(), self.deadline, end)
        self._background(relay.run(head, rest, lambda copy: self._read_copy(copy, idle_timeout_ms)))
        return relay

    def relay_edited(self, head: bytes, *, rest: bytes, edit: Edit, idle_timeout_ms: int) -> EditedRelay:
        relay = EditedRelay(self._take_body(), self.deadline, edit)
        self._background(relay.run(head, rest, idle_timeout_ms))
        return relay

    def close(self) -> None:
        self.deadline.abort()

    def _take_body(self) -> JsProxy:
        """The body from where the reads have come to."""
        if self._reader is not None:
            self._reader.releaseLock()
            self._reader = None
        return self._response.body
