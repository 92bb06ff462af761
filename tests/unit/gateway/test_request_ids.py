"""The ids of requests: UUIDs whose order is that of time."""

import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.request_ids import RANDOM_BYTES, make_request_id

TIMES = st.integers(min_value=0, max_value=2**48 - 1)
RANDOMNESS = st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES)


@given(TIMES, RANDOMNESS)
def test_an_id_is_a_uuid_of_version_7_with_its_time(at_ms: int, randomness: bytes) -> None:
    request_id = make_request_id(at_ms, randomness)

    assert re.fullmatch("req_[0-9a-f]{32}", request_id)
    made = uuid.UUID(request_id.removeprefix("req_"))
    assert (made.version, made.variant, made.int >> 80) == (7, uuid.RFC_4122, at_ms)


@given(TIMES, TIMES, RANDOMNESS, RANDOMNESS)
def test_what_came_later_stands_later(one_ms: int, other_ms: int, one: bytes, other: bytes) -> None:
    if one_ms != other_ms:
        assert (make_request_id(one_ms, one) < make_request_id(other_ms, other)) == (one_ms < other_ms)


def test_all_but_six_bits_of_the_randomness_are_in_it() -> None:
    made = {make_request_id(1, (1 << bit).to_bytes(RANDOM_BYTES, "big")) for bit in range(8 * RANDOM_BYTES)}

    assert len(made) == 8 * RANDOM_BYTES - 6 + 1


def test_other_than_ten_random_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="10 random bytes"):
        make_request_id(1, bytes(16))
