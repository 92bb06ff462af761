"""The machine and the versions behind the figures."""

import json
import os
import platform
import re
import statistics
import subprocess
import timeit
import tomllib
from collections.abc import Collection
from importlib.metadata import version
from pathlib import Path

from bench.installs import PORTKEY_PACKAGE
from local.node import node_executable
from local.settings import ROOT

KIB_PER_GIB = 2**20
FROM_NPM = ("workerd", "miniflare", "pyodide")


def describe() -> dict[str, str]:
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{_memory_kib() // KIB_PER_GIB} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
    }


def yardstick_ms() -> float:
    """How long Python takes here to count to a million. What is measured in time alone is to be seen against it."""
    return statistics.median(timeit.repeat("for number in range(1_000_000): pass", number=1, repeat=9)) * 1000


def versions(*, written: Collection[Path]) -> dict[str, str]:
    """``written`` are the files that the benchmark itself changes."""
    return {
        "commit": _commit(written),
        "node": _said_by(node_executable(), "--version").removeprefix("v"),
        "python": platform.python_version(),
        "workers-runtime-sdk": version("workers-runtime-sdk"),
        **{name: _installed(name) for name in FROM_NPM},
        "litellm": _litellm(),
        "portkey": json.loads((PORTKEY_PACKAGE / "package.json").read_text())["dependencies"]["@portkey-ai/gateway"],
    }


def _commit(written: Collection[Path]) -> str:
    """With "-dirty" behind it where more has changed since than the files written here."""
    git = ("git", "-C", str(ROOT))
    besides = [f":(exclude){path.relative_to(ROOT)}" for path in written]
    changed = _said_by(*git, "status", "--porcelain", "--untracked-files=no", "--", ".", *besides)
    return _said_by(*git, "describe", "--always") + ("-dirty" if changed else "")


def _processor() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _memory_kib() -> int:
    found = re.search(r"^MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    return int(found[1]) if found else 0


def _installed(name: str) -> str:
    package: str = json.loads((ROOT / "node_modules" / name / "package.json").read_text())["version"]
    return package


def _litellm() -> str:
    project = tomllib.loads((ROOT / "bench" / "litellm" / "pyproject.toml").read_text())["project"]
    pinned: str = project["dependencies"][0]
    return pinned.partition("==")[2]


def _said_by(*command: str) -> str:
    """Empty where the command fails, such as git outside a clone."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
