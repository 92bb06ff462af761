"""A stack whose parts are started one by one, so that a test may kill one of them and start it again."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
from pydantic import SecretStr

from control_plane.cloudflare import CloudflareKV
from local.demo import Demo, ensure_demo
from local.node import node_executable
from local.processes import Child, stop
from local.settings import ROOT, Settings
from tests.e2e.admin import Admin
from tests.e2e.internal import Internal

LABS = (sys.executable, "-m", "local.labs")
EDGE = (node_executable(), str(ROOT / "local" / "edge" / "main.mjs"))
WRANGLER = ROOT / "wrangler.toml"
CONTROL_PLANE = (sys.executable, "-m", "control_plane")


class Parts:
    """Labs, edge and control plane on free ports, as the launcher wires them.

    The edge may have a wrangler.toml of the test's own, and the control plane further settings.
    """

    def __init__(self, settings: Settings, *, wrangler: Path, control_plane_settings: dict[str, str]) -> None:
        self._settings = settings
        self._wrangler = wrangler
        self._control_plane_settings = control_plane_settings
        self._running: dict[str, Child] = {}
        self._lab_urls: dict[str, str] = {}

    @classmethod
    @contextlib.asynccontextmanager
    async def running(
        cls, data: Path, *, wrangler: Path = WRANGLER, settings: Mapping[str, str] | None = None
    ) -> "AsyncIterator[Parts]":
        own = dict(settings or {})
        environment = {"HAOTOKAI_DATA": str(data), "EDGE_PORT": "0", "CONTROL_PLANE_PORT": "0", **own}
        parts = cls(Settings.from_environment(environment), wrangler=wrangler, control_plane_settings=own)
        try:
            await parts._start_all()
            yield parts
        finally:
            await stop(parts._running.values())

    @property
    def edge_url(self) -> str:
        return self._settings.edge_url

    @property
    def database(self) -> Path:
        """The control plane's, in SQLite."""
        return self._settings.data / "control-plane.sqlite3"

    def admin(self) -> Admin:
        return Admin(self._settings.control_plane_url, self._settings.secrets.admin_token)

    def internal(self) -> Internal:
        settings = self._settings
        return Internal(edge_url=settings.edge_url, control_plane_url=settings.control_plane_url, data=settings.data)

    async def kv_names(self, prefix: str) -> list[str]:
        """The names in KV that begin so."""
        environment = self._settings.control_plane_environment({})
        kv = CloudflareKV(
            base_url=environment["CLOUDFLARE_BASE_URL"],
            account_id=environment["CLOUDFLARE_ACCOUNT_ID"],
            namespace_id=environment["CLOUDFLARE_KV_NAMESPACE_ID"],
            api_token=SecretStr(environment["CLOUDFLARE_API_TOKEN"]),
        )
        try:
            return [name async for name in kv.list_keys(prefix)]
        finally:
            await kv.close()

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
        own = self._settings.control_plane_environment(self._lab_urls) | self._control_plane_settings
        environment = own | {"DATABASE_URL": f"sqlite:///{self.database}"}
        await self._start("control plane", *CONTROL_PLANE, environment=environment)

    async def start_edge(self) -> None:
        """Starts it, for the first time or again on the same port and storage."""
        await self._start("edge", *EDGE, str(self._wrangler), environment=self._settings.edge_environment())

    async def kill_control_plane(self) -> None:
        """Ends it with SIGKILL, whatever it is at."""
        await self._kill("control plane")

    async def kill_edge(self) -> None:
        """Ends it with SIGKILL, whatever it is at: the launcher of workerd, and workerd."""
        await self._kill("edge")

    async def _start_all(self) -> None:
        self._lab_urls = (await self._start("labs", *LABS, environment={}))["base_urls"]
        async with asyncio.TaskGroup() as starting:
            starting.create_task(self.start_edge())
            starting.create_task(self.start_control_plane())

    async def _start(self, name: str, *command: str, environment: dict[str, str]) -> dict[str, Any]:
        child = self._running[name] = await Child.start(name, *command, environment=environment)
        return await child.ready()

    async def _kill(self, name: str) -> None:
        child = self._running.pop(name)
        child.signal(signal.SIGKILL)
        await child.ended()
