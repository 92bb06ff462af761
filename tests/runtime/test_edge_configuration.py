"""wrangler.toml is read whole or refused, and its crons name the minutes that Cloudflare would fire them in."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from local.node import node_executable
from tests.runtime.edge_process import FIXTURE_PROJECT, MAIN

EDGE = MAIN.parent


def evaluate(module: str, expression: str) -> Any:
    """What a JavaScript expression is, given the exports of a module of the local edge; raises with its error."""
    script = f"import * as m from {json.dumps(str(EDGE / module))}; console.log(JSON.stringify({expression}))"
    command = [node_executable(), "--input-type=module", "--eval", script]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise ValueError(ran.stderr)
    return json.loads(ran.stdout)


def read_project(file: Path) -> Any:
    return evaluate("config.mjs", f"m.readProject({json.dumps(str(file))}, {{SECRET: 's'}})")


def test_bindings_are_read_from_wrangler_toml() -> None:
    worker = read_project(FIXTURE_PROJECT / "wrangler.toml")["worker"]

    assert worker["compatibilityFlags"] == []
    assert worker["bindings"] == {"GREETING": "from wrangler.toml", "SECRET": "s"}
    assert worker["kvNamespaces"] == {"STORE": "0123456789abcdef0123456789abcdef"}
    assert worker["durableObjects"] == {"COUNTERS": {"className": "Counter", "useSQLite": True}}
    assert worker["queueProducers"] == {"JOBS": {"queueName": "jobs"}}
    assert worker["queueConsumers"]["jobs"] == {
        "maxBatchSize": 10,
        "maxBatchTimeout": 0,
        "maxRetries": 1,
        "retryDelay": 0,
        "deadLetterQueue": "jobs-dead",
    }


@pytest.mark.parametrize(
    ("addition", "named"),
    [
        ('[[r2_buckets]]\nbinding = "FILES"', "r2_buckets"),
        ('[[services]]\nbinding = "OTHER"\nservice = "elsewhere"', "elsewhere"),
    ],
)
def test_what_has_no_stand_in_is_refused_by_name(project: Path, addition: str, named: str) -> None:
    with (project / "wrangler.toml").open("a") as file:
        file.write(f"\n{addition}\n")

    with pytest.raises(ValueError, match=named):
        read_project(project / "wrangler.toml")


@pytest.mark.parametrize(
    ("cron", "time", "due"),
    [
        ("* * * * *", "2026-11-24T08:31:00Z", True),
        ("*/5 * * * *", "2026-11-24T08:35:00Z", True),
        ("*/5 * * * *", "2026-11-24T08:36:00Z", False),
        ("7-9 8 * * *", "2026-11-24T08:09:00Z", True),
        ("7-9 8 * * *", "2026-11-24T08:10:00Z", False),
        ("5/10 * * * *", "2026-11-24T08:15:00Z", True),
        ("0 0 1,15 * *", "2026-11-15T00:00:00Z", True),
        ("0 0 * 12 *", "2026-11-15T00:00:00Z", False),
        ("0 0 * * 3", "2026-11-24T00:00:00Z", True),  # a Tuesday
        ("0 0 * * 2", "2026-11-24T00:00:00Z", False),
    ],
)
def test_a_cron_is_due_in_the_minutes_it_names(cron: str, time: str, due: bool) -> None:
    assert evaluate("crons.mjs", f"m.isDue({json.dumps(cron)}, new Date({json.dumps(time)}))") is due


@pytest.mark.parametrize("cron", ["* * * *", "0 0 * * MON", "0 0 L * *"])
def test_a_cron_that_is_not_understood_is_refused(cron: str) -> None:
    with pytest.raises(ValueError, match="cron"):
        evaluate("crons.mjs", f"m.isDue({json.dumps(cron)}, new Date())")
