"""Every example that a customer copies runs as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from local.node import node_executable
from tests.e2e.admin import Account, Admin
from tests.e2e.stack import ROOT, Stack

EXAMPLES = ROOT / "examples"
INTERPRETERS = {".sh": ["sh"], ".py": [sys.executable], ".mjs": [node_executable()]}
LIMIT_S = 60

PROGRAMS = {
    "curl/first_call.sh": r'"finish_reason":"stop".*"completion_tokens":\d',
    "curl/streaming.sh": r'(?s)(data: .*\n\n){3}.*"choices":\[\],"usage":\{.*data: \[DONE\]',
    "python/first_call.py": r"\w+ \w+ .*\n.*completion_tokens=\d+",
    "python/streaming.py": r"\w+ \w+ .*\n\d+ tokens in, \d+ out",
    "python/tools.py": r"the model calls get_temperature\(.*\)\nThe tool says: \d+ °C in ",
    "python/json_mode.py": r'\{\n  "reply": "\w+',
    "python/four_models.py": r"model .*\n(\S+ +\w+ +\d+ +\d+ +0\.\d+\n){4}total +0\.\d+",
    "node/first_call.mjs": r"\w+ \w+ .*\n.*\n  prompt_tokens: \d+",
    "node/streaming.mjs": r"\w+ \w+ .*\n\d+ tokens in, \d+ out",
    "langchain/chat.py": r"\w+ \w+ .*\n\{'input_tokens': \d+, 'output_tokens': \d+",
    "llamaindex/chat.py": r"(\w+ \w+ .*)\n\1",
    "vercel_ai_sdk/chat.mjs": r"\w+ \w+ .*\n\d+ tokens in, \d+ out",
}


def run(program: str, stack: Stack, api_key: str) -> str:
    """What the program prints, given only the two variables that it reads."""
    file = EXAMPLES / program
    environment = {"PATH": os.environ["PATH"], "HAOTOKAI_BASE_URL": stack.base_url, "HAOTOKAI_API_KEY": api_key}
    command = [*INTERPRETERS[file.suffix], str(file)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_example_is_untested() -> None:
    files = [file for suffix in INTERPRETERS for file in EXAMPLES.rglob(f"*{suffix}")]

    assert {str(Path(file).relative_to(EXAMPLES)) for file in files} == PROGRAMS.keys()


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_example_runs(program: str, stack: Stack, customer: Account) -> None:
    printed = run(program, stack, customer.api_key)

    assert re.search(PROGRAMS[program], printed), printed


def test_the_cost_report_of_four_models_equals_the_books(stack: Stack, admin: Admin) -> None:
    account = admin.open_account()

    printed = run("python/four_models.py", stack, account.api_key)
    total_usd = printed.split()[-1]

    assert admin.settled(account.id)["spent_usd"] == total_usd
    assert len(admin.usage(account.id)) == 4
