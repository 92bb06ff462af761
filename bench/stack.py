"""The product as `make run` starts it, with the simulator as its provider: the edge and the control plane."""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from bench.children import start_child
from local.demo import Demo, ensure_demo
from local.node import node_executable
from local.processes import Child
from local.settings import ROOT, Settings

MODEL = "bench"
CREDIT_USD = "100000.00"
CALL_LIMIT_S = 30

# One provider with one model, at prices that a million requests cannot use up.
CATALOGUE = f"""
[providers.deepseek]
dialect = "deepseek"
base_url = "%s"
api_key_env = "DEEPSEEK_API_KEY"
[models."{MODEL}"]
context_length = 10000000
max_output_tokens = 8192
[[models."{MODEL}".targets]]
provider = "deepseek"
model = "deepseek-flash"
inject = {{ thinking = {{ type = "disabled" }} }}
[[models."{MODEL}".prices]]
effective_from = 2026-01-01
input = "0.01"
cached_input = "0.001"
output = "0.02"
source = "https://lab.example/prices"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A running edge and control plane, and an account with one key and plenty of credit.

    ``edge_start_s`` is how long it took from the start of the edge's process until it took requests.
    """

    edge_url: str
    control_plane_url: str
    account_id: str
    api_key: str = field(repr=False)
    internal_secret: str = field(repr=False)
    admin_token: str = field(repr=False)
    edge_pid: int
    edge_start_s: float
    control_plane_pid: int


async def start(children: list[Child], folder: Path, upstream_url: str) -> Stack:
    """Each started child is put into `children`; what they keep and say goes into `folder`."""
    settings = _settings(folder, upstream_url)
    command = edge_command(ROOT / "wrangler.toml")
    began_s = time.monotonic()
    edge = await start_child(children, folder, "edge", *command, environment=settings.edge_environment())
    await edge.ready()
    edge_start_s = time.monotonic() - began_s
    environment = settings.control_plane_environment({}) | {"DEEPSEEK_BASE_URL": upstream_url}
    command = (sys.executable, "-m", "control_plane")
    control_plane = await start_child(children, folder, "control plane", *command, environment=environment)
    await control_plane.ready()
    demo = await _funded_account(settings)
    return Stack(
        edge_url=settings.edge_url,
        control_plane_url=settings.control_plane_url,
        account_id=demo.account_id,
        api_key=demo.api_key,
        internal_secret=settings.secrets.internal_secret,
        admin_token=settings.secrets.admin_token,
        edge_pid=edge.group,
        edge_start_s=edge_start_s,
        control_plane_pid=control_plane.group,
    )


def edge_command(project: Path) -> tuple[str, ...]:
    """The local edge, for the Worker of a wrangler.toml."""
    return node_executable(), str(ROOT / "local" / "edge" / "main.mjs"), str(project)


def edge_environment(folder: Path, bindings: Mapping[str, str]) -> dict[str, str]:
    """For a Worker that needs nothing but these bindings."""
    settings = Settings.from_environment({"HAOTOKAI_DATA": str(folder / "data"), "EDGE_PORT": "0"})
    return settings.edge_environment() | {"EDGE_BINDINGS": json.dumps(bindings)}


def _settings(folder: Path, upstream_url: str) -> Settings:
    """Nothing is inherited, so no real provider is called."""
    catalogue = folder / "catalogue.toml"
    catalogue.write_text(CATALOGUE % upstream_url)
    environment = {"HAOTOKAI_DATA": str(folder / "data"), "HAOTOKAI_CATALOGUE": str(catalogue)}
    return Settings.from_environment(environment | {"EDGE_PORT": "0", "CONTROL_PLANE_PORT": "0"})


async def _funded_account(settings: Settings) -> Demo:
    async with httpx2.AsyncClient(timeout=CALL_LIMIT_S) as client:
        demo = await ensure_demo(
            client,
            settings.data / "demo.json",
            edge_url=settings.edge_url,
            control_plane_url=settings.control_plane_url,
            admin_token=settings.secrets.admin_token,
        )
        answer = await client.post(
            f"{demo.control_plane_url}/admin/v1/accounts/{demo.account_id}/credits",
            json={"amount_usd": CREDIT_USD, "reference": "bench"},
            headers={"authorization": f"Bearer {demo.admin_token}"},
        )
        answer.raise_for_status()
    return demo
