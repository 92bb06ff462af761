"""Servers that are started for a run and put into a list of those to stop. What they print goes to files."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from local.processes import Child

HOST = "127.0.0.1"


async def start_child(
    children: list[Child], folder: Path, name: str, *command: str, environment: Mapping[str, str] | None = None
) -> Child:
    """One that says in a line when it is ready; its stderr goes to a file of its name in `folder`."""
    logged = _logged(folder / f"{name}.log", command, '2>>"$0"')
    children.append(child := await Child.start(name, *logged, environment=environment or {}))
    return child


async def start_silent_child(
    children: list[Child], folder: Path, name: str, *command: str, environment: Mapping[str, str] | None = None
) -> Child:
    """One that says nothing of use: all that it prints goes to the file."""
    logged = _logged(folder / f"{name}.log", command, '>>"$0" 2>&1')
    children.append(child := await Child.start(name, *logged, environment=environment or {}))
    return child


def _logged(log: Path, command: Sequence[str], redirection: str) -> tuple[str, ...]:
    # The shell makes way for the command, which keeps its process id.
    return ("sh", "-c", f'exec "$@" {redirection}', str(log), *command)
