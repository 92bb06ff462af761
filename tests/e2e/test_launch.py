"""What the launcher promises to the person who started it."""

import json
import subprocess

import httpx2
from openai import OpenAI

from tests.e2e.admin import Account
from tests.e2e.chat import MODELS
from tests.e2e.stack import Stack


def test_the_curl_line_printed_after_ready_is_answered(stack: Stack) -> None:
    command = f"{stack.curl_line} --silent --write-out '\\n%{{http_code}}'"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)

    body, _, status = done.stdout.rpartition("\n")
    assert status == "200"
    assert json.loads(body)["choices"][0]["message"]["content"]


def test_the_demo_account_has_a_dollar(stack: Stack) -> None:
    headers = {"authorization": f"Bearer {stack.demo_api_key}"}
    shown = httpx2.get(f"{stack.base_url}/credits", headers=headers).json()

    assert shown["balance_usd"].startswith(("0.99", "1.00"))


def test_the_models_are_listed_without_a_key(stack: Stack) -> None:
    listed = httpx2.get(f"{stack.base_url}/models").json()

    ids = [model["id"] for model in listed["data"]]
    drills = [name for name in ids if name.startswith("drill/")]
    assert set(ids) - set(drills) == set(MODELS)
    assert ids[-len(drills) :] == drills


def test_openai_lists_the_models(client: OpenAI) -> None:
    assert {model.id for model in client.models.list()} >= set(MODELS)


def test_openai_shows_a_model(client: OpenAI) -> None:
    assert client.models.retrieve("kimi-k2").owned_by == "moonshot"


def test_a_new_key_is_served_at_once(stack: Stack, customer: Account) -> None:
    headers = {"authorization": f"Bearer {customer.api_key}"}

    assert httpx2.get(f"{stack.base_url}/credits", headers=headers).status_code == 200
