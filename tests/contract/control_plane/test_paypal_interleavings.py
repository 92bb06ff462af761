"""Whatever PayPal does, and however its webhooks come, the books end as one look at the end would have made them.

Every event is delivered once at least, perhaps before the one that was made before it, perhaps long after; the process
ends at any statement of the database, and PayPal then delivers again.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
from cryptography import x509
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import event as sql_event
from sqlalchemy import select

from control_plane import accounts, ledger, main, topups  # noqa: F401 # main imports every table
from control_plane.cashier import Cashier, Offer, Watch
from control_plane.edge import EdgeClient
from control_plane.fees import Fees
from control_plane.ledger import Transfer
from control_plane.outbox import outbox
from control_plane.payment_provider import TopUp
from control_plane.paypal import PayPal
from control_plane.paypal_api import PayPalApi
from control_plane.paypal_certificates import SANDBOX_NAME, PayPalCertificates, Trust
from control_plane.paypal_webhooks import PayPalWebhooks
from control_plane.store import Store, metadata
from control_plane.topups import CONFLICT
from gateway.fields import Fields
from gateway.money import NANO_PER_USD, NOTHING, NanoUsd
from gateway.records import Grant
from local.paypal.app import create_app
from local.paypal.books import Capture, Event
from local.paypal.desk import Desk
from local.paypal.errors import Refused
from tests.contract.control_plane.forgery import moment
from tests.contract.control_plane.paypal_world import BASE_URL, money, nano, open_desk, signing
from tests.contract.control_plane.stand_ins import Clock

ACCOUNT_ID, TOPUP_ID = "acct_payer", "topup_payer"
AMOUNT = NanoUsd(10 * NANO_PER_USD)
OUTCOMES = {
    "win": "RESOLVED_SELLER_FAVOUR",
    "withdraw": "CANCELED_BY_BUYER",
    "lose": "RESOLVED_BUYER_FAVOUR",
    "lose without a reversal": "RESOLVED_BUYER_FAVOUR",
}
PARTS = {"refund 3": money("3.00"), "dispute 4": money("4.00")}
ACTS = ("settle", "deny", "refund 3", "refund all", "reverse", "dispute 4", "dispute all", *OUTCOMES)
# What is likely to go wrong, with anything behind it; or just anything.
STORIES = (
    ("dispute all", "lose"),
    ("dispute 4", "lose without a reversal"),
    ("dispute 4", "win", "refund 3"),
    ("dispute all", "refund all", "withdraw"),
    ("refund 3", "dispute all", "lose"),
    ("refund 3", "reverse"),
    ("reverse", "dispute all"),
    ("refund 3", "refund 3"),
    ("settle", "refund all"),
)
ANYTHING = st.lists(st.sampled_from(ACTS), max_size=3)
HISTORIES = st.builds(lambda story, rest: [*story, *rest], st.sampled_from(STORIES), ANYTHING) | ANYTHING


class Killed(Exception):
    """The process has ended here."""


@dataclass
class Fuse:
    """Ends the process after so many statements, once; None is never."""

    left: int | None = None

    def burn(self, *_: object) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise Killed


@dataclass(frozen=True, kw_only=True)
class Shop:
    """A cashier on books of its own, and PayPal, which other shops may share."""

    desk: Desk
    clock: Clock
    store: Store
    fuse: Fuse
    cashier: Cashier
    paypal: PayPal

    async def deliver(self, event: Event, *, statements: int | None = None) -> bool:
        """Whether PayPal got its 200."""
        raw = event.raw.encode()
        headers = self.desk.signer.headers(
            raw, transmission_id=f"t-{event.id}", transmission_time=f"{_moment(self.clock)}"
        )
        self.fuse.left = statements
        try:
            await self.cashier.receive("paypal", raw, headers)
        except Killed:
            return False
        finally:
            self.fuse.left = None
        return True

    async def look(self, *, statements: int | None = None) -> None:
        self.fuse.left = statements
        with contextlib.suppress(Killed):
            await self.cashier.look(TOPUP_ID, reason="approved")
        self.fuse.left = None

    async def booked(self) -> dict[str, Transfer]:
        async with self.store.read() as connection:
            rows = (await connection.execute(select(ledger.transfers))).mappings()
            return {row["id"]: Transfer(**row) for row in rows}

    async def granted(self) -> list[Grant]:
        """What was sent to the Wallet, as often as it was sent."""
        async with self.store.read() as connection:
            payloads = (await connection.execute(select(outbox.c.payload))).scalars()
            return [Grant.from_fields(Fields.parse(payload, "grant")) for payload in payloads]

    async def topup(self) -> TopUp:
        async with self.store.read() as connection:
            return await topups.get(connection, TOPUP_ID)

    async def balance(self) -> int:
        async with self.store.read() as connection:
            return await ledger.own_money(connection, ACCOUNT_ID)


@contextlib.asynccontextmanager
async def open_shop(desk: Desk, clock: Clock, policy: Any) -> AsyncIterator[Shop]:
    store, fuse = Store.open("sqlite:///:memory:"), Fuse()
    async with store.begin() as connection:
        await connection.run_sync(metadata.create_all)
        await accounts.create(connection, account_id=ACCOUNT_ID, email="p@example.com", name=None, now_ms=clock())
    sql_event.listen(store._engine.sync_engine, "before_cursor_execute", fuse.burn)
    transport = httpx2.ASGITransport(app=create_app(desk))
    api = PayPalApi(
        base_url=BASE_URL,
        client_id=desk.merchant.client_id,
        client_secret=SecretStr(desk.merchant.client_secret),
        now_ms=clock,
        transport=transport,
    )
    certificates = PayPalCertificates(trust(), now_ms=clock, transport=transport)
    webhooks = PayPalWebhooks(certificates=certificates, api=api, webhook_id=desk.merchant.webhook_id, now_ms=clock)
    paypal = PayPal(api, webhooks, brand_name="shop", merchant_id=desk.merchant.merchant_id)
    edge = EdgeClient(edge_url="http://edge.test", internal_secret=SecretStr("x" * 32))
    fees = Fees(policy=policy, uniform_fee=nano("0.37"), estimate_basis_points=0, estimate_fixed=NOTHING)
    cashier = Cashier(
        store=store,
        providers=(paypal,),
        edge=edge,
        offer=Offer(least=NanoUsd(1), most=AMOUNT, fees=fees, return_base_url="https://shop.example.com"),
        watch=Watch(least_ms=1, lapse_ms=10**12, watch_ms=10**12),
        now_ms=clock,
        booked=lambda: None,
    )
    try:
        yield Shop(desk=desk, clock=clock, store=store, fuse=fuse, cashier=cashier, paypal=paypal)
    finally:
        await paypal.close()
        await edge.close()
        await store.close()


def trust() -> Trust:
    return Trust(
        origins=frozenset((BASE_URL,)),
        names=frozenset((SANDBOX_NAME,)),
        roots=(x509.load_pem_x509_certificate(signing().root_pem),),
    )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), policy=st.sampled_from(["absorb", "uniform_fee", "deduct"]))
def test_any_interleaving_ends_in_the_books_of_one_look_at_the_end(data: st.DataObject, policy: str) -> None:
    asyncio.run(_check_interleaving(data, policy))


async def _check_interleaving(data: st.DataObject, policy: str) -> None:
    clock = Clock()
    desk = open_desk(clock)
    async with open_shop(desk, clock, policy) as shop:
        started = await shop.cashier.start(ACCOUNT_ID, AMOUNT, topup_id=TOPUP_ID)
        funding = data.draw(st.sampled_from(["balance", "balance", "balance", "echeck", "card-declined"]))
        desk.orders.approve(desk.books.order(started.payment_ref or ""), funding)
        owed: set[str] = set()
        for act in ["capture", *data.draw(HISTORIES)]:
            clock.now_ms += data.draw(st.sampled_from([0, 1_000, 3_600_000]))
            await _act(shop, act)
            owed |= set(desk.books.events)
            await _deliver_some(shop, data, owed)
        for event_id in data.draw(st.permutations(sorted(desk.books.events))):
            for _ in range(data.draw(st.sampled_from([1, 1, 2, 10]))):
                assert await shop.deliver(desk.books.events[event_id])
        await shop.look()
        await _compare(shop, policy, started)


async def _deliver_some(shop: Shop, data: st.DataObject, owed: set[str]) -> None:
    """Some of the events so far, in any order, as often as it pleases, with the process ending here and there."""
    for _ in range(data.draw(st.integers(0, 3))):
        statements = data.draw(st.none() | st.integers(0, 25))
        what = data.draw(st.sampled_from([*sorted(owed), ""]))
        if what:
            await shop.deliver(shop.desk.books.events[what], statements=statements)
        else:
            await shop.look(statements=statements)


async def _compare(shop: Shop, policy: str, started: TopUp) -> None:
    """With a shop that knows of the payment, and looks once, now."""
    async with open_shop(shop.desk, shop.clock, policy) as late:
        async with late.store.begin() as connection:
            await topups.add(connection, started)
        await late.look()
        assert await shop.booked() == await late.booked()
        granted, once = await shop.granted(), await late.granted()
        assert sorted(granted, key=lambda grant: grant.id) == sorted(once, key=lambda grant: grant.id)
        ended, expected = await shop.topup(), await late.topup()
        assert (ended.state, ended.refunded_nano_usd) == (expected.state, expected.refunded_nano_usd)
        assert CONFLICT not in (ended.alert or "")
        if policy == "absorb":
            assert await shop.balance() == what_is_left(shop.desk)


def what_is_left(desk: Desk) -> int:
    """Of the payment, by PayPal's books: less what went back, and what a dispute holds or took besides."""
    captures = [item for item in desk.books.captures.values() if item.status not in ("PENDING", "DECLINED")]
    if not captures:
        return 0
    [capture] = captures
    refunds = desk.books.refunds_of(capture.id)
    gone: int = sum(nano(str(refund.amount.value)) for refund in refunds)
    for dispute in desk.books.disputes.values():
        if dispute.outcome in (None, "RESOLVED_BUYER_FAVOUR"):
            opened_s = dispute.created_ms // 1000
            before = sum(nano(str(item.amount.value)) for item in refunds if item.created_ms // 1000 < opened_s)
            disputed = min(nano(str(dispute.amount.value)), AMOUNT - before)
            gone = before + max(gone - before, disputed)
    return AMOUNT - min(gone, AMOUNT)


async def _act(shop: Shop, act: str) -> None:
    """What PayPal, the payer or the operator does next; what PayPal does not allow does not happen."""
    desk = shop.desk
    with contextlib.suppress(Refused):
        if act == "capture":
            [order] = desk.books.orders.values()
            desk.orders.capture(order.id)
        for capture in list(desk.books.captures.values()):
            _act_on(desk, capture, act)


def _act_on(desk: Desk, capture: Capture, act: str) -> None:
    if act == "settle":
        desk.captures.settle(capture)
    elif act == "deny":
        desk.captures.deny(capture)
    elif act in OUTCOMES:
        for dispute in desk.books.disputes.values():
            if dispute.status != "RESOLVED":
                desk.captures.resolve_dispute(dispute, OUTCOMES[act], reverses=act == "lose")
    elif capture.status not in ("PENDING", "DECLINED"):
        _take_back(desk, capture, act)


def _take_back(desk: Desk, capture: Capture, act: str) -> None:
    amount = PARTS.get(act)
    if act.startswith("refund"):
        desk.captures.refund(capture, amount)
    elif not desk.books.disputes:
        if act == "reverse":
            desk.captures.reverse(capture)
        elif act.startswith("dispute"):
            desk.captures.open_dispute(capture, amount, "UNAUTHORISED", "INQUIRY")


def _moment(clock: Clock) -> str:
    return f"{moment(clock.now_ms):%Y-%m-%dT%H:%M:%SZ}"
