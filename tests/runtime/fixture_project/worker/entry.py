# mypy: ignore-errors
# Importable only inside workerd, so that nothing here has types that a checker could see.
"""Each route uses one facility of the platform and answers what came of it."""

import os
import random
import secrets
import time
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import js
from answer import ANSWER
from pyodide.ffi import to_js
from workers import DurableObject, Response, WorkerEntrypoint

SOURCES: dict[str, Callable[[], Any]] = {
    "os": lambda: os.urandom(8).hex(),
    "random": lambda: random.getrandbits(64),
    "secrets": lambda: secrets.token_hex(8),
    "uuid": lambda: uuid.uuid4().hex,
}


def draw() -> dict[str, Any]:
    drawn = {}
    for name, source in SOURCES.items():
        try:
            drawn[name] = source()
        except OSError as refusal:
            drawn[name] = f"refused: {refusal}"
    return drawn


DRAWN_AT_IMPORT = draw()


class Counter(DurableObject):
    """Rows of text under a name, in SQLite."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.sql = ctx.storage.sql
        self.sql.exec("CREATE TABLE IF NOT EXISTS rows (text TEXT)")

    async def add(self, text: str) -> int:
        self.sql.exec("INSERT INTO rows VALUES (?)", text)
        return self.sql.exec("SELECT count(*) AS n FROM rows").one().n

    async def rows(self) -> list[str]:
        return [row.text for row in self.sql.exec("SELECT text FROM rows ORDER BY rowid").toArray()]

    async def wake(self, delay_ms: int) -> None:
        await self.ctx.storage.setAlarm(time.time() * 1000 + delay_ms)

    async def alarm(self) -> None:
        if self.env.ALARMS == "refused":
            raise RuntimeError("alarms are refused in this life")
        await self.add("alarm")


class Reader(WorkerEntrypoint):
    """Reached over the service binding of the Worker to itself."""

    async def fetch(self, request: Any) -> Response:
        return Response(f"read {len(await request.bytes())} bytes")


class Default(WorkerEntrypoint):
    async def fetch(self, request: Any) -> Any:
        url = urlsplit(request.url)
        route, _, name = url.path.strip("/").partition("/")
        return await getattr(self, f"_{route}")(request, name, dict(parse_qsl(url.query)))

    async def _answer(self, request: Any, name: str, query: dict[str, str]) -> Response:
        return Response.json({"answer": ANSWER, "greeting": self.env.GREETING, "secret": self.env.SECRET})

    async def _randomness(self, request: Any, name: str, query: dict[str, str]) -> Response:
        return Response.json({"at_import": DRAWN_AT_IMPORT, "in_request": [draw(), draw()]})

    async def _kv(self, request: Any, name: str, query: dict[str, str]) -> Response:
        if request.method == "PUT":
            await self.env.STORE.put(name, await request.text())
        value = await self.env.STORE.get(name)
        return Response("no such key", status=404) if value is None else Response(value)

    async def _count(self, request: Any, name: str, query: dict[str, str]) -> Response:
        return Response(str(await self._counter(name).add("counted")))

    async def _rows(self, request: Any, name: str, query: dict[str, str]) -> Response:
        return Response.json(await self._counter(name).rows())

    async def _wake(self, request: Any, name: str, query: dict[str, str]) -> Response:
        await self._counter(name).wake(int(query["delay_ms"]))
        return Response("set")

    async def _send(self, request: Any, name: str, query: dict[str, str]) -> Response:
        await self.env.JOBS.send({"name": name, "poisoned": "poisoned" in query})
        return Response("sent")

    async def _later(self, request: Any, name: str, query: dict[str, str]) -> Response:
        self.ctx.waitUntil(self._counter(name).add("later"))
        return Response("now")

    async def _loopback(self, request: Any, name: str, query: dict[str, str]) -> Response:
        return await self.env.ITSELF.fetch("http://itself/", method="POST", body=await request.text())

    async def _stream(self, request: Any, name: str, query: dict[str, str]) -> Any:
        upstream = await js.fetch(query["from"])
        headers = to_js({"content-type": "text/event-stream"}, dict_converter=js.Object.fromEntries)
        return js.Response.new(upstream.body, to_js({"headers": headers}, dict_converter=js.Object.fromEntries))

    async def queue(self, batch: Any, *_: Any) -> None:
        for message in batch.messages:
            if message.body["poisoned"] and batch.queue == "jobs":
                raise RuntimeError("poisoned")
            await self._counter(message.body["name"]).add(batch.queue)

    async def scheduled(self, controller: Any, *_: Any) -> None:
        await self._counter("scheduled").add(controller.cron)

    def _counter(self, name: str) -> Any:
        return self.env.COUNTERS.getByName(name)
