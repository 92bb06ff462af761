"""Where events end, at every cut of the bytes, and what one says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sse import MAX_EVENT_BYTES, Event, EventTooLarge, Splitter, data_event, last_boundary, parse_event
from tests.unit.gateway.examples import examples
from tests.unit.gateway.shapes import SHAPES, Shape
from tests.unit.gateway.slow import data_of

MODEST = examples(100)

shapes = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)


def split(*pieces: bytes) -> tuple[list[bytes], bytes]:
    splitter = Splitter()
    events = [event for piece in pieces for event in splitter.feed(piece)]
    return events, bytes(splitter.rest)


@shapes
def test_a_stream_splits_into_the_same_events_wherever_it_is_cut(shape: Shape) -> None:
    whole = split(shape.wire)

    assert all(
        split(shape.wire[:cut], shape.wire[cut:]) == whole
        and split(shape.wire[:cut], b"", shape.wire[cut : cut + 1], shape.wire[cut + 1 :]) == whole
        for cut in range(len(shape.wire))
    )


@shapes
def test_a_stream_that_comes_byte_by_byte_splits_into_the_same_events(shape: Shape) -> None:
    assert split(*(bytes([byte]) for byte in shape.wire)) == split(shape.wire)


@shapes
def test_no_byte_of_a_stream_is_lost(shape: Shape) -> None:
    events, rest = split(shape.wire)

    assert b"".join(events) + rest == shape.wire


@shapes
def test_the_events_say_what_a_slow_reader_reads(shape: Shape) -> None:
    events, rest = split(shape.wire)

    said = [parse_event(raw).data for raw in (*events, rest)]

    assert [data for data in said if data is not None] == data_of(shape.wire)


@MODEST
@given(
    st.lists(
        st.sampled_from([b"data: a", b"data:b", b": c", b"\n", b"\r\n", b"\n\n", b"\r\n\r\n", b"\n\r\n", b"\r"])
    ).map(b"".join),
    st.data(),
)
def test_any_mix_of_line_ends_splits_the_same_in_any_pieces(wire: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=5)))
    pieces = [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]

    events, rest = split(*pieces)

    assert (events, rest) == split(wire)
    assert last_boundary(wire) >= len(wire) - len(rest)
    assert not wire[len(wire) - len(rest) : last_boundary(wire)].strip()


def test_an_event_may_be_as_long_as_the_limit_and_no_longer() -> None:
    at_the_limit = Splitter()

    at_the_limit.feed(b"x" * MAX_EVENT_BYTES)

    with pytest.raises(EventTooLarge):
        at_the_limit.feed(b"x")


@pytest.mark.parametrize(
    ("raw", "event"),
    [
        (b"data: a\n\n", Event(name=None, data="a")),
        (b"data:a\r\n\r\n", Event(name=None, data="a")),
        (b"data:  a\n\n", Event(name=None, data=" a")),
        (b"data: a\ndata: b\n\n", Event(name=None, data="a\nb")),
        (b"data\n\n", Event(name=None, data="")),
        (b": keep-alive\n\n", Event(name=None, data=None)),
        (b"id:1\nevent:error\n:HTTP_STATUS/400\ndata:{}\n\n", Event(name="error", data="{}")),
        (b"data: \xff\n\n", Event(name=None, data="\ufffd")),
        (b"\n\n", Event(name=None, data=None)),
    ],
)
def test_an_event_says_its_name_and_its_data(raw: bytes, event: Event) -> None:
    assert parse_event(raw) == event


def test_an_event_that_we_write_is_read_back() -> None:
    assert split(data_event('{"a":"\u4f60"}')) == ([b'data: {"a":"\xe4\xbd\xa0"}\n\n'], b"")
