"""How a provider's stream is read where nobody waits for each piece of it."""

import asyncio
from collections.abc import Callable
from typing import Any

import js
from pyodide.ffi import JsProxy

from deadline import Deadline
from gateway.ports import UpstreamFailed
from webapi import is_object, now_ms, options

WAKES_PER_S = 2

GATHERED_BYTES = 4 * 1024
"""The most that gathers before Python wakes: about a dozen events. What gathers is not seen, so a stream that brings
less within the idle limit, having been fast before, counts as silent."""

COPIED_BYTES = 4 * 1024
"""The most that is read of a copy at once. Where less is there, it is left alone for a while."""

MAX_WAITING_BYTES = 64 * 1024
"""How much of a copy waits for a slow caller before the provider waits."""


class Gatherer:
    """Reads a stream in pieces as large as come in half a second, so that a long one wakes Python seldom."""

    def __init__(self, stream: JsProxy, deadline: Deadline) -> None:
        self._reader = _BufferedReader(stream, deadline, most_bytes=8 * GATHERED_BYTES)
        self._at_least = 1

    async def read(self, *, idle_timeout_ms: int) -> bytes | None:
        """The next piece, None at the end; raises as ``Deadline.wait`` does."""
        began_ms = now_ms()
        piece = await self._reader.read(at_least=self._at_least, idle_timeout_ms=idle_timeout_ms)
        rate = len(piece) * 1000 // max(1, now_ms() - began_ms)
        self._at_least = max(1, min(GATHERED_BYTES, rate // WAKES_PER_S))
        return piece or None


class StreamCopy:
    """A stream once more, of which as much is kept as has not passed on its other way.

    It is read a few times a second, and not at all while a slow caller keeps that way back; so it tells a provider's
    silence from a caller's.
    """

    def __init__(self, stream: JsProxy, deadline: Deadline, *, behind_bytes: int, idle_timeout_ms: int) -> None:
        """The other way has ``behind_bytes`` to bring first that are not in the copy."""
        self._reader = _BufferedReader(stream, deadline, most_bytes=COPIED_BYTES)
        self._idle_timeout_ms = idle_timeout_ms
        self._kept = b""
        self._taker: Callable[[bytes], Any] | None = None
        self.passed_bytes = -behind_bytes
        """How much has passed on the other way and is still kept here, or not read yet."""

    def divert(self, taker: Callable[[bytes], Any]) -> None:
        """Nothing passes on the other way any more: what has not is for ``taker``, as fast as it comes."""
        self._taker = taker
        self._hand_over()

    async def read(self) -> None:
        """To the end of the stream, whatever ends it; silence drops the connection."""
        while True:
            await asyncio.sleep(1 / WAKES_PER_S)
            self._hand_over()
            while len(self._kept) < MAX_WAITING_BYTES:
                try:
                    piece = await self._reader.read(at_least=1, idle_timeout_ms=self._idle_timeout_ms)
                except UpstreamFailed:
                    return
                if not piece:
                    return
                self._kept += piece
                self._hand_over()
                if len(piece) < COPIED_BYTES and self._taker is None:
                    break

    def _hand_over(self) -> None:
        """Keep no more than has to be kept."""
        passed = max(0, min(self.passed_bytes, len(self._kept)))
        self.passed_bytes -= passed
        self._kept = self._kept[passed:]
        if self._taker is not None and self._kept:
            self._taker(self._kept)
            self._kept = b""


class _BufferedReader:
    """Reads a stream into the same buffer again and again."""

    def __init__(self, stream: JsProxy, deadline: Deadline, *, most_bytes: int) -> None:
        self._reader = stream.getReader(options(mode="byob"))
        self._deadline = deadline
        self._buffer = js.Uint8Array.new(most_bytes)

    async def read(self, *, at_least: int, idle_timeout_ms: int) -> bytes:
        """What comes next, nothing at the end; raises as ``Deadline.wait`` does."""
        piece = await self._deadline.wait(self._reader.readAtLeast(at_least, self._buffer), idle_timeout_ms)
        if not is_object(piece.value) or not piece.value.length:
            return b""
        read: bytes = piece.value.to_bytes()
        self._buffer = js.Uint8Array.new(piece.value.buffer)
        return read
