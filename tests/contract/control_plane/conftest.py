"""Fixtures of the control plane's API tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.control_plane.world import World, running


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A running control plane with nothing in it."""
    async with running(tmp_path) as world:
        yield world
