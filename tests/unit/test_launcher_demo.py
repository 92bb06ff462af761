"""The demo account is made once, has a dollar, and is served before the launcher says ready."""

import json
import stat
from decimal import Decimal
from pathlib import Path

import httpx2
import pytest

from local.demo import Demo, ensure_demo

TOKEN = "admin-token"


class Product:
    """A control plane and an edge, each of which has what was asked for only when it is asked again."""

    def __init__(self, *, trial_usd: str = "0.00") -> None:
        self._trial_usd = trial_usd
        self.balances: dict[str, Decimal] = {}
        self.keys: dict[str, str] = {}
        self._times_asked: dict[str, int] = {}
        self._catalogue_deliveries = [{"subject": "catalogue"}]

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/v1/credits":
            assert not self._catalogue_deliveries, "the edge was asked before it had the catalogue"
            return self._credits(request.headers["authorization"].removeprefix("Bearer "))
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        if request.method == "GET":
            assert request.url.path == "/admin/v1/projection/outbox"
            pending, self._catalogue_deliveries = self._catalogue_deliveries, []
            return httpx2.Response(200, json={"items": pending})
        body = json.loads(request.content)
        match request.url.path.split("/")[3:]:
            case ["accounts"]:
                account_id = f"acct_{len(self.balances)}"
                self.balances[account_id] = Decimal(self._trial_usd)
                return httpx2.Response(201, json={"id": account_id, "balance_usd": self._trial_usd})
            case ["accounts", account_id, "credits"]:
                self.balances[account_id] += Decimal(body["amount_usd"])
                return httpx2.Response(200, json={})
            case ["accounts", account_id, "keys"]:
                key = f"key-{len(self.keys)}"
                self.keys[key] = account_id
                return httpx2.Response(201, json={"key": key})
        return httpx2.Response(404)

    def _credits(self, key: str) -> httpx2.Response:
        self._times_asked[key] = self._times_asked.get(key, 0) + 1
        if key not in self.keys or self._times_asked[key] < 2:
            return httpx2.Response(401)
        return httpx2.Response(200, json={"balance_usd": str(self.balances[self.keys[key]])})


async def demo_of(product: Product, file: Path) -> Demo:
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(product.handle)) as client:
        return await ensure_demo(
            client, file, edge_url="http://edge", control_plane_url="http://control-plane", admin_token=TOKEN
        )


def read(file: Path) -> tuple[dict[str, str], int]:
    return json.loads(file.read_text()), stat.S_IMODE(file.stat().st_mode)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "demo.json"


async def test_a_demo_is_an_account_with_a_dollar_and_a_key_that_the_edge_serves(file: Path) -> None:
    product = Product()

    demo = await demo_of(product, file)

    assert product.keys == {demo.api_key: demo.account_id}
    assert product.balances == {demo.account_id: Decimal("1.00")}


@pytest.mark.parametrize("trial_usd", ["0.25", "1.00"])
async def test_a_trial_credit_is_part_of_the_dollar(file: Path, trial_usd: str) -> None:
    product = Product(trial_usd=trial_usd)

    demo = await demo_of(product, file)

    assert product.balances == {demo.account_id: Decimal("1.00")}


async def test_the_file_holds_what_was_promised_and_only_its_owner_reads_it(file: Path) -> None:
    demo = await demo_of(Product(), file)

    document, mode = read(file)
    assert document == {
        "edge_url": "http://edge",
        "control_plane_url": "http://control-plane",
        "api_key": demo.api_key,
        "account_id": demo.account_id,
        "admin_token": TOKEN,
    }
    assert mode == 0o600


async def test_the_demo_of_an_earlier_start_is_kept(file: Path) -> None:
    product = Product()

    assert await demo_of(product, file) == await demo_of(product, file)
    assert len(product.balances) == 1


async def test_a_demo_whose_key_no_longer_works_is_made_anew(file: Path) -> None:
    await demo_of(Product(), file)
    emptied = Product()

    demo = await demo_of(emptied, file)

    assert emptied.keys == {demo.api_key: demo.account_id}
