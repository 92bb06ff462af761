"""Wall-clock time, the one place where it is read."""

import time
from collections.abc import Callable

NowMs = Callable[[], int]


def wall_clock_ms() -> int:
    """Milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000
