"""A demo account with a key and a dollar of credit, made through the control plane's admin calls."""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2

from gateway.records import CATALOGUE_KV_KEY
from local.settings import write_private

CREDIT_USD = Decimal("1.00")
POLL_INTERVAL_S = 0.1
DELIVERY_LIMIT_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """What stands in demo.json."""

    edge_url: str
    control_plane_url: str
    api_key: str = field(repr=False)
    account_id: str
    admin_token: str = field(repr=False)


async def ensure_demo(
    client: httpx2.AsyncClient, file: Path, *, edge_url: str, control_plane_url: str, admin_token: str
) -> Demo:
    """The demo of an earlier start where its key still works, else a new one; `file` says which."""
    admin = Admin(client, control_plane_url, admin_token)
    # An edge that was asked sooner would serve the catalogue of an earlier start for some seconds.
    await _until(admin.catalogue_is_delivered)
    known = _read(file)
    if known and await _serves(client, edge_url, known["api_key"]):
        account_id, api_key = known["account_id"], known["api_key"]
    else:
        account_id = await admin.open_account()
        api_key = await admin.make_key(account_id)
        await _until(lambda: _serves(client, edge_url, api_key))
    demo = Demo(
        edge_url=edge_url,
        control_plane_url=control_plane_url,
        api_key=api_key,
        account_id=account_id,
        admin_token=admin_token,
    )
    write_private(file, asdict(demo))
    return demo


@dataclass(frozen=True, slots=True)
class Admin:
    """The admin calls that a demo needs."""

    client: httpx2.AsyncClient
    control_plane_url: str
    token: str = field(repr=False)

    async def open_account(self) -> str:
        """A new account that has the demo's credit, of which a trial credit is a part."""
        email = f"demo+{secrets.token_hex(4)}@example.com"
        account = await self._call("POST", "accounts", {"email": email, "name": "Demo"})
        account_id: str = account["id"]
        missing = CREDIT_USD - Decimal(account["balance_usd"])
        if missing > 0:
            await self._call(
                "POST", f"accounts/{account_id}/credits", {"amount_usd": f"{missing:.2f}", "reference": "demo"}
            )
        return account_id

    async def make_key(self, account_id: str) -> str:
        made = await self._call("POST", f"accounts/{account_id}/keys", {"name": "demo"})
        key: str = made["key"]
        return key

    async def catalogue_is_delivered(self) -> bool:
        pending = await self._call("GET", "projection/outbox?state=pending")
        return not any(delivery["subject"] == CATALOGUE_KV_KEY for delivery in pending["items"])

    async def _call(self, method: str, path: str, body: dict[str, str] | None = None) -> dict[str, Any]:
        url, headers = f"{self.control_plane_url}/admin/v1/{path}", {"authorization": f"Bearer {self.token}"}
        answer = await self.client.request(method, url, json=body, headers=headers)
        answer.raise_for_status()
        document: dict[str, Any] = answer.json()
        return document


async def _serves(client: httpx2.AsyncClient, edge_url: str, api_key: str) -> bool:
    """Whether the edge takes the key and finds money in its Wallet."""
    answer = await client.get(f"{edge_url}/v1/credits", headers={"authorization": f"Bearer {api_key}"})
    return answer.status_code == 200 and Decimal(answer.json()["balance_usd"]) > 0


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DELIVERY_LIMIT_S):
        while not await holds():  # noqa: ASYNC110 (what is awaited happens in other processes)
            await asyncio.sleep(POLL_INTERVAL_S)


def _read(file: Path) -> dict[str, str] | None:
    if not file.exists():
        return None
    known: dict[str, str] = json.loads(file.read_text())
    return known
