"""This gateway's relay with nothing of a gateway around it: no key, no Wallet, no look at what passes.

The least that a stream takes whose pieces pass Python. It runs beside the modules of ``worker/``.
"""

from typing import Any

import js
from workers import WorkerEntrypoint

import event_loop
import upstream
from bindings import ENV, EdgePorts, Lifetime
from drills import Drills
from gateway.ports import UpstreamCall
from webapi import parse, to_object

TIMEOUT_MS = 600_000
STREAM_HEADERS = {"content-type": "text/event-stream"}

event_loop.make_lean()


class Passing:
    """The Edit port of a stream in which everything passes."""

    is_over = False

    def feed(self, piece: bytes) -> bytes:
        return piece

    def end(self, *, silent: bool) -> bytes:
        del silent
        return b""


class Default(WorkerEntrypoint):
    async def fetch(self, request: Any) -> Any:
        lifetime = Lifetime(self.ctx)
        return await lifetime.run(_relay(request.js_object, EdgePorts(lifetime)))


async def _relay(request: Any, ports: EdgePorts) -> Any:
    call = UpstreamCall(
        url=f"{ENV.UPSTREAM}/chat/completions",
        headers={"content-type": "application/json"},
        document=parse(await request.text()),
        headers_timeout_ms=TIMEOUT_MS,
        total_timeout_ms=TIMEOUT_MS,
    )
    reply = await upstream.send(call, Drills(js.fetch))
    relay = reply.relay(b"", edit=Passing(), idle_timeout_ms=TIMEOUT_MS)
    ports.background(_run(relay))
    return js.Response.new(relay.body, to_object({"headers": STREAM_HEADERS}))


async def _run(relay: Any) -> None:
    await relay.run()
