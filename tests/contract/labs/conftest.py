"""A running process of the labs, and calls to it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.contract.labs.calls import MODELS, user

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningLabs:
    base_urls: dict[str, str]
    http: httpx2.Client

    @property
    def origin(self) -> str:
        parts = urlsplit(next(iter(self.base_urls.values())))
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def port(self) -> int:
        return urlsplit(self.origin).port or 0

    def base_url(self, lab: str) -> str:
        return self.base_urls[f"{lab.upper()}_BASE_URL"]

    def post(self, lab: str, text: str = "hello", *, key: str = "sk-good", **parameters: Any) -> httpx2.Response:
        body = {"model": MODELS[lab], "messages": [user(text)], **parameters}
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return self.http.post(f"{self.base_url(lab)}/chat/completions", json=body, headers=headers)

    def journal(self, entry_id: str) -> list[dict[str, Any]]:
        requests: list[dict[str, Any]] = self.http.get(f"{self.origin}/journal", params={"id": entry_id}).json()[
            "requests"
        ]
        return requests


@pytest.fixture(scope="session")
def labs() -> Iterator[RunningLabs]:
    command = [sys.executable, "-m", "local.labs", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process, httpx2.Client() as http:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready["event"] == "ready"
        yield RunningLabs(base_urls=ready["base_urls"], http=http)
        process.terminate()
