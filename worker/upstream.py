"""Calls to providers over the runtime's fetch."""

from js import fetch
from pyodide.ffi import JsException, JsProxy

from deadline import Deadline
from drills import Drills
from gateway.ports import Document, Edit, UpstreamCall, UpstreamFailed, UpstreamReply, UpstreamSilent
from gateway.records import DRILL_URL
from readers import Gatherer
from relays import StreamRelay
from webapi import is_object, json_object, parse, set_body

ERROR_BODY_TIMEOUT_MS = 10_000


async def send(call: UpstreamCall, drills: Drills) -> UpstreamReply:
    """POST the document; answers when the head of the reply is there. ``drills`` take the calls to drill models."""
    deadline = Deadline()
    deadline.set_total(call.total_timeout_ms)
    options = json_object({"method": "POST", "headers": dict(call.headers), "redirect": "manual"})
    set_body(options, call.document)
    options.signal = deadline.signal
    is_drill = call.url.startswith(DRILL_URL)
    sent = drills.ask(call.document, options) if is_drill else fetch(call.url, options)
    return JsReply(await deadline.wait(sent, call.headers_timeout_ms), deadline)


class JsReply:
    """The UpstreamReply port over a Response."""

    def __init__(self, response: JsProxy, deadline: Deadline) -> None:
        self.status: int = response.status
        self.deadline = deadline
        self._response = response
        self._reader: JsProxy | None = None
        self._gatherer: Gatherer | None = None

    def header(self, name: str) -> str | None:
        value = self._response.headers.get(name)
        return value if isinstance(value, str) else None

    async def text(self, *, limit_bytes: int) -> str:
        body = b""
        while len(body) < limit_bytes and (piece := await self.read(timeout_ms=ERROR_BODY_TIMEOUT_MS)) is not None:
            body += piece
        self.close()
        return body[:limit_bytes].decode("utf-8", "replace")

    async def document(self) -> Document:
        try:
            text: str = await self._response.text()
        except JsException as error:
            raise (UpstreamSilent if self.deadline.signal.aborted else UpstreamFailed)(error.name) from error
        finally:
            self.deadline.end()
        return parse(text)

    async def read(self, *, timeout_ms: int) -> bytes | None:
        if self._reader is None and not is_object(self._response.body):
            return None
        piece = await self.deadline.wait(self._open().read(), timeout_ms)
        if self.deadline.signal.aborted:  # it came in the very moment in which its time was over: nothing follows it
            raise UpstreamSilent("late")
        return None if piece.done else piece.value.to_bytes()

    async def gather(self, *, idle_timeout_ms: int) -> bytes | None:
        if self._gatherer is None:
            self._gatherer = Gatherer(self._release(), self.deadline)
        return await self._gatherer.read(idle_timeout_ms=idle_timeout_ms)

    def relay(self, head: bytes, *, edit: Edit, idle_timeout_ms: int) -> StreamRelay:
        return StreamRelay(self._release(), head, self.deadline, edit, idle_timeout_ms=idle_timeout_ms)

    def close(self) -> None:
        self.deadline.abort()

    def _open(self) -> JsProxy:
        """The body's reader, from where the reads have come to."""
        if self._reader is None:
            self._reader = self._response.body.getReader()
        return self._reader

    def _release(self) -> JsProxy:
        """The body from there, for another reader."""
        if self._reader is not None:
            self._reader.releaseLock()
        body: JsProxy = self._response.body
        return body
