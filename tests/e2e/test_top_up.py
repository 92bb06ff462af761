"""A top-up as a customer makes it: a page, a click, and the balance at the edge."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import httpx2
import pytest
from openai import APIStatusError, OpenAI

from local.node import node_executable
from tests.e2e.admin import Account
from tests.e2e.purse import Bench
from tests.e2e.waiting import eventually

CHROMIUM = shutil.which("chromium")
HERE = Path(__file__).parent

# On a user's machine without the browser the test is counted as skipped; where everything is promised it is not.
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None and not os.environ.get("CI"), reason="needs Debian's chromium to show a page"
)


@needs_chromium
def test_a_dollar_paid_in_a_browser_is_spent_at_the_edge(bench: Bench, tmp_path: Path) -> None:
    account = bench.admin.open_account(credit_usd="0.000001")
    client = OpenAI(base_url=bench.stack.base_url, api_key=account.api_key, max_retries=0)
    with pytest.raises(APIStatusError) as refused:
        ask(client)
    assert refused.value.status_code == 402
    with customer_client(bench, account) as customer:
        top_up = customer.post("/topups", json={"amount_usd": "1.00"}).raise_for_status().json()

        page = pay(top_up["approve_url"], tmp_path)

        assert page["url"].startswith(bench.stack.control_plane_url)
        paid = eventually(
            lambda: customer.get(f"/topups/{top_up['id']}").json(), lambda shown: shown["state"] != "created"
        )
        assert (paid["state"], paid["credited_usd"]) == ("captured", "1.00")
        eventually(lambda: edge_balance(bench, account), lambda usd: usd == "1.000001")
        assert ask(client)


def edge_balance(bench: Bench, account: Account) -> str:
    headers = {"authorization": f"Bearer {account.api_key}"}
    balance: str = httpx2.get(f"{bench.stack.base_url}/credits", headers=headers).json()["balance_usd"]
    return balance


def ask(client: OpenAI) -> str | None:
    answer = client.chat.completions.create(
        model="native", messages=[{"role": "user", "content": "Hello"}], max_tokens=16
    )
    return answer.choices[0].message.content


def pay(approve_url: str, folder: Path) -> dict[str, str]:
    """Where the buyer comes to after the click, and what the page says."""
    done = subprocess.run(
        [node_executable(), str(HERE / "pay_in_browser.mjs"), approve_url, str(folder)],
        env=os.environ | {"CHROMIUM": CHROMIUM or "/usr/bin/chromium"},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    page: dict[str, str] = json.loads(done.stdout)
    return page


def customer_client(bench: Bench, account: Account) -> httpx2.Client:
    token = bench.admin.make_token(account.id)
    return httpx2.Client(
        base_url=f"{bench.stack.control_plane_url}/account/v1", headers={"authorization": f"Bearer {token}"}, timeout=15
    )
