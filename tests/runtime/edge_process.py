"""A local edge as a child process, for tests."""

import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx2

from local.node import node_executable

ROOT = Path(__file__).parents[2]
MAIN = ROOT / "local" / "edge" / "main.mjs"
FIXTURE_PROJECT = Path(__file__).parent / "fixture_project"
READY_LIMIT_S = 60
STOP_LIMIT_S = 10

ACCOUNT_ID = "account-of-the-tests"
API_TOKEN = "token-of-the-tests"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What the edge says when it is ready, and again after each reload."""

    edge_url: str
    cloudflare_url: str
    scheduled_url: str


class EdgeProcess:
    """Runs from construction to `stop` or `kill`, on free ports, with its state under `data`."""

    def __init__(
        self, project: Path, data: Path, *, bindings: dict[str, str] | None = None, **environment: str
    ) -> None:
        self._log_path = data.parent / f"{data.name}.log"
        own = {
            "EDGE_PORT": "0",
            "HAOTOKAI_DATA": str(data),
            "EDGE_BINDINGS": json.dumps(bindings or {}),
            "CLOUDFLARE_ACCOUNT_ID": ACCOUNT_ID,
            "CLOUDFLARE_API_TOKEN": API_TOKEN,
        }
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [node_executable(), str(MAIN), str(project / "wrangler.toml")],
                env=os.environ | own | environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read_lines, daemon=True).start()
        try:
            self.ready = self.next_ready()
        except BaseException:
            self.kill()
            raise

    def get(self, path: str) -> httpx2.Response:
        """One request on a connection of its own, which no reload can cut."""
        return httpx2.get(self.ready.edge_url + path, timeout=30)

    def next_ready(self) -> Ready:
        """Waits for the next ready line, which comes at start-up and after each reload."""
        line = self._lines.get(timeout=READY_LIMIT_S)
        assert line is not None, f"the edge ended: {self.log()}"
        document = json.loads(line)
        assert document.pop("event") == "ready"
        return Ready(**document)

    def log(self) -> str:
        return self._log_path.read_text()

    def stop(self) -> int:
        """Ends it with SIGTERM; its exit status."""
        self._process.terminate()
        return self._process.wait(timeout=STOP_LIMIT_S)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> "EdgeProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _read_lines(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._process.stdout.close()
        self._lines.put(None)


def eventually(read: Callable[[], Any], *, becomes: Any, limit_s: float = 30) -> None:
    """Asks until the answer is the one awaited; the limit only ends a test that would fail anyway."""
    deadline = time.monotonic() + limit_s
    while (seen := read()) != becomes:
        assert time.monotonic() < deadline, f"still {seen!r}"
        time.sleep(0.05)
