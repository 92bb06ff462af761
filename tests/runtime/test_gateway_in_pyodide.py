"""The gateway's unit tests pass inside workerd too, in the Python that the Worker runs in."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.runtime.edge_process import ROOT, EdgeProcess

pytestmark = pytest.mark.runtime

PROJECT = Path(__file__).parent / "pyodide_project"
TESTS = "tests/unit/gateway"
PYTEST_AND_ITS_NEEDS = ["pytest", "pluggy", "iniconfig", "packaging", "pygments", "hypothesis", "sortedcontainers"]
RUN_LIMIT_S = 300


def test_the_gateway_s_tests_pass_in_workerd_and_are_the_same_as_in_cpython(tmp_path: Path) -> None:
    project = shutil.copytree(PROJECT, tmp_path / "project")
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "worker" / "gateway", project / "worker" / "gateway", ignore=ignore)
    shutil.copytree(ROOT / TESTS, project / "worker" / TESTS, ignore=ignore)
    for distribution in PYTEST_AND_ITS_NEEDS:
        vendor(distribution, project / "python_modules")

    with EdgeProcess(project, tmp_path / "data") as edge:
        report = httpx2.post(edge.ready.edge_url, content=TESTS, timeout=RUN_LIMIT_S).json()

    assert report["status"] == 0, report["output"]
    assert set(report["outcomes"].values()) == {"passed"}
    assert sorted(report["outcomes"]) == collected_by_cpython()


def vendor(distribution: str, target: Path) -> None:
    """Copies an installed distribution, its metadata included, as pywrangler would."""
    for file in importlib.metadata.files(distribution) or []:
        if ".." not in file.parts and file.suffix not in {".pyc", ".so"}:
            destination = target / file
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(file.locate()), destination)


def collected_by_cpython() -> list[str]:
    collect = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", TESTS]
    # Options of who runs these tests might print the names in another way.
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    output = subprocess.run(collect, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    return sorted(line for line in output.splitlines() if "::" in line)
