"""Drills in the runtime: their performances as real responses of an entrypoint of this Worker, so that an attempt at
a drill meets what it would meet at a provider: a status, a body that comes in time, late, in part or never.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import js
from pyodide.ffi import JsException, JsProxy, to_js

from gateway.drills import Ask, Break, Pause, Step, perform
from gateway.ports import Document
from webapi import parse, to_object

ASK_HEADER = "x-drill-ask"
URL = "http://drill/"

Fetch = Callable[[str, JsProxy], Awaitable[JsProxy]]
Background = Callable[[Awaitable[None]], None]


class Drills:
    """The drills that one request asks. ``fetch`` calls the entrypoint, which remembers nothing."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._asks: dict[str, int] = {}

    def ask(self, document: Document, options: JsProxy) -> Awaitable[JsProxy]:
        """The response to a call that the runtime's fetch would get with these options."""
        name = str(document.read("model"))
        number = self._asks[name] = self._asks.get(name, 0) + 1
        js.Reflect.set(options.headers, ASK_HEADER, str(number))
        return self._fetch(URL, options)


async def respond(request: JsProxy, background: Background) -> JsProxy:
    """What a drill answers, with its body still on the way."""
    document = parse(await request.text())
    ask = Ask(
        name=str(document.read("model")),
        stream=document.read("stream") is True,
        number=int(request.headers.get(ASK_HEADER)),
    )
    performance = perform(ask)
    await asyncio.sleep(performance.wait_ms / 1000)
    pipe = js.IdentityTransformStream.new()
    background(_play(performance.steps, pipe.writable))
    init = to_object({"status": performance.status, "headers": dict(performance.headers)})
    return js.Response.new(pipe.readable, init)


async def _play(steps: Sequence[Step], writable: Any) -> None:
    try:
        writer = writable.getWriter()
        for step in steps:
            match step:
                case Pause(ms=ms):
                    await asyncio.sleep(ms / 1000)
                case Break.CUT:
                    await writer.abort("the drill breaks off")
                    return
                case bytes():
                    await writer.write(to_js(step))
        await writer.close()
    except JsException:
        return  # whoever asked has left
