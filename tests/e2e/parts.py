"""A stack whose parts are started one by one, so that a test may kill one of them and start it again."""

import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2

from local.demo import Demo, ensure_demo
from local.node import node_executable
from local.processes import Child, stop
from local.settings import ROOT, Settings

LABS = (sys.executable, "-m", "local.labs")
EDGE = (node_executable(), str(ROOT / "local" / "edge" / "main.mjs"), str(ROOT / "wrangler.toml"))
CONTROL_PLANE = (sys.executable, "-m", "control_plane")


class Parts:
    """Labs, edge and control plane on free ports, as the launcher wires them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._running: dict[str, Child] = {}
        self._lab_urls: dict[str, str] = {}

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, data: Path) -> "AsyncIterator[Parts]":
        environment = {"HAOTOKAI_DATA": str(data), "EDGE_PORT": "0", "CONTROL_PLANE_PORT": "0"}
        parts = cls(Settings.from_environment(environment))
        try:
            await parts._start_all()
            yield parts
        finally:
            await stop(parts._running.values())

    async def demo(self) -> Demo:
        """The demo account, which is ready to be served."""
        async with httpx2.AsyncClient(timeout=15) as client:
            return await ensure_demo(
                client,
                self._settings.data / "demo.json",
                edge_url=self._settings.edge_url,
                control_plane_url=self._settings.control_plane_url,
                admin_token=self._settings.secrets.admin_token,
            )

    async def start_control_plane(self) -> None:
        """Starts it, for the first time or again on the same port and database."""
        own = self._settings.control_plane_environment(self._lab_urls)
        database = f"sqlite:///{self._settings.data / 'control-plane.sqlite3'}"
        child = await Child.start("control plane", *CONTROL_PLANE, environment=own | {"DATABASE_URL": database})
        self._running["control plane"] = child
        await child.ready()

    async def kill_control_plane(self) -> None:
        """Ends it with SIGKILL, whatever it is at."""
        child = self._running.pop("control plane")
        child.signal(signal.SIGKILL)
        await child.ended()

    async def _start_all(self) -> None:
        labs = await Child.start("labs", *LABS, environment={})
        edge = await Child.start("edge", *EDGE, environment=self._settings.edge_environment())
        self._running |= {"labs": labs, "edge": edge}
        self._lab_urls = (await labs.ready())["base_urls"]
        await self.start_control_plane()
        await edge.ready()
