"""Child processes that say when they are ready, and that end when the launcher does."""

import asyncio
import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any, cast

READY_LIMIT_S = 60
STOP_LIMIT_S = 3.5
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class ChildEnded(Exception):
    """A child ended that should have gone on."""

    def __init__(self, name: str, status: int | None) -> None:
        super().__init__(f"{name} ended with status {status}")


class Child:
    """One running child. Its stderr is the launcher's; of its stdout one JSON line is read, the one that says ready."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self._process = process
        self._stdout = cast(asyncio.StreamReader, process.stdout)  # it is a pipe
        self._started_at_s = time.monotonic()

    @classmethod
    async def start(cls, name: str, *command: str, environment: Mapping[str, str]) -> "Child":
        """Starts it in a process group of its own: Ctrl-C reaches the launcher alone, and that ends the children."""
        process = await asyncio.create_subprocess_exec(
            *command,
            env=os.environ | environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            process_group=0,
            preexec_fn=_end_with_parent if _libc else None,
        )
        return cls(name, process)

    async def ready(self) -> dict[str, Any]:
        """What its ready line says. Raises ChildEnded or TimeoutError."""
        async with asyncio.timeout(READY_LIMIT_S):
            line = await self._stdout.readline()
        if not line:
            raise ChildEnded(self.name, await self._process.wait())
        seconds = time.monotonic() - self._started_at_s
        print(f"{self.name} ready after {seconds:.1f} s: {line.decode().strip()}", file=sys.stderr, flush=True)
        said: dict[str, Any] = json.loads(line)
        return said

    async def run(self) -> None:
        """Reads on what it prints (the edge says ready again after a reload); raises ChildEnded when it ends."""
        async for line in self._stdout:
            sys.stderr.write(f"{self.name}: {line.decode()}")
        raise ChildEnded(self.name, await self._process.wait())

    @property
    def group(self) -> int:
        """The process group of it and of what it starts."""
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """To the whole group, even where the child is gone and only children of its own are left."""
        try:
            os.killpg(self.group, number)
        except ProcessLookupError:
            return

    async def ended(self) -> None:
        await self._process.wait()


async def stop(children: Iterable[Child]) -> None:
    """Asks all to end, and after a while ends them."""
    children = list(children)
    for child in children:
        child.signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_LIMIT_S):
            await asyncio.gather(*(child.ended() for child in children))
    except TimeoutError:
        print("some processes had to be killed", file=sys.stderr)
    finally:
        for child in children:
            child.signal(signal.SIGKILL)


def _end_with_parent() -> None:
    """Has the kernel send SIGTERM when the launcher dies, however it dies."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
