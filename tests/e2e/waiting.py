"""Await what another process does."""

import time
from collections.abc import Callable
from typing import TypeVar

INTERVAL_S = 0.05
LIMIT_S = 60

T = TypeVar("T")


def eventually(read: Callable[[], T], accept: Callable[[T], bool], *, limit_s: float = LIMIT_S) -> T:
    """Reads until the value is accepted; the limit only ends a test that would fail anyway."""
    deadline = time.monotonic() + limit_s
    while not accept(value := read()):
        assert time.monotonic() < deadline, f"still {value!r}"
        time.sleep(INTERVAL_S)
    return value
