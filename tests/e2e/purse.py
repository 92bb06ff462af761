"""Accounts on a stack whose catalogue is made for tests of the Wallet, and their books seen from every side."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx2

from gateway.records import WalletState
from tests.e2e.admin import Account, Admin, Record
from tests.e2e.gated_lab import GatedLab
from tests.e2e.internal import Internal
from tests.e2e.lab import Labs
from tests.e2e.stack import Stack
from tests.e2e.waiting import LIMIT_S, eventually

NANO_PER_USD = 10**9
MAX_TOKENS = 16
"""The least that an answer may be lowered to, so a hold for it is granted whole or not at all."""

# "gated" answers when the test says so; the others are simulated labs, soon out of patience.
CATALOGUE = """
[providers.gated]
dialect = "openai"
base_url = "{gated_url}"
api_key_env = "GATED_API_KEY"
first_event_timeout_ms = 120000
total_timeout_ms = 240000
[providers.deepseek]
dialect = "deepseek"
base_url = "https://deepseek.invalid"
api_key_env = "DEEPSEEK_API_KEY"
first_event_timeout_ms = 2000
idle_timeout_ms = 1500
total_timeout_ms = 8000
[providers.spark]
dialect = "spark"
base_url = "https://spark.invalid"
api_key_env = "SPARK_API_KEY"
first_event_timeout_ms = 2000
idle_timeout_ms = 1500
total_timeout_ms = 8000
{models}
"""
MODEL = """
[models."{name}"]
context_length = 131072
max_output_tokens = 8192
{targets}
[[models."{name}".prices]]
effective_from = 2026-01-01
input = "1.00"
cached_input = "0.10"
output = "2.00"
source = "https://lab.example/prices"
"""
TARGET = """
[[models."{name}".targets]]
provider = "{provider}"
model = "{model}"
"""
OUTPUT_NANO_USD = 2000
"""What a token of output costs."""

DEEPSEEK, SPARK, GATED = ("deepseek", "deepseek-flash"), ("spark", "4.0Ultra"), ("gated", "m")
MODELS = {"gated": [GATED], "deepseek": [DEEPSEEK], "spark": [SPARK], "failover": [DEEPSEEK, SPARK]}


def catalogue(gated_url: str) -> str:
    models = [
        MODEL.format(
            name=name,
            targets="".join(TARGET.format(name=name, provider=provider, model=model) for provider, model in targets),
        )
        for name, targets in MODELS.items()
    ]
    return CATALOGUE.format(gated_url=gated_url, models="".join(models))


def usd(amount_nano_usd: int) -> str:
    return f"{Decimal(amount_nano_usd) / NANO_PER_USD:.9f}"


def nano_usd(text: str) -> int:
    return int(Decimal(text) * NANO_PER_USD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """One account when everything has arrived, from its usage records, the ledger and its Wallet."""

    records: list[Record]
    records_nano_usd: int
    ledger_nano_usd: int
    wallet: WalletState

    def assert_equal(self) -> None:
        """Nothing is held, and all three say the same, to the nano-dollar."""
        assert (self.wallet.open_holds, self.wallet.held_nano_usd) == (0, 0)
        assert self.records_nano_usd == self.ledger_nano_usd == self.wallet.settled_nano_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """The stack and all that a test drives it by."""

    stack: Stack
    admin: Admin
    labs: Labs
    internal: Internal
    gate: GatedLab

    def caller(self, account: Account) -> httpx2.AsyncClient:
        """The account's client, which lets any number of requests run at once."""
        return httpx2.AsyncClient(
            base_url=self.stack.base_url,
            headers={"authorization": f"Bearer {account.api_key}", "content-type": "application/json"},
            timeout=2 * LIMIT_S,
            limits=httpx2.Limits(max_connections=None),
        )

    async def worst_case(self, content: bytes) -> int:
        """What the Wallet sets aside for one request to the gated model."""
        account = self.admin.open_account()
        async with self.caller(account) as client:
            with self.gate.shut():
                call = asyncio.create_task(ask(client, content))
                state = await self.state_when(account, lambda state: state.open_holds == 1)
            await call
        return state.held_nano_usd

    async def state_when(self, account: Account, accept: Any) -> WalletState:
        """The Wallet's sums, as soon as they are so."""
        return await asyncio.to_thread(eventually, lambda: self.internal.state(account.id), accept)

    def books(self, account: Account) -> Books:
        """The account's books, once nothing is under way any more."""
        wallet = eventually(
            lambda: self.internal.state(account.id),
            lambda state: state.open_holds == 0 and state.unacknowledged_records == 0,
        )
        records = self.admin.usage(account.id)
        return Books(
            records=records,
            records_nano_usd=sum(record["cost_nano_usd"] for record in records),
            ledger_nano_usd=nano_usd(self.admin.account(account.id)["spent_usd"]),
            wallet=wallet,
        )


def bodies(count: int, *, model: str = "gated", text: str = "Hello", max_tokens: int = MAX_TOKENS) -> list[bytes]:
    """Requests of one size, and so of one worst case; every second is a stream."""
    return [body(stream=number % 2 == 1, model=model, text=text, max_tokens=max_tokens) for number in range(count)]


def body(*, stream: bool, model: str = "gated", text: str = "Hello", max_tokens: int = MAX_TOKENS) -> bytes:
    # "true" is a letter shorter than "false".
    message = {"role": "user", "content": text + "." * stream}
    return json.dumps({"model": model, "messages": [message], "max_tokens": max_tokens, "stream": stream}).encode()


async def ask(client: httpx2.AsyncClient, content: bytes, **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post("/chat/completions", content=content, headers=named)


def start(client: httpx2.AsyncClient, contents: Iterable[bytes]) -> "list[asyncio.Task[httpx2.Response]]":
    """All of them at once."""
    return [asyncio.create_task(ask(client, content)) for content in contents]


async def finished(calls: "Sequence[asyncio.Task[httpx2.Response]]", count: int) -> list[httpx2.Response]:
    """The answers that are there as soon as there are so many."""
    async with asyncio.timeout(LIMIT_S):
        while len(done := [call for call in calls if call.done()]) < count:
            await asyncio.wait([call for call in calls if not call.done()], return_when=asyncio.FIRST_COMPLETED)
    return [call.result() for call in done]


def error_of(answer: httpx2.Response) -> dict[str, Any]:
    error: dict[str, Any] = answer.json()["error"]
    return error
