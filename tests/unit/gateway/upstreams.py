"""Scripted providers: a reply is a list of what its body brings, piece by piece.

A piece is bytes, a pause, or the exception with which the body breaks.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.documents import PlainDocument, parse_document
from gateway.ports import (
    BodyTooLarge,
    Document,
    Edit,
    OpaqueBody,
    Relay,
    UpstreamCall,
    UpstreamFailed,
    UpstreamReply,
    UpstreamSilent,
)
from tests.unit.gateway.catalogues import NOW_MS


@dataclass(slots=True)
class BytesBody:
    """The Body port over bytes."""

    raw: bytes

    async def document(self, *, limit_bytes: int) -> tuple[Document, int]:
        return parse_document((await self.read(limit_bytes=limit_bytes)).decode("utf-8", "replace")), len(self.raw)

    async def read(self, *, limit_bytes: int) -> bytes:
        if len(self.raw) > limit_bytes:
            raise BodyTooLarge
        return self.raw


@dataclass(slots=True)
class Clock:
    """Moved by hand, and by the pauses of replies."""

    now_ms: int = NOW_MS

    def advance(self, ms: int) -> None:
        self.now_ms += ms

    def within(self, ms: int, timeout_ms: int) -> None:
        """Let ``ms`` pass, or only the timeout: then raises UpstreamSilent."""
        self.advance(min(ms, timeout_ms))
        if ms > timeout_ms:
            raise UpstreamSilent("silent")


@dataclass(frozen=True, slots=True)
class Pause:
    """Time that passes before the next piece."""

    ms: int


Piece = bytes | Pause | UpstreamFailed


@dataclass(slots=True, kw_only=True)
class Reply:
    """One scripted answer of a provider: its head after ``delay_ms``, then the pieces of its body."""

    pieces: Sequence[Piece] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_ms: int = 0
    closed: bool = False


def json_reply(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    headers = {"content-type": "application/json", **(headers or {})}
    return Reply(pieces=[json.dumps(value, ensure_ascii=False).encode()], status=status, headers=headers)


class ScriptedReply:
    """The UpstreamReply port over a Reply."""

    def __init__(self, reply: Reply, clock: Clock) -> None:
        self.status = reply.status
        self._reply = reply
        self._clock = clock
        self._pieces = list(reply.pieces)

    def header(self, name: str) -> str | None:
        return self._reply.headers.get(name)

    async def text(self, *, limit_bytes: int) -> str:
        return (await self._whole())[:limit_bytes].decode("utf-8", "replace")

    async def document(self) -> Document:
        return parse_document((await self._whole()).decode())

    async def read(self, *, timeout_ms: int) -> bytes | None:
        while self._pieces:
            match self._pieces.pop(0):
                case Pause(ms=ms):
                    self._clock.within(ms, timeout_ms)
                case bytes() as piece:
                    return piece
                case failure:
                    raise failure
        return None

    async def gather(self, *, idle_timeout_ms: int) -> bytes | None:
        return await self.read(timeout_ms=idle_timeout_ms)

    def relay(self, head: bytes, *, edit: Edit, idle_timeout_ms: int) -> Relay:
        return ScriptedRelay(self, head, edit, idle_timeout_ms)

    def close(self) -> None:
        self._reply.closed = True

    async def _whole(self) -> bytes:
        body = b""
        while (piece := await self.read(timeout_ms=10_000)) is not None:
            body += piece
        return body


class ScriptedRelay:
    """The Relay port: ``output`` is what the caller gets."""

    def __init__(self, reply: ScriptedReply, head: bytes, edit: Edit, idle_timeout_ms: int) -> None:
        self.body = OpaqueBody(self)
        self.output = edit.feed(head)
        self._reply = reply
        self._idle_timeout_ms = idle_timeout_ms
        self._edit = edit

    async def run(self) -> bool:
        silent = False
        try:
            while not self._edit.is_over and (piece := await self._reply.read(timeout_ms=self._idle_timeout_ms)):
                self.output += self._edit.feed(piece)
        except UpstreamSilent:
            silent = True
        except UpstreamFailed:
            pass
        self.output += self._edit.end(silent=silent)
        return True


class Upstream:
    """All providers: ``script`` holds each one's next replies, ``calls`` what each was sent, in order."""

    def __init__(self, clock: Clock) -> None:
        self.script: dict[str, list[Reply | UpstreamFailed]] = {}
        self.calls: list[tuple[str, UpstreamCall]] = []
        self._clock = clock

    def answer(self, provider: str, *replies: Reply | UpstreamFailed) -> None:
        self.script.setdefault(provider, []).extend(replies)

    def documents(self) -> list[dict[str, Any]]:
        return [call.document.values for _, call in self.calls if isinstance(call.document, PlainDocument)]

    def names(self) -> list[str]:
        return [provider for provider, _ in self.calls]

    async def send(self, call: UpstreamCall) -> UpstreamReply:
        provider = call.url.removeprefix("https://").partition(".")[0]
        self.calls.append((provider, call))
        reply = self.script[provider].pop(0)
        if isinstance(reply, UpstreamFailed):
            raise reply
        self._clock.within(reply.delay_ms, call.headers_timeout_ms)
        return ScriptedReply(reply, self._clock)
