import asyncio
import time
from collections.abc import Iterable, Sequence

import pytest

from bench.streams import Stream, Tally

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
MS = 1_000_000


def chunk(text: str) -> bytes:
    return f"{len(text):x}\r\n{text}\r\n".encode()


def stamped(sent_ns: int) -> str:
    return f'data: {{"content":"t{sent_ns}."}}\n\n'


def whole(sent_ns: Iterable[int]) -> bytes:
    chunks = [chunk(stamped(at_ns)) for at_ns in sent_ns]
    return HEAD + b"".join([*chunks, chunk("data: [DONE]\n\n"), b"0\r\n\r\n"])


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.closed = False

    def write(self, data: object) -> None:
        """Goes nowhere."""

    def close(self) -> None:
        self.closed = True


async def read(pieces: Sequence[bytes], *, events: int) -> tuple[Tally, Transport]:
    tally, transport = Tally(), Transport()
    stream = Stream(b"", events, tally)
    stream.connection_made(transport)
    for piece in pieces:
        stream.data_received(piece)
    stream.connection_lost(None)
    return tally, transport


async def test_every_event_is_seen_wherever_the_stream_is_cut() -> None:
    now_ns = time.monotonic_ns()
    stream = whole([now_ns, now_ns + MS // 2])
    for at in range(len(HEAD), len(stream)):
        tally, transport = await read([stream[:at], stream[at:]], events=2)

        assert (tally.failed, tally.lost, len(tally.delays_ms)) == (0, 0, 2), at
        assert transport.closed, at


async def test_an_event_that_is_cut_between_two_chunks_is_seen() -> None:
    text = stamped(time.monotonic_ns())
    stream = HEAD + chunk(text[:20]) + chunk(text[20:]) + chunk("data: [DONE]\n\n") + b"0\r\n\r\n"
    tally, _ = await read([stream], events=1)

    assert (tally.lost, len(tally.delays_ms)) == (0, 1)


@pytest.mark.parametrize(("apart_ns", "merged"), [(MS, 0), (MS + 1, 1)])
async def test_events_of_one_read_are_merged_when_they_were_sent_apart(apart_ns: int, merged: int) -> None:
    now_ns = time.monotonic_ns()
    tally, _ = await read([whole([now_ns, now_ns + apart_ns])], events=2)

    assert tally.merged == merged


async def test_a_stream_without_its_end_has_failed() -> None:
    tally, _ = await read([whole([time.monotonic_ns()]).partition(b"data: [DONE]")[0]], events=1)

    assert tally.failed == 1


async def test_an_event_that_does_not_come_is_lost() -> None:
    tally, _ = await read([whole([time.monotonic_ns()])], events=3)

    assert (tally.failed, tally.lost) == (0, 2)
