"""The ids of requests, which are UUIDs of version 7 (RFC 9562): the time comes first.

So the rows of requests that are booked together lie together in every index, where random ids would have a page of each
read and written again for nearly every row.
"""

RANDOM_BYTES = 10

_VERSION, _VARIANT = 0x7 << 76, 0b10 << 62
_KEPT = ~(0xF << 76 | 0b11 << 62)


def make_request_id(at_ms: int, randomness: bytes) -> str:
    """Such as ``req_0199b1c2d3e47…``: 32 hexadecimal digits, of which 74 bits are of the 10 random bytes."""
    if len(randomness) != RANDOM_BYTES:
        raise ValueError(f"an id is made of {RANDOM_BYTES} random bytes")
    number = at_ms << 80 | int.from_bytes(randomness, "big")
    return f"req_{number & _KEPT | _VERSION | _VARIANT:032x}"
