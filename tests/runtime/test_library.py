"""The edge starts with Python's standard library as bytecode, compiled once from Pyodide's package."""

import json
import re
import zipfile
from pathlib import Path

import pytest

from tests.runtime.edge_process import ROOT

pytestmark = pytest.mark.runtime

PACKAGES = ROOT / "node_modules"


@pytest.mark.usefixtures("edge")
def test_each_file_of_the_library_is_there_and_each_module_as_bytecode() -> None:
    version = json.loads((PACKAGES / "pyodide/package.json").read_text())["version"]
    compiled = PACKAGES / ".cache/haotokai" / f"python_stdlib-{version}.zip"

    assert names(compiled) == [re.sub(r"\.py$", ".pyc", name) for name in names(PACKAGES / "pyodide/python_stdlib.zip")]


def names(file: Path) -> list[str]:
    with zipfile.ZipFile(file) as archive:
        return archive.namelist()
