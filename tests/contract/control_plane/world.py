"""A whole control plane for tests: the real application on a file of its own, with stand-ins for what it calls."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI

from control_plane.main import create_app
from control_plane.payment_provider import PaymentProvider
from control_plane.services import Ports, Services
from control_plane.settings import DATABASE_FILE, Settings
from gateway.credentials import hash_api_key
from tests.contract.control_plane.stand_ins import API_TOKEN, INTERNAL_SECRET, Clock, FakeCloudflare, FakeEdge
from tests.databases import database_url, put_schema

ADMIN_TOKEN = "admin-token-of-the-tests"
DELIVERY_WAIT_MS = 30_000  # Far more than a delivery to a stand-in takes: an answer comes when it is done.

CATALOGUE = """
[providers.deepseek]
dialect = "deepseek"
base_url = "https://api.deepseek.com"
api_key_env = "DEEPSEEK_API_KEY"

[models."deepseek-chat"]
context_length = 128000
max_output_tokens = 8000
[[models."deepseek-chat".targets]]
provider = "deepseek"
model = "deepseek-flash"
[[models."deepseek-chat".prices]]
effective_from = 2026-01-01
input = "0.28"
cached_input = "0.028"
output = "0.42"
source = "https://example.com/prices"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The application, its callers and its surroundings."""

    app: FastAPI
    admin: httpx2.AsyncClient
    anyone: httpx2.AsyncClient
    cloudflare: FakeCloudflare
    edge: FakeEdge
    clock: Clock

    @property
    def services(self) -> Services:
        services: Services = self.app.state.services
        return services

    async def open_account(self, email: str = "dev@example.com") -> str:
        answer = await self.admin.post("/admin/v1/accounts", json={"email": email})
        account_id: str = answer.json()["id"]
        return account_id

    async def make_key(self, account_id: str, **terms: Any) -> dict[str, Any]:
        answer = await self.admin.post(f"/admin/v1/accounts/{account_id}/keys", json={"name": "test", **terms})
        key: dict[str, Any] = answer.json()
        return key

    async def customer(self, account_id: str) -> httpx2.AsyncClient:
        """A client with a token of the account."""
        answer = await self.admin.post(f"/admin/v1/accounts/{account_id}/tokens", json={})
        return client_of(self.app, answer.json()["token"])


@asynccontextmanager
async def running(
    folder: Path,
    *,
    clock: Clock | None = None,
    paypal: httpx2.AsyncBaseTransport | None = None,
    providers: tuple[PaymentProvider, ...] = (),
    catalogue: str = CATALOGUE,
    **settings: Any,
) -> AsyncIterator[World]:
    """The application with its lifespan, on the database and catalogue in ``folder``."""
    (folder / "catalogue.toml").write_text(catalogue)
    put_schema(folder / DATABASE_FILE)
    clock = clock or Clock()
    cloudflare, edge = FakeCloudflare(), FakeEdge(clock=clock)
    app = create_app(
        Settings.model_validate(settings_of(folder) | settings),
        Ports(
            environment={},
            now_ms=clock,
            cloudflare_transport=cloudflare.transport,
            edge_transport=edge.transport,
            paypal_transport=paypal,
            payment_providers=providers,
        ),
    )
    async with app.router.lifespan_context(app), client_of(app, ADMIN_TOKEN) as admin, client_of(app) as anyone:
        yield World(app=app, admin=admin, anyone=anyone, cloudflare=cloudflare, edge=edge, clock=clock)


def settings_of(folder: Path) -> dict[str, Any]:
    return {
        "haotokai_data": str(folder),
        "haotokai_catalogue": str(folder / "catalogue.toml"),
        "database_url": database_url(str(folder)),
        "edge_url": "http://edge.test",
        "internal_secret": INTERNAL_SECRET,
        "admin_token": ADMIN_TOKEN,
        "cloudflare_base_url": "https://cloudflare.test/client/v4",
        "cloudflare_api_token": API_TOKEN,
        "cloudflare_account_id": "account",
        "cloudflare_kv_namespace_id": "namespace",
        "kv_interval_ms": 0,
        "trial_credit_usd": "0",
        "delivery_wait_ms": DELIVERY_WAIT_MS,
    }


def client_of(app: FastAPI, token: str | None = None) -> httpx2.AsyncClient:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://control.test", headers=headers)


async def read(client: httpx2.AsyncClient, path: str, **query: Any) -> Any:
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def kv_record(world: World, key: dict[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(world.cloudflare.values[f"key:{hash_api_key(key['key'])}"])
    return record


def assert_problem(answer: httpx2.Response, status: int, code: str, *, pointer: str | None = None) -> None:
    problem = answer.json()
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["type"] == f"urn:haotokai:problem:{code}"
    assert problem["title"]
    if pointer is not None:
        assert pointer in [error["pointer"] for error in problem["errors"]]
