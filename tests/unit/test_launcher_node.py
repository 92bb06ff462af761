"""Which Node the launcher starts."""

import importlib.util
from pathlib import Path

import pytest

from local.node import node_executable


def test_a_script_on_the_path_that_starts_node_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary, script = Path(node_executable()), tmp_path / "node"
    script.write_text(f'#!/bin/sh\n"{binary}" "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    node_executable.cache_clear()
    try:
        assert Path(node_executable()).samefile(binary)
    finally:
        node_executable.cache_clear()
