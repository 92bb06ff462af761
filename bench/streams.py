"""A client that times streams. It runs in a process of its own, so that its work delays nothing but its own reads.

Each event of the simulator has the time at which it was sent in it, by the clock that is read here too. So every event
has its own delay, and events that came in one read although they were sent apart have been merged on the way.
"""

import asyncio
import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import pairwise
from typing import cast
from urllib.parse import urlsplit

STAMP = re.compile(rb"t(\d{6,20})\.")
STAMP_MAX_BYTES = 24
BETWEEN_CHUNKS = re.compile(rb"\r\n[0-9a-fA-F]+\r\n")
END = b"\r\n0\r\n\r\n"
HTTP_PORT = 80
OK = b"HTTP/1.1 200"
DONE = b"[DONE]"
APART_NS = 1_000_000
"""Events that were sent further apart than this should not arrive in one read."""
STREAM_LIMIT_S = 900
"""LiteLLM takes four and a half minutes for the last of 100 streams of 5000 events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """What was seen of all streams. Delays are from sending an event to reading it.

    ``failed`` streams had another status, or ended without their last event; ``lost`` are events of the others that did
    not come.
    """

    streams: int
    failed: int
    lost: int
    first_event_p50_ms: float
    first_event_p99_ms: float
    delay_p50_ms: float
    delay_p99_ms: float
    merged_share: float
    seconds: float


async def time_streams(
    url: str, headers: Mapping[str, str], body: bytes, *, streams: int, at_once: int, events: int
) -> Timings:
    """Run the client and wait for what it says."""
    order = Order(url=url, headers=dict(headers), body=body.decode(), streams=streams, at_once=at_once, events=events)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.streams"), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate(json.dumps(asdict(order)).encode())
    return Timings(**json.loads(output))


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the client is to do: ``streams`` requests, ``at_once`` of them at a time, each for so many events."""

    url: str
    headers: Mapping[str, str]
    body: str
    streams: int
    at_once: int
    events: int


@dataclass(slots=True, kw_only=True)
class Tally:
    """What the streams of one run add to."""

    first_events_ms: list[float] = field(default_factory=list)
    delays_ms: list[float] = field(default_factory=list)
    merged: int = 0
    failed: int = 0
    lost: int = 0


class Stream(asyncio.Protocol):
    """One connection with one request. ``ended`` is done when its stream has ended, well or not."""

    def __init__(self, request: bytes, events: int, tally: Tally) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request
        self._events = events
        self._tally = tally
        self._sent_at_ns = 0
        self._seen = 0
        self._is_ok: bool | None = None
        self._is_done = False
        self._rest = self._last = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._sent_at_ns = time.monotonic_ns()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now_ns = time.monotonic_ns()
        text = self._rest + data
        if self._is_ok is None:
            self._is_ok = text.startswith(OK)
        self._last = (self._last + data)[-len(END) :]
        text = BETWEEN_CHUNKS.sub(b"", text)
        stamps = list(STAMP.finditer(text))
        self._note([int(stamp[1]) for stamp in stamps], now_ns)
        self._is_done = self._is_done or DONE in text
        if self._last == END:
            self._transport.close()
        # What may be cut is kept for the next read; a stamp that was whole is not.
        self._rest = text[max(stamps[-1].end() if stamps else 0, len(text) - STAMP_MAX_BYTES) :]

    def connection_lost(self, _error: Exception | None) -> None:
        if not self._is_ok or not self._is_done:
            self._tally.failed += 1
        else:
            self._tally.lost += self._events - self._seen
        self.ended.set_result(None)

    def _note(self, sent_ns: Sequence[int], now_ns: int) -> None:
        tally = self._tally
        if sent_ns and not self._seen:
            tally.first_events_ms.append((now_ns - self._sent_at_ns) / 1e6)
        self._seen += len(sent_ns)
        tally.delays_ms += [(now_ns - at_ns) / 1e6 for at_ns in sent_ns]
        tally.merged += sum(later - earlier > APART_NS for earlier, later in pairwise(sent_ns))


async def run(order: Order) -> Timings:
    parts = urlsplit(order.url)
    request = _request(parts.netloc, parts.path, order.headers, order.body.encode())
    tally, turn = Tally(), asyncio.Semaphore(order.at_once)

    async def ask() -> None:
        async with turn, asyncio.timeout(STREAM_LIMIT_S):
            loop = asyncio.get_running_loop()
            to_stream = partial(Stream, request, order.events, tally)
            _, stream = await loop.create_connection(to_stream, str(parts.hostname), parts.port or HTTP_PORT)
            await stream.ended

    began_s = time.monotonic()
    await asyncio.gather(*(ask() for _ in range(order.streams)))
    return _timings(tally, order.streams, time.monotonic() - began_s)


def _request(host: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    lines = [f"POST {path} HTTP/1.1", f"host: {host}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _timings(tally: Tally, streams: int, seconds: float) -> Timings:
    return Timings(
        streams=streams,
        failed=tally.failed,
        lost=tally.lost,
        first_event_p50_ms=percentile(tally.first_events_ms, 50),
        first_event_p99_ms=percentile(tally.first_events_ms, 99),
        delay_p50_ms=percentile(tally.delays_ms, 50),
        delay_p99_ms=percentile(tally.delays_ms, 99),
        merged_share=tally.merged / max(1, len(tally.delays_ms)),
        seconds=seconds,
    )


def percentile(values: Sequence[float], percent: int) -> float:
    """The value below which so many percent lie; NaN of none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(asyncio.run(run(Order(**json.load(sys.stdin)))))))
