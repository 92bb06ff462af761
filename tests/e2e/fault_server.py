"""An HTTP server that can fail: written on bare sockets, so that a reset, a cut and a silence are real ones.

It is several providers at once, each under its own path. What it does about a call is planned by the tests, for each
provider and model apart.
"""

import asyncio
import contextlib
import json
import socket
import struct
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

HOST = "127.0.0.1"
FULL_AFTER_S = 1
MAX_HEAD_BYTES = 64 * 1024
CHAT_PATH = "/chat/completions"

Json = dict[str, Any]
Act = Callable[["Exchange"], Awaitable[None]]


class ClientLeft(Exception):
    """Whoever called has closed the connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One call that came."""

    provider: str
    model: str
    api_key: str
    body: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """Of one model: the caller has what was said so far; nobody takes any more; whoever called the provider has left it
    in its silence."""

    heard: asyncio.Event = field(default_factory=asyncio.Event)
    full: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)


class Exchange:
    """One call and its connection. An act writes the response, or breaks the connection."""

    def __init__(
        self, asked: Asked, signals: "Signals", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.asked = asked
        self._signals = signals
        self._reader = reader
        self._writer = writer

    @property
    def is_stream(self) -> bool:
        return self.asked.body.get("stream") is True

    async def respond(self, status: int, content: bytes, content_type: str, **headers: str) -> None:
        """A response of known length."""
        await self._write(_head(status, {"content-type": content_type, "content-length": str(len(content)), **headers}))
        await self._write(content)

    async def begin(self, content_type: str) -> None:
        """The head of a response whose pieces follow."""
        await self._write(_head(200, {"content-type": content_type, "transfer-encoding": "chunked"}))

    async def send(self, piece: bytes) -> None:
        await self._write(b"%x\r\n%b\r\n" % (len(piece), piece))

    async def fill(self, piece: bytes) -> None:
        """Send the piece again and again, until nobody has taken anything for a while."""
        with contextlib.suppress(TimeoutError):
            while True:
                await asyncio.wait_for(self.send(piece), FULL_AFTER_S)
        self._signals.full.set()

    async def end(self) -> None:
        await self._write(b"0\r\n\r\n")

    async def heard(self) -> None:
        """Return once the caller at the other end of the gateway has what was sent so far: a fault that comes with the
        words before it may reach the gateway in one piece with them, or a reset overtake them."""
        await self._signals.heard.wait()

    async def silence(self) -> None:
        """Nothing more, until the caller leaves."""
        await self._reader.read()
        self._signals.left.set()
        raise ClientLeft

    async def cut(self) -> None:
        """Closes the connection, without the end that the response should have had."""
        self._writer.close()
        raise ClientLeft

    async def reset(self) -> None:
        """Throws the connection away (RST)."""
        connection = self._writer.get_extra_info("socket")
        # To linger for no time means that the close is a reset.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()
        raise ClientLeft

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()


class FaultServer:
    """Runs in a thread of its own. A plan is what a provider does about its calls for a model, one after the other; the
    last act is for all calls that follow.
    """

    def __init__(self) -> None:
        self._plans: dict[tuple[str, str], tuple[Act, ...]] = {}
        self._asked: defaultdict[tuple[str, str], list[Asked]] = defaultdict(list)
        self._signals: defaultdict[str, Signals] = defaultdict(Signals)
        self._listener = socket.create_server((HOST, 0), backlog=512)
        self._deaf = socket.socket()
        self._deaf.bind((HOST, 0))  # so that nobody else comes to listen there
        self._loop = asyncio.new_event_loop()
        self._connections: set[asyncio.Task[None]] = set()

    def base_url(self, provider: str) -> str:
        return f"http://{HOST}:{self._listener.getsockname()[1]}/{provider}"

    @property
    def closed_url(self) -> str:
        """Where nobody listens."""
        return f"http://{HOST}:{self._deaf.getsockname()[1]}"

    @contextlib.contextmanager
    def running(self) -> "Iterator[FaultServer]":
        serving = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        serving.start()
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._stopped.set)
            serving.join()
            self._loop.close()
            self._deaf.close()

    def plan(self, provider: str, model: str, *acts: Act) -> None:
        self._plans[provider, model] = acts

    def asked(self, provider: str, model: str) -> list[Asked]:
        """The calls that came for a model, in order."""
        return list(self._asked[provider, model])

    def is_full(self, model: str) -> bool:
        """Whether a provider that filled all that lies between it and its caller has done so."""
        return self._signals[model].full.is_set()

    def was_left(self, model: str) -> bool:
        """Whether a provider that fell silent for this model has been left."""
        return self._signals[model].left.is_set()

    def heard(self, model: str) -> None:
        """The caller has what this model said so far, or waits for all of it."""
        self._loop.call_soon_threadsafe(self._set_heard, model)

    def _set_heard(self, model: str) -> None:
        self._signals[model].heard.set()

    async def _serve(self) -> None:
        self._stopped = asyncio.Event()
        server = await asyncio.start_server(self._connected, sock=self._listener)
        await self._stopped.wait()
        server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while (asked := await _read(reader)) is not None:
                await self._act(asked)(Exchange(asked, self._signals[asked.model], reader, writer))
        except (ClientLeft, ConnectionError, asyncio.CancelledError):
            return
        finally:
            self._connections.discard(task)
            writer.close()

    def _act(self, asked: Asked) -> Act:
        calls = self._asked[asked.provider, asked.model]
        calls.append(asked)
        plan = self._plans[asked.provider, asked.model]
        return plan[min(len(calls), len(plan)) - 1]


async def _read(reader: asyncio.StreamReader) -> Asked | None:
    """The next call on a connection; None where it has ended."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    request_line, *lines = head.split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = json.loads(await reader.readexactly(int(headers["content-length"])))
    path = request_line.split(" ")[1]
    return Asked(
        provider=path.removesuffix(CHAT_PATH).strip("/"),
        model=body["model"],
        api_key=headers.get("authorization", "").removeprefix("Bearer "),
        body=body,
    )


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Status", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()
