"""The application: each lab under its base paths, and the journal.

POST {base}/chat/completions    GET {base}/models    GET /journal?id=TEXT    DELETE /journal
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from local.labs.call import Call
from local.labs.connection import Connection
from local.labs.dashscope import DashScope
from local.labs.deepseek import DeepSeek
from local.labs.journal import Entry, Journal, redacted
from local.labs.lab import Lab, Refused
from local.labs.moonshot import Moonshot
from local.labs.script import script
from local.labs.spark import Spark
from local.labs.wire import Act, Cutter, Filler, Head, Pause, Step
from local.labs.zai import Zai

LABS: tuple[Lab, ...] = (DeepSeek(), Moonshot(), DashScope(), Zai(), Spark())

ENDINGS = {Act.CUT: "cut", Act.RESET: "reset"}


def new_id() -> str:
    return uuid.uuid4().hex


def create_app(*, clock: Callable[[], float] = time.time, new_id: Callable[[], str] = new_id) -> Starlette:
    """``clock`` tells seconds since 1970, ``new_id`` 32 hex digits."""
    journal = Journal()
    routes: list[BaseRoute] = [
        Route("/journal", _journal_shown(journal), methods=["GET"]),
        Route("/journal", _journal_cleared(journal), methods=["DELETE"]),
    ]
    for lab in LABS:
        for base in lab.bases:
            desk = Desk(lab=lab, base=base, journal=journal, clock=clock, new_id=new_id)
            routes.append(Route(f"{base}/chat/completions", desk, methods=["POST"]))
            routes.append(Route(f"{base}/models", desk.models, methods=["GET"]))
    return Starlette(routes=routes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Where a lab takes calls under one of its base paths."""

    lab: Lab
    base: str
    journal: Journal
    clock: Callable[[], float]
    new_id: Callable[[], str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = Connection(scope, receive, send)
        call = self._read(await connection.read(), scope["headers"])
        entry = self._enter(call, scope)
        call = self._without_spent_fault(call)
        playing = asyncio.create_task(_play(script(self.lab, call), connection, entry, call.directives.cut_bytes))
        leaving = asyncio.create_task(connection.left())
        try:
            await asyncio.wait((playing, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            _close(entry, playing)
            leaving.cancel()
            playing.cancel()
        await asyncio.wait((playing, leaving))
        if not playing.cancelled():
            playing.result()

    async def models(self, request: Request) -> Response:
        call = self._read(b"{}", request.scope["headers"])
        try:
            self.lab.authenticate(call)
        except Refused as refused:
            return JSONResponse(refused.error.body, refused.error.status)
        return JSONResponse(self.lab.models(self.base))

    def _read(self, raw: bytes, headers: list[tuple[bytes, bytes]]) -> Call:
        return Call.read(
            raw,
            lab=self.lab.name,
            base=self.base,
            api_key=_bearer_key(headers),
            call_id=self.new_id(),
            created=int(self.clock()),
        )

    def _enter(self, call: Call, scope: Scope) -> Entry:
        entry = Entry(
            id=call.directives.id or "",
            lab=self.lab.name,
            path=scope["path"],
            headers=redacted(scope["headers"]),
            body_keys=list(call.body),
            parameters={key: value for key, value in call.body.items() if key != "messages"},
            at_ms=int(self.clock() * 1000),
        )
        if entry.id:
            self.journal.add(entry)
        return entry

    def _without_spent_fault(self, call: Call) -> Call:
        """The call itself, or without its fault when that has struck as often as it was to."""
        directives = call.directives
        if directives.times is None or self.journal.count(directives.id or "", self.lab.name) <= directives.times:
            return call
        return replace(call, directives=replace(directives, fault=None))


async def _play(steps: Iterator[Step], connection: Connection, entry: Entry, cut_bytes: int | None) -> None:
    """Do what the script says. A script that breaks the connection never ends here: the client's leaving ends it."""
    cutter = Cutter(cut_bytes) if cut_bytes else None
    for step in steps:
        match step:
            case bytes():
                await _send(connection, step, cutter)
                entry.events += 1
                # A lab's events come one by one, so other streams have their turn between two of this one.
                await asyncio.sleep(0)
            case Pause():
                await asyncio.sleep(step.seconds)
            case Head():
                entry.status = step.status
                await connection.start(step)
            case Filler():
                await connection.send(step.data)
            case Act():
                await _flush(connection, cutter)
                entry.ended = ENDINGS.get(step, entry.ended)
                connection.break_off(step)
                await asyncio.Event().wait()
    await _flush(connection, cutter)
    await connection.end()


async def _send(connection: Connection, data: bytes, cutter: Cutter | None) -> None:
    if cutter is None:
        await connection.send(data)
        return
    for piece in cutter.feed(data):
        await connection.send(piece)
        await asyncio.sleep(0)


async def _flush(connection: Connection, cutter: Cutter | None) -> None:
    if cutter is not None:
        for piece in cutter.flush():
            await connection.send(piece)


def _close(entry: Entry, playing: "asyncio.Task[None]") -> None:
    """Write down how it ended, unless the script broke the connection and said so."""
    if entry.ended == "open":
        entry.ended = "client left" if not playing.done() else "failed" if playing.exception() else "completed"


def _bearer_key(headers: list[tuple[bytes, bytes]]) -> str:
    authorization = next((value for name, value in headers if name == b"authorization"), b"").decode("latin-1")
    scheme, _, key = authorization.partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def _journal_shown(journal: Journal) -> Callable[[Request], Response]:
    def shown(request: Request) -> Response:
        return JSONResponse({"requests": [asdict(entry) for entry in journal.entries(request.query_params.get("id"))]})

    return shown


def _journal_cleared(journal: Journal) -> Callable[[Request], Response]:
    def cleared(_request: Request) -> Response:
        journal.clear()
        return Response(status_code=204)

    return cleared
