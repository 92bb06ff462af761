"""Fixtures of the projector's tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.control_plane.bench import Bench, open_bench


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A projector with nothing to do, on a database of its own."""
    async with open_bench(tmp_path / "outbox.sqlite3") as bench:
        yield bench
