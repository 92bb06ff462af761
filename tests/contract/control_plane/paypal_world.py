"""A control plane with PayPal behind it: the simulator, called in this process, whose webhooks a test delivers."""

import functools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy import select

from control_plane import ledger, outbox
from control_plane.ledger import Transfer
from control_plane.payment_provider import PaymentProvider
from gateway.money import NanoUsd, format_usd, parse_usd
from gateway.records import Grant
from local.paypal import certificates
from local.paypal.app import create_app
from local.paypal.books import Capture, Dispute, Event, Order
from local.paypal.certificates import Signing
from local.paypal.clock import Clock as PayPalClock
from local.paypal.desk import Desk
from local.paypal.identifiers import transmission_id
from local.paypal.merchant import Merchant
from local.paypal.money import Money
from tests.contract.control_plane.stand_ins import Clock
from tests.contract.control_plane.world import World, read, running
from tests.contract.paypal.published import assert_request_is_valid

BASE_URL = "https://api-m.sandbox.paypal.com"
MINUTE_MS, HOUR_MS = 60_000, 3_600_000
# So far apart that no round begins by itself while a test runs.
NO_SWEEP_MS = 24 * HOUR_MS


@dataclass
class Wire(httpx2.AsyncBaseTransport):
    """The way to PayPal, which holds every request of ours to what PayPal publishes.

    While it is ``down`` nothing passes. ``silent`` counts, by the end of a path, calls that PayPal serves and whose
    answers are lost. ``after`` is the end of a path: PayPal serves such a call and is down from then on. ``replaced``
    answers in PayPal's place.
    """

    inner: httpx2.AsyncBaseTransport
    down: bool = False
    silent: dict[str, int] = field(default_factory=dict)
    after: str | None = None
    replaced: Callable[[httpx2.Request], httpx2.Response | None] = lambda _request: None
    calls: list[httpx2.Request] = field(default_factory=list)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.calls.append(request)
        _assert_published(request)
        if self.down:
            raise httpx2.ConnectError("PayPal is down", request=request)
        if (replacement := self.replaced(request)) is not None:
            return replacement
        response = await self.inner.handle_async_request(request)
        if self.after is not None and request.url.path.endswith(self.after):
            self.down = True
            raise httpx2.ReadTimeout("no answer came", request=request)
        for path, left in self.silent.items():
            if left and request.method == "POST" and request.url.path.endswith(path):
                self.silent[path] = left - 1
                await response.aread()
                raise httpx2.ReadTimeout("no answer came", request=request)
        return response

    def made(self, method: str, path: str) -> list[httpx2.Request]:
        """The calls to paths that end so."""
        return [call for call in self.calls if call.method == method and call.url.path.endswith(path)]


def _assert_published(request: httpx2.Request) -> None:
    """Certificates and the token are no part of the published JSON operations."""
    if request.url.path.startswith(("/v2/", "/v1/customer/", "/v1/notifications/verify")):
        body = json.loads(request.content) if request.content else None
        assert_request_is_valid(request.method, request.url.path, body)


@dataclass(frozen=True, kw_only=True)
class PayPalWorld:
    """A customer with an account, and PayPal."""

    world: World
    customer: httpx2.AsyncClient
    account_id: str
    desk: Desk
    wire: Wire

    async def start(self, amount: str = "10.00") -> dict[str, Any]:
        answer = await self.customer.post("/account/v1/topups", json={"amount_usd": amount})
        assert answer.status_code == 201, answer.text
        topup: dict[str, Any] = answer.json()
        return topup

    async def paid(self, amount: str = "10.00", funding: str = "balance") -> dict[str, Any]:
        """A top-up that was approved and whose payer came back."""
        topup = await self.start(amount)
        self.approve(topup, funding)
        await self.come_back(topup)
        return await self.shown(topup)

    def approve(self, topup: dict[str, Any], funding: str = "balance") -> None:
        self.desk.orders.approve(self.order(topup), funding)

    async def come_back(self, topup: dict[str, Any]) -> httpx2.Response:
        return await self.world.anyone.get(f"/topups/{topup['id']}/return")

    async def shown(self, topup: dict[str, Any]) -> dict[str, Any]:
        """As the operator sees it, without asking PayPal."""
        found: dict[str, Any] = await read(self.world.admin, f"/admin/v1/topups/{topup['id']}")
        return found

    async def refresh(self, topup: dict[str, Any]) -> dict[str, Any]:
        answer = await self.world.admin.post(f"/admin/v1/topups/{topup['id']}/refresh")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def balance(self) -> str:
        return str((await read(self.customer, "/account/v1/balance"))["balance_usd"])

    def order(self, topup: dict[str, Any]) -> Order:
        [order] = [order for order in self.desk.books.orders.values() if order.invoice_id == topup["id"]]
        return order

    def capture(self, topup: dict[str, Any]) -> Capture:
        return self.desk.books.capture(self.order(topup).capture_id or "")

    def dispute(self, topup: dict[str, Any], value: str | None = None) -> Dispute:
        capture = self.capture(topup)
        amount = None if value is None else money(value)
        return self.desk.captures.open_dispute(capture, amount, "UNAUTHORISED", "INQUIRY")

    @property
    def events(self) -> list[Event]:
        return list(self.desk.books.events.values())

    def event(self, event_type: str) -> Event:
        """The newest of a type."""
        return [event for event in self.events if event.event_type == event_type][-1]

    def signed(self, raw: bytes) -> dict[str, str]:
        """The headers of a delivery of these bytes by PayPal, now."""
        moment = datetime.fromtimestamp(self.world.clock.now_ms / 1000, UTC)
        return self.desk.signer.headers(
            raw, transmission_id=transmission_id(), transmission_time=f"{moment:%Y-%m-%dT%H:%M:%SZ}"
        )

    async def deliver(
        self, event: Event | bytes, headers: dict[str, str] | None = None, **changed: str | None
    ) -> httpx2.Response:
        """``changed`` replaces headers, by their names without ``paypal-``; None leaves one out."""
        raw = event.raw.encode() if isinstance(event, Event) else event
        sent = dict(headers or self.signed(raw))
        for name, value in changed.items():
            header = f"paypal-{name.replace('_', '-')}"
            sent.pop(header)
            if value is not None:
                sent[header] = value
        return await self.world.anyone.post("/webhooks/paypal", content=raw, headers=sent)

    async def deliver_all(self) -> None:
        for event in self.events:
            answer = await self.deliver(event)
            assert answer.status_code == 200, answer.text

    async def wallet(self) -> list[Grant]:
        """What the account's Wallet was given, after everything has arrived."""
        async with self.world.services.store.read() as connection:
            waiting = await outbox.undelivered(connection, [self.account_id])
        assert await self.world.services.projector.delivered(waiting, timeout_s=30)
        return list(self.world.edge.grants[self.account_id].values())

    async def spend(self, amount: str) -> None:
        """Usage that is paid from the account's own money."""
        usage = Transfer(
            id=f"usage:req_{amount}",
            debit=ledger.balance_of(self.account_id),
            credit=ledger.USAGE_REVENUE,
            amount_nano_usd=NanoUsd(nano(amount)),
            kind="usage",
            reference=f"req_{amount}",
            created_at_ms=self.world.clock.now_ms,
        )
        async with self.world.services.store.begin() as connection:
            await ledger.post(connection, usage)

    async def books(self) -> dict[str, str]:
        """Every ledger account that is not empty."""
        async with self.world.services.store.read() as connection:
            rows = (await connection.execute(select(ledger.ledger_accounts))).all()
        assert sum(row.balance_nano_usd for row in rows) == 0
        return {row.id: format_usd(row.balance_nano_usd) for row in rows if row.balance_nano_usd}

    async def alerts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await read(self.world.admin, "/admin/v1/alerts"))["items"]
        return found


@functools.cache
def signing() -> Signing:
    """Keys take long to make, and every test can use the same."""
    return certificates.make(datetime.fromtimestamp(Clock().now_ms / 1000, UTC))


def money(value: str) -> Money:
    return Money(currency_code="USD", value=Decimal(value))


def nano(value: str) -> NanoUsd:
    return parse_usd(value)


def open_desk(clock: Clock) -> Desk:
    return Desk.open(base_url=BASE_URL, merchant=Merchant.make(), signing=signing(), clock=PayPalClock(clock))


def settings_for(desk: Desk, folder: Path) -> dict[str, Any]:
    """What an operator sets to use this PayPal."""
    roots = folder / "roots.pem"
    roots.write_bytes(desk.signer.signing.root_pem)
    return {
        "paypal_client_id": desk.merchant.client_id,
        "paypal_client_secret": desk.merchant.client_secret,
        "paypal_webhook_id": desk.merchant.webhook_id,
        "paypal_merchant_id": desk.merchant.merchant_id,
        "paypal_base_url": BASE_URL,
        "paypal_trust_roots_file": str(roots),
        "top_up_sweep_interval_ms": NO_SWEEP_MS,
    }


@asynccontextmanager
async def paypal_running(
    folder: Path, *, providers: tuple[PaymentProvider, ...] = (), **settings: Any
) -> AsyncIterator[PayPalWorld]:
    """Everything, with one account that has nothing."""
    clock = Clock()
    desk = open_desk(clock)
    wire = Wire(inner=httpx2.ASGITransport(app=create_app(desk)))
    options = settings_for(desk, folder) | settings
    async with running(folder, clock=clock, paypal=wire, providers=providers, **options) as world:
        account_id = await world.open_account()
        async with await world.customer(account_id) as customer:
            yield PayPalWorld(world=world, customer=customer, account_id=account_id, desk=desk, wire=wire)


def body_of(call: httpx2.Request) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(call.content)
    return body
