"""What is measured side by side: each peer is a running server that leads to the same simulated provider."""

import asyncio
import contextlib
import json
import shutil
import tempfile
import time
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx2

from bench import installs, stack
from bench.children import HOST, start_child, start_silent_child
from bench.process_stats import family, name_of
from local.node import node_executable
from local.processes import Child, stop
from local.settings import ROOT, free_port

BENCH = Path(__file__).parent

UPSTREAM = "upstream"
PASS_THROUGH = "pass-through"
REWRITING = "rewriting"
METERING = "metering"
GUARDING = "guarding"
RELAYING = "relaying"
GATEWAY = "haotokai"
LITELLM = "litellm"
PORTKEY = "portkey"

SHOWN = (UPSTREAM, PASS_THROUGH, METERING, GATEWAY, LITELLM, PORTKEY)
"""In the order of the README's table."""

MEMORY = Path("/dev/shm")  # noqa: S108 (a folder of our own is made inside)
LITELLM_KEY = "sk-bench"
START_LIMIT_S = 120
POLL_S = 0.2
FILLER = "Tell me more about it. "


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """``serving`` are the processes whose CPU and memory are the peer's; ``beside`` only started and watch them.

    ``start_s`` is how long it took from the start of its process until it took requests.
    """

    name: str
    url: str
    serving: tuple[int, ...]
    beside: tuple[int, ...] = ()
    start_s: float = 0.0
    model: str = stack.MODEL
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def body(self, prompt: str, *, stream: bool, size_bytes: int = 0, max_tokens: int = 256) -> bytes:
        """A chat completion, filled up to a size."""
        return _padded({"model": self.model, "max_tokens": max_tokens, "stream": stream}, prompt, size_bytes)

    @property
    def request_headers(self) -> dict[str, str]:
        return {"content-type": "application/json", "authorization": "Bearer bench", **self.headers}

    @property
    def completions_url(self) -> str:
        return f"{self.url}/chat/completions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """All peers of a run, and the product behind one of them."""

    peers: Mapping[str, Peer]
    stack: stack.Stack

    def __getitem__(self, name: str) -> Peer:
        return self.peers[name]

    def among(self, names: Collection[str]) -> list[Peer]:
        """Those of the names that run here."""
        return [peer for name, peer in self.peers.items() if name in names]


@contextlib.asynccontextmanager
async def running(names: Collection[str], *, on_disk: bool) -> AsyncIterator[Field]:
    """The simulator, the product, and the named peers.

    Unless a section is about the disk, the product keeps its data in memory: at the platform a Wallet's writes are
    confirmed by its replicas, so what this machine's disk takes to sync would say nothing.
    """
    children: list[Child] = []
    with tempfile.TemporaryDirectory(dir=None if on_disk else _memory()) as folder:
        try:
            yield await _start(children, names, Path(folder))
        finally:
            await stop(children)


def _memory() -> Path | None:
    """Where the system keeps files in memory, if it does."""
    return MEMORY if MEMORY.exists() else None


async def _start(children: list[Child], names: Collection[str], folder: Path) -> Field:
    upstream = await start_child(children, folder, UPSTREAM, node_executable(), str(BENCH / "upstream.mjs"))
    url = (await upstream.ready())["url"]
    product = await stack.start(children, folder, url)
    peers = [Peer(name=UPSTREAM, url=url, serving=family(upstream.group)), _gateway(product)]
    for start in (start for name, start in STARTERS.items() if name in names):
        began_s = time.monotonic()
        peer = await start(children, folder, url)
        peers.append(replace(peer, start_s=time.monotonic() - began_s))
    return Field(peers={peer.name: peer for peer in peers}, stack=product)


def _gateway(product: stack.Stack) -> Peer:
    headers = {"authorization": f"Bearer {product.api_key}"}
    peer = _in_workerd(GATEWAY, f"{product.edge_url}/v1", product.edge_pid, headers)
    return replace(peer, start_s=product.edge_start_s)


def _in_workerd(name: str, url: str, launcher: int, headers: Mapping[str, str]) -> Peer:
    """workerd takes the requests on a socket of its own; Node, which has started it, is not on their way."""
    serving = tuple(pid for pid in family(launcher) if name_of(pid) == "workerd")
    return Peer(name=name, url=url, headers=headers, serving=serving, beside=(launcher,))


def _worker(name: str) -> "Starter":
    async def start(children: list[Child], folder: Path, upstream_url: str) -> Peer:
        command = (node_executable(), str(BENCH / "workers.mjs"), name.replace("-", "_"), upstream_url)
        child = await start_child(children, folder, name, *command)
        return _in_workerd(name, (await child.ready())["url"], child.group, {})

    return start


async def _relaying(children: list[Child], folder: Path, upstream_url: str) -> Peer:
    """The product's modules with another entry, on the product's local edge."""
    worker = folder / RELAYING / "worker"
    shutil.copytree(ROOT / "worker", worker)
    shutil.copy(BENCH / "workers" / f"{RELAYING}.py", worker)
    date = tomllib.loads((ROOT / "wrangler.toml").read_text())["compatibility_date"]
    project = folder / RELAYING / "wrangler.toml"
    project.write_text(f'name = "{RELAYING}"\nmain = "worker/{RELAYING}.py"\ncompatibility_date = "{date}"\n')
    environment = stack.edge_environment(folder / RELAYING, {"UPSTREAM": upstream_url})
    child = await start_child(children, folder, RELAYING, *stack.edge_command(project), environment=environment)
    return _in_workerd(RELAYING, f"{(await child.ready())['edge_url']}/v1", child.group, {})


async def _litellm(children: list[Child], folder: Path, upstream_url: str) -> Peer:
    """Without a database, so without keys and budgets of its own: less than what the others do."""
    port, config = free_port(), folder / "litellm.json"  # JSON is YAML, too
    target = {"model": "openai/deepseek-flash", "api_base": upstream_url, "api_key": "bench"}
    models = [{"model_name": stack.MODEL, "litellm_params": target}]
    config.write_text(json.dumps({"model_list": models, "general_settings": {"master_key": LITELLM_KEY}}))
    command = (
        str(installs.litellm()),
        "--config",
        str(config),
        "--host",
        HOST,
        "--port",
        str(port),
        "--telemetry",
        "False",
    )
    environment = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    child = await start_silent_child(children, folder, LITELLM, *command, environment=environment)
    await _answers(f"http://{HOST}:{port}/health/liveliness")
    headers = {"authorization": f"Bearer {LITELLM_KEY}"}
    return Peer(name=LITELLM, url=f"http://{HOST}:{port}/v1", headers=headers, serving=family(child.group))


async def _portkey(children: list[Child], folder: Path, upstream_url: str) -> Peer:
    port = free_port()
    command = (node_executable(), str(installs.portkey()), f"--port={port}", "--headless")
    child = await start_silent_child(children, folder, PORTKEY, *command)
    await _answers(f"http://{HOST}:{port}/")
    headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": upstream_url}
    url = f"http://{HOST}:{port}/v1"
    return Peer(name=PORTKEY, url=url, headers=headers, serving=family(child.group), model="deepseek-flash")


async def _answers(url: str) -> None:
    """Wait until the server answers."""
    async with httpx2.AsyncClient() as client, asyncio.timeout(START_LIMIT_S):
        while True:
            with contextlib.suppress(httpx2.TransportError):
                if (await client.get(url)).is_success:
                    return
            await asyncio.sleep(POLL_S)


Starter = Callable[[list[Child], Path, str], Awaitable[Peer]]

STARTERS: dict[str, Starter] = {
    **{name: _worker(name) for name in (PASS_THROUGH, METERING, GUARDING, REWRITING)},
    RELAYING: _relaying,
    LITELLM: _litellm,
    PORTKEY: _portkey,
}


def _padded(fields: Mapping[str, object], prompt: str, size_bytes: int) -> bytes:
    def write(text: str) -> bytes:
        return json.dumps({**fields, "messages": [{"role": "user", "content": text}]}).encode()

    missing = max(0, size_bytes - len(write(prompt)))
    return write(prompt + (FILLER * (missing // len(FILLER) + 1))[:missing])
