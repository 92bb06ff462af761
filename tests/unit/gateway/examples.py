"""How many examples a property is tried with."""

import sys
from typing import Any

from hypothesis import settings

SHARE_IN_WORKERD = 10
"""There one in so many: the search is for CPython, where an example takes little time."""


def examples(count: int, **options: Any) -> settings:
    """Hypothesis's settings for a property that is tried with ``count`` examples, the same in each run."""
    share = SHARE_IN_WORKERD if sys.platform == "emscripten" else 1
    return settings(derandomize=True, deadline=None, max_examples=max(1, count // share), **options)
