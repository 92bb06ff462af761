# mypy: ignore-errors
# Importable only inside workerd, so that nothing here has types that a checker could see.
"""Relays the stream of the URL that a request names; the relay's edit fails at an event that says so. Without a URL it
tells how a piece is read that comes when its time is over."""

from urllib.parse import parse_qs, urlsplit

import js
from workers import WorkerEntrypoint

from deadline import Deadline
from gateway.ports import UpstreamSilent
from upstream import JsReply


class FailingEdit:
    is_over = False

    def feed(self, piece: bytes) -> bytes:
        if b"fail" in piece:
            raise ValueError(piece.decode())
        return piece

    def end(self, *, silent: bool) -> bytes:
        return b""


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        urls = parse_qs(urlsplit(request.url).query).get("from")
        if urls is None:
            return js.Response.new(await self.read_late())
        [url], deadline = urls, Deadline()
        options = js.Object.new()
        options.signal = deadline.signal
        reply = JsReply(await js.fetch(url, options), deadline)
        relay = reply.relay(b"", edit=FailingEdit(), idle_timeout_ms=10_000)
        self.ctx.waitUntil(self.run(relay))
        return js.Response.new(relay.body)

    async def read_late(self) -> str:
        deadline = Deadline()
        reply = JsReply(js.Response.new("data: late\n\n"), deadline)
        deadline.abort()
        try:
            return (await reply.read(timeout_ms=10_000)).decode()
        except UpstreamSilent:
            return "silent"

    async def run(self, relay) -> None:
        try:
            await relay.run()
        except ValueError:
            print("the relay raised what its edit raised")  # noqa: T201 (the runtime's log is its standard output)
