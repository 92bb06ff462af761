"""The caller's connection: ASGI's events, and the ways to break it that ASGI does not have."""

import asyncio
import socket
import struct

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from local.labs.wire import Act, Head

MAX_BODY_BYTES = 64 * 1024 * 1024


class BreakableProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which also hands the transport to the application."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["state"]["transport"] = self.transport


class Connection:
    """One request on it: read once, then head, bytes and the end, or a failure."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._transport: asyncio.Transport = scope["state"]["transport"]

    async def read(self) -> bytes:
        """The request's body; what exceeds the limit is dropped, so that it will not parse."""
        body = bytearray()
        while True:
            message = await self._receive()
            if len(body) < MAX_BODY_BYTES:
                body += message.get("body", b"")
            if not message.get("more_body", False):
                return bytes(body)

    async def left(self) -> None:
        """Return when the client has closed the connection, or has the whole response."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def start(self, head: Head) -> None:
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in head.headers.items()]
        await self._send({"type": "http.response.start", "status": head.status, "headers": headers})

    async def send(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    def break_off(self, act: Act) -> None:
        """Close or reset the TCP connection, without the end that HTTP wants."""
        if act is Act.CUT:
            self._transport.close()
        elif act is Act.RESET:
            # To linger for no time means that the close is a reset.
            connection = self._transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
