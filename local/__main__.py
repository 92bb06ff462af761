"""``python -m local``: the whole product on this machine, with simulators of the labs and of PayPal without keys."""

import asyncio
import os
import signal
import sys
import time

import httpx2

from local.demo import Demo, ensure_demo
from local.node import node_executable
from local.processes import Child, ChildEnded, stop
from local.settings import ROOT, Settings

CALL_LIMIT_S = 15


async def main() -> int:
    """Runs until SIGTERM or Ctrl-C (0), or until a child ends (1)."""
    settings = Settings.from_environment(os.environ)
    asked_to_stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_stop.set)
    children: list[Child] = []
    running = asyncio.create_task(run(settings, children))
    stopping = asyncio.create_task(asked_to_stop.wait())
    try:
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return report_failure(running) if running.done() else 0
    finally:
        running.cancel()
        await stop(children)


async def run(settings: Settings, children: list[Child]) -> None:
    """Starts everything, says that it is ready, and then only returns by the exception of what failed.

    Each started child is put into `children`. The control plane waits for the labs, whose addresses it publishes, and
    for PayPal, whose credentials it needs; the edge takes longest to start and is not waited for, because its KV
    endpoints let the control plane's calls wait.
    """
    started_at_s = time.monotonic()
    python = sys.executable
    labs = await start(children, "labs", python, "-m", "local.labs", "--port", "0", environment={})
    paypal = None
    if settings.is_paypal_simulated:
        paypal = await start(
            children, "paypal", python, "-m", "local.paypal", *settings.paypal_options(), environment={}
        )
    edge_command = [node_executable(), str(ROOT / "local" / "edge" / "main.mjs"), str(ROOT / "wrangler.toml")]
    edge = await start(children, "edge", *edge_command, environment=settings.edge_environment())
    lab_urls = (await labs.ready())["base_urls"]
    environment = settings.control_plane_environment(lab_urls, await paypal.ready() if paypal else None)
    control_plane = await start(children, "control plane", python, "-m", "control_plane", environment=environment)
    await asyncio.gather(edge.ready(), control_plane.ready())

    async with asyncio.TaskGroup() as tasks:
        for child in children:
            tasks.create_task(child.run())
        async with httpx2.AsyncClient(timeout=CALL_LIMIT_S) as client:
            demo = await ensure_demo(
                client,
                settings.data / "demo.json",
                edge_url=settings.edge_url,
                control_plane_url=settings.control_plane_url,
                admin_token=settings.secrets.admin_token,
            )
        announce(demo, settings.first_model, time.monotonic() - started_at_s)


async def start(children: list[Child], name: str, *command: str, environment: dict[str, str]) -> Child:
    child = await Child.start(name, *command, environment=environment)
    children.append(child)
    return child


def announce(demo: Demo, model: str, seconds: float) -> None:
    print(f"ready: edge {demo.edge_url}, control plane {demo.control_plane_url}, after {seconds:.1f} s")
    print(
        f"curl {demo.edge_url}/v1/chat/completions -H 'authorization: Bearer {demo.api_key}' "
        "-H 'content-type: application/json' "
        f'-d \'{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}\'',
        flush=True,
    )


def report_failure(running: "asyncio.Task[None]") -> int:
    try:
        running.result()
    except* ChildEnded as ended:
        for error in ended.exceptions:
            print(f"stopped: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
