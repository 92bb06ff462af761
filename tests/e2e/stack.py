"""The launcher as a child process: ``python -m local``, on free ports."""

import json
import os
import re
import subprocess
import sys
import threading
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue

ROOT = Path(__file__).parents[2]
READY_LIMIT_S = 90
STOP_LIMIT_S = 5
"""Within this the launcher promises to end all that it has started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A running stack: its addresses, the demo account, and what the launcher printed."""

    edge_url: str
    control_plane_url: str
    labs_url: str
    admin_token: str = field(repr=False)
    demo_account_id: str
    demo_api_key: str = field(repr=False)
    curl_line: str = field(repr=False)
    data: Path
    log: Path

    @property
    def base_url(self) -> str:
        """What an OpenAI client is given."""
        return f"{self.edge_url}/v1"


class Launcher:
    """Runs from construction to `stop`, with what a test puts into its environment."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self._data, self._log = folder / "data", folder / "log"
        # Nothing else is inherited: a provider's key in the environment would send the tests to the real provider.
        environment = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}
        environment |= {"HAOTOKAI_DATA": str(self._data), "EDGE_PORT": "0", "CONTROL_PLANE_PORT": "0"} | settings
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "local"],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._lines: Queue[str] = Queue()
        self._reader = threading.Thread(target=self._read_lines, daemon=True)
        self._reader.start()

    def ready(self) -> Stack:
        """The stack, as soon as the launcher says that it is ready."""
        ready_line, curl_line = self._next_line(), self._next_line()
        assert ready_line.startswith("ready"), f"{ready_line}\n{self._tail()}"
        demo = json.loads((self._data / "demo.json").read_text())
        return Stack(
            edge_url=demo["edge_url"],
            control_plane_url=demo["control_plane_url"],
            labs_url=self._labs_url(),
            admin_token=demo["admin_token"],
            demo_account_id=demo["account_id"],
            demo_api_key=demo["api_key"],
            curl_line=curl_line,
            data=self._data,
            log=self._log,
        )

    def stop(self) -> int:
        """Ends it with SIGTERM; its exit status. Raises subprocess.TimeoutExpired where that takes too long."""
        self._process.terminate()
        try:
            return self._process.wait(timeout=STOP_LIMIT_S)
        finally:
            self._process.kill()
            self._reader.join()

    def _next_line(self) -> str:
        line = self._lines.get(timeout=READY_LIMIT_S)
        assert line, f"the launcher ended:\n{self._tail()}"
        return line.rstrip("\n")

    def _read_lines(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._lines.put(line)
        self._lines.put("")

    def _labs_url(self) -> str:
        said = re.search(r"^labs ready after .* s: (\{.*\})$", self._log.read_text(), re.MULTILINE)
        assert said is not None, self._tail()
        base_urls: dict[str, str] = json.loads(said[1])["base_urls"]
        return base_urls["DEEPSEEK_BASE_URL"].removesuffix("/deepseek")

    def _tail(self) -> str:
        with self._log.open() as log:
            return "".join(deque(log, maxlen=30))
