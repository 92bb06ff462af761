"""``python -m control_plane`` and its command line, as processes."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from tests.contract.control_plane.world import ADMIN_TOKEN, CATALOGUE, settings_of

NOWHERE = "http://127.0.0.1:1"
LIMIT_S = 60.0


def environment_of(folder: Path) -> dict[str, str]:
    """This process's environment, with nothing of ours in it but what the tests set."""
    (folder / "catalogue.toml").write_text(CATALOGUE)
    settings = settings_of(folder) | {
        "control_plane_port": 0,
        "edge_url": NOWHERE,
        "cloudflare_base_url": NOWHERE,
        "delivery_wait_ms": 0,
    }
    ours = {name.upper(): str(value) for name, value in settings.items() if value is not None}
    return {**os.environ, **ours, "NO_PROXY": "127.0.0.1"}


@asynccontextmanager
async def serving(environment: dict[str, str]) -> AsyncIterator[tuple[Process, str]]:
    """The server's process and its URL, once it is ready."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "control_plane", env=environment, stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(LIMIT_S):
            ready = json.loads(await process.stdout.readline())
        assert ready["event"] == "ready"
        yield process, ready["control_plane_url"]
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def command(environment: dict[str, str], *arguments: str) -> tuple[int | None, Any, str]:
    """Exit status, decoded output and errors of one command."""
    status, output, errors = await run(environment, *arguments)
    return status, json.loads(output) if output else None, errors


async def run(environment: dict[str, str], *arguments: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "control_plane.cli", *arguments, env=environment, stdout=PIPE, stderr=PIPE
    )
    async with asyncio.timeout(LIMIT_S):
        output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


async def test_the_ready_line_names_a_server_that_answers_and_ends_when_told(tmp_path: Path) -> None:
    async with serving(environment_of(tmp_path)) as (process, url):
        async with httpx2.AsyncClient(base_url=url, trust_env=False) as client:
            health = await client.get("/healthz")

        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(LIMIT_S):
            _, errors = await process.communicate()

    assert health.status_code == 200
    assert all(json.loads(line)["event"] for line in errors.splitlines())
    assert ADMIN_TOKEN.encode() not in errors


async def test_the_command_line_opens_an_account_gives_it_money_and_a_key(tmp_path: Path) -> None:
    environment = environment_of(tmp_path)
    async with serving(environment) as (_, url):
        environment |= {"CONTROL_PLANE_URL": url}
        _, account, _ = await command(environment, "accounts", "create", "dev@example.com", "--name", "Dev")
        _, credit, _ = await command(environment, "credits", "add", account["id"], "1.00", "welcome")
        _, key, _ = await command(environment, "keys", "create", account["id"], "laptop", "--model", "deepseek-chat")
        _, suspended, _ = await command(environment, "accounts", "suspend", account["id"])
        refused, output, errors = await command(environment, "keys", "revoke", "key_none")

    assert credit["balance_usd"] == "1.00"
    assert key["key"].startswith("htk_")
    assert key["models"] == ["deepseek-chat"]
    assert suspended["state"] == "suspended"
    assert (refused, output) == (1, None)
    assert json.loads(errors)["type"] == "urn:haotokai:problem:key_not_found"


async def test_the_command_line_shows_how_the_providers_do(tmp_path: Path) -> None:
    environment = environment_of(tmp_path)
    async with serving(environment) as (_, url):
        environment |= {"CONTROL_PLANE_URL": url}
        async with asyncio.timeout(LIMIT_S):
            # The watch begins to look when the server starts.
            while len(lines := (await run(environment, "providers"))[1].splitlines()) < 2:
                pass

    assert lines == [
        "PROVIDER  MODEL           HEALTH  SINCE  FIRST EVENT MS  TOKENS/S  LAST 10 MINUTES",
        "deepseek  deepseek-flash  -       -      -               -",
    ]


async def test_a_control_plane_that_does_not_answer_is_said(tmp_path: Path) -> None:
    environment = environment_of(tmp_path) | {"CONTROL_PLANE_URL": NOWHERE}

    status, output, errors = await command(environment, "accounts", "list")

    assert (status, output) == (1, None)
    assert errors == "the control plane did not answer: ConnectError\n"


async def test_a_server_without_its_secrets_does_not_start(tmp_path: Path) -> None:
    environment = environment_of(tmp_path)
    del environment["INTERNAL_SECRET"]

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "control_plane", env=environment, stdout=PIPE, stderr=PIPE
    )
    async with asyncio.timeout(LIMIT_S):
        output, errors = await process.communicate()

    assert process.returncode != 0
    assert output == b""
    assert b"internal_secret" in errors
