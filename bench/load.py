"""Load from wrk: one request again and again, over so many connections, for so long."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("request.lua")
TIMEOUT_S = 30


class LoadError(Exception):
    """The load generator is not there, or said nothing that can be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What wrk saw. ``failed`` are answers other than 2xx, and connections that broke."""

    requests: int
    failed: int
    requests_per_s: float
    p50_ms: float
    p99_ms: float


def wrk_executable() -> str:
    found = shutil.which("wrk")
    if found is None:
        raise LoadError("wrk is not installed: apt-get install wrk, or brew install wrk")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The request that is sent."""

    method: str = "POST"
    url: str
    headers: Mapping[str, str]
    body: bytes = b""


async def drive(order: Order, *, connections: int, seconds: int) -> Load:
    """Raises LoadError."""
    with tempfile.TemporaryDirectory() as folder:
        environment = _write(order, Path(folder))
        process = await asyncio.create_subprocess_exec(
            wrk_executable(),
            *("--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"),
            *("--timeout", f"{TIMEOUT_S}s", "--script", str(SCRIPT), order.url),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
    if process.returncode != 0:
        raise LoadError(f"wrk ended with status {process.returncode}")
    return parse(output.decode())


def _write(order: Order, folder: Path) -> dict[str, str]:
    """The environment in which the script finds what it sends."""
    body, headers = folder / "body", folder / "headers"
    body.write_bytes(order.body)
    headers.write_text("".join(f"{name}: {value}\n" for name, value in order.headers.items()))
    return {"BENCH_METHOD": order.method, "BENCH_BODY_FILE": str(body), "BENCH_HEADERS_FILE": str(headers)}


def parse(output: str) -> Load:
    """The line that request.lua writes, behind wrk's own report. Raises LoadError."""
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if not lines:
        raise LoadError(f"wrk gave no figures: {output!r}")
    said = json.loads(lines[-1])
    return Load(
        requests=said["requests"],
        failed=said["failed"],
        requests_per_s=said["requests"] * 1e6 / said["duration_us"],
        p50_ms=said["p50_us"] / 1000,
        p99_ms=said["p99_us"] / 1000,
    )
