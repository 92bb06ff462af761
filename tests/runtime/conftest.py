import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.runtime.edge_process import FIXTURE_PROJECT, EdgeProcess


@pytest.fixture(scope="session")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeProcess]:
    """The fixture project in a local edge that all tests share."""
    data = tmp_path_factory.mktemp("edge") / "data"
    with EdgeProcess(FIXTURE_PROJECT, data, bindings={"SECRET": "s", "ALARMS": "taken"}) as process:
        yield process


@pytest.fixture(scope="session")
def client(edge: EdgeProcess) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=edge.ready.edge_url, timeout=30) as client:
        yield client


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the fixture project that a test may change."""
    return shutil.copytree(FIXTURE_PROJECT, tmp_path / "project")
