"""The launcher's children say when they are ready, and none outlives it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local.processes import Child, ChildEnded, stop

READY = "import json, sys, time; print(json.dumps({'event': 'ready', 'port': 7}), flush=True); "
LAUNCHER = """
import asyncio, sys
from local.processes import Child

async def main():
    child = await Child.start("child", sys.executable, "-c", "import time; time.sleep(60)", environment={})
    print(child.group, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
ROOT = Path(__file__).parents[2]


async def start(code: str, **environment: str) -> Child:
    return await Child.start("child", sys.executable, "-c", code, environment=environment)


async def test_a_child_is_ready_when_it_says_so() -> None:
    child = await start(READY + "time.sleep(60)")

    assert await child.ready() == {"event": "ready", "port": 7}

    await stop([child])


async def test_a_child_gets_the_environment_it_is_given() -> None:
    child = await start("import os; print('{\"greeting\": \"' + os.environ['GREETING'] + '\"}')", GREETING="hello")

    assert await child.ready() == {"greeting": "hello"}

    await stop([child])


async def test_a_child_that_ends_before_it_is_ready_is_named_with_its_status() -> None:
    child = await start("raise SystemExit(3)")

    with pytest.raises(ChildEnded, match="child ended with status 3"):
        await child.ready()


async def test_a_child_that_ends_while_it_runs_is_named_with_its_status() -> None:
    child = await start(READY + "raise SystemExit(4)")
    await child.ready()

    with pytest.raises(ChildEnded, match="child ended with status 4"):
        await child.run()


async def test_stop_lets_a_child_end_in_its_own_way(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    handler = f"import signal; signal.signal(15, lambda *_: (open({str(trace)!r}, 'w').close(), sys.exit(0))); "
    child = await start("import sys; " + handler + READY + "time.sleep(60)")
    await child.ready()

    await stop([child])

    assert trace.exists()


async def test_stop_kills_a_child_that_does_not_listen_and_the_children_of_that() -> None:
    code = (
        "import signal; signal.signal(15, signal.SIG_IGN); import os, time; os.fork() or time.sleep(60); "
        + READY
        + "time.sleep(60)"
    )
    child = await start(code)
    await child.ready()

    await stop([child])

    wait_until_gone(child.group)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's death")
def test_a_launcher_that_is_killed_leaves_no_child_behind() -> None:
    with subprocess.Popen([sys.executable, "-c", LAUNCHER], cwd=ROOT, stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdout is not None
        group = int(launcher.stdout.readline())
        launcher.kill()

    wait_until_gone(group)


def wait_until_gone(group: int, limit_s: float = 10) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    os.killpg(group, signal.SIGKILL)
    pytest.fail("a process is left")
