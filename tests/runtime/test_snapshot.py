"""At deployment the platform imports the Worker once and keeps the memory, from which each isolate starts."""

import subprocess
from pathlib import Path

import pytest

from local.node import node_executable
from tests.runtime.edge_process import ROOT

pytestmark = pytest.mark.runtime

SCRIPT = Path(__file__).with_name("snapshot.mjs")


def take_snapshot(worker: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([node_executable(), str(SCRIPT), str(worker)], capture_output=True, text=True, check=False)


def test_a_snapshot_can_be_taken_of_the_imported_worker() -> None:
    taken = take_snapshot(ROOT / "worker")

    assert taken.returncode == 0, taken.stderr
    assert int(taken.stdout) > 0


def test_a_module_that_holds_an_object_of_the_engine_is_told(tmp_path: Path) -> None:
    (tmp_path / "entry.py").write_text("import js\nheld = js.Object.new()\n")
    taken = take_snapshot(tmp_path)

    assert taken.returncode == 1
    assert "serialize" in taken.stderr
