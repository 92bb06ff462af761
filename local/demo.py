"""A demo account with a key and a dollar of credit, made through the control plane's admin calls."""

import asyncio
import json
import secrets
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path

import httpx2

from local.settings import write_private

CREDIT_USD = Decimal("1.00")
POLL_INTERVAL_S = 0.1
SERVED_LIMIT_S = 30


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
    known = _read(file)
    if known and await _serves(client, edge_url, known["api_key"]):
        account_id, api_key = known["account_id"], known["api_key"]
    else:
        admin = Admin(client, control_plane_url, admin_token)
        account_id = await admin.open_account()
        api_key = await admin.make_key(account_id)
        await _until_served(client, edge_url, api_key)
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
        account = await self._post("accounts", {"email": email, "name": "Demo"})
        account_id = account["id"]
        missing = CREDIT_USD - Decimal(account["balance_usd"])
        if missing > 0:
            await self._post(f"accounts/{account_id}/credits", {"amount_usd": f"{missing:.2f}", "reference": "demo"})
        return account_id

    async def make_key(self, account_id: str) -> str:
        return (await self._post(f"accounts/{account_id}/keys", {"name": "demo"}))["key"]

    async def _post(self, path: str, body: dict[str, str]) -> dict[str, str]:
        headers = {"authorization": f"Bearer {self.token}"}
        answer = await self.client.post(f"{self.control_plane_url}/admin/v1/{path}", json=body, headers=headers)
        answer.raise_for_status()
        document: dict[str, str] = answer.json()
        return document


async def _serves(client: httpx2.AsyncClient, edge_url: str, api_key: str) -> bool:
    """Whether the edge takes the key and finds money in its Wallet."""
    answer = await client.get(f"{edge_url}/v1/credits", headers={"authorization": f"Bearer {api_key}"})
    return answer.status_code == 200 and Decimal(answer.json()["balance_usd"]) > 0


async def _until_served(client: httpx2.AsyncClient, edge_url: str, api_key: str) -> None:
    async with asyncio.timeout(SERVED_LIMIT_S):
        while not await _serves(client, edge_url, api_key):  # noqa: ASYNC110 (the edge is another process)
            await asyncio.sleep(POLL_INTERVAL_S)


def _read(file: Path) -> dict[str, str] | None:
    if not file.exists():
        return None
    known: dict[str, str] = json.loads(file.read_text())
    return known
