"""Every kind of event that we subscribe to, delivered in every way: the books end with the same transfers.

Each kind has a story: what happened before it, the event before it, the event itself, and the one after it. Only
deliveries make us look; nothing is swept or refreshed.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, assert_never, get_args

import pytest
from sqlalchemy import select

from control_plane import ledger
from control_plane.paypal_documents import EVENT_KINDS
from gateway.money import format_usd
from local.paypal.books import Capture, Event
from tests.contract.control_plane.deliveries import signed_at
from tests.contract.control_plane.paypal_world import HOUR_MS, MINUTE_MS, PayPalWorld, money

Way = Literal["once", "twice", "ten times", "before its predecessor", "after its successor", "an hour late"]
Booked = dict[str, str]


@dataclass(kw_only=True)
class Stage:
    """A top-up of $10 at PayPal, and the things that happen to it one minute after another."""

    paypal: PayPalWorld
    topup: dict[str, Any]
    happened_at_ms: dict[str, int] = field(default_factory=dict)

    @property
    def capture(self) -> Capture:
        return self.paypal.capture(self.topup)

    async def happen(self, act: "Act") -> Event:
        self.paypal.world.clock.now_ms += MINUTE_MS
        event = self.paypal.event(await act(self))
        self.happened_at_ms.setdefault(event.id, self.paypal.world.clock.now_ms)
        return event

    async def deliver(self, event: Event, *, times: int = 1) -> None:
        """As it was sent when it happened; of its repetitions every other one is a transmission of its own."""
        headers = signed_at(self.paypal, event, self.happened_at_ms[event.id])
        for repetition in range(times):
            anew = repetition % 2 == 1
            answer = await self.paypal.deliver(event, self.paypal.signed(event.raw.encode()) if anew else headers)
            assert answer.json() == {"outcome": "seen" if repetition else "done"}


Act = Callable[[Stage], Awaitable[str]]


@dataclass(frozen=True, kw_only=True)
class Story:
    """``opening`` is told first and delivered in its order; ``booked`` and ``state`` are how all of it ends."""

    opening: tuple[Act, ...] = ()
    predecessor: Act
    act: Act
    successor: Act
    booked: Booked
    state: str


def approved(funding: str = "balance") -> Act:
    async def act(stage: Stage) -> str:
        stage.paypal.approve(stage.topup, funding)
        return "CHECKOUT.ORDER.APPROVED"

    return act


def captured(event_type: str = "PAYMENT.CAPTURE.COMPLETED") -> Act:
    """By us, if the approval was delivered; else by a call of ours that got no answer."""

    async def act(stage: Stage) -> str:
        order = stage.paypal.order(stage.topup)
        if order.capture_id is None:
            stage.paypal.desk.orders.capture(order.id)
        return event_type

    return act


async def lapsed(stage: Stage) -> str:
    stage.paypal.desk.orders.lapse(stage.paypal.order(stage.topup))
    return "CHECKOUT.PAYMENT-APPROVAL.REVERSED"


async def settled(stage: Stage) -> str:
    stage.paypal.desk.captures.settle(stage.capture)
    return "PAYMENT.CAPTURE.COMPLETED"


def denied(event_type: str) -> Act:
    async def act(stage: Stage) -> str:
        stage.paypal.desk.captures.deny(stage.capture, event_type)
        return event_type

    return act


def refunded(value: str) -> Act:
    async def act(stage: Stage) -> str:
        stage.paypal.desk.captures.refund(stage.capture, money(value))
        return "PAYMENT.CAPTURE.REFUNDED"

    return act


def disputed(value: str) -> Act:
    async def act(stage: Stage) -> str:
        stage.paypal.dispute(stage.topup, value)
        return "CUSTOMER.DISPUTE.CREATED"

    return act


async def escalated(stage: Stage) -> str:
    [dispute] = stage.paypal.desk.books.disputes.values()
    stage.paypal.desk.captures.update_dispute(dispute, "UNDER_REVIEW", "CHARGEBACK")
    return "CUSTOMER.DISPUTE.UPDATED"


async def won(stage: Stage) -> str:
    _resolve(stage, "RESOLVED_SELLER_FAVOUR")
    return "CUSTOMER.DISPUTE.RESOLVED"


async def lost(stage: Stage) -> str:
    """PayPal takes the money and resolves the dispute at once."""
    _resolve(stage, "RESOLVED_BUYER_FAVOUR")
    return "PAYMENT.CAPTURE.REVERSED"


async def told_that_it_is_lost(_: Stage) -> str:
    return "CUSTOMER.DISPUTE.RESOLVED"


async def paid_by_another_top_up(stage: Stage) -> str:
    another = await stage.paypal.start()
    stage.paypal.approve(another)
    stage.paypal.desk.orders.capture(stage.paypal.order(another).id)
    return "PAYMENT.CAPTURE.COMPLETED"


def _resolve(stage: Stage, outcome: str) -> None:
    [dispute] = stage.paypal.desk.books.disputes.values()
    stage.paypal.desk.captures.resolve_dispute(dispute, outcome, reverses=True)


def paid(capture: str) -> Booked:
    return {
        f"paypal:capture:{capture}": "external:paypal pays customer 10.00",
        f"paypal:capture:{capture}:fee": "fee:paypal pays external:paypal 0.84",
    }


def back(name: str, amount: str) -> Booked:
    return {f"paypal:{name}": f"customer pays external:paypal {amount}"}


def again(name: str, amount: str) -> Booked:
    return {f"paypal:{name}": f"external:paypal pays customer {amount}"}


def denial(event_type: str) -> Story:
    return Story(
        opening=(approved("review"),),
        predecessor=captured("PAYMENT.CAPTURE.PENDING"),
        act=denied(event_type),
        successor=paid_by_another_top_up,
        booked=paid("C2"),
        state="declined",
    )


# C, R and D are captures, refunds and disputes, in the order in which they were made.
STORIES: Final = {
    "CHECKOUT.ORDER.APPROVED": Story(
        predecessor=approved("card-declined"),
        act=approved(),
        successor=captured(),
        booked=paid("C1"),
        state="captured",
    ),
    "CHECKOUT.PAYMENT-APPROVAL.REVERSED": Story(
        predecessor=approved("card-declined"),
        act=lapsed,
        successor=paid_by_another_top_up,
        booked=paid("C1"),
        state="lapsed",
    ),
    "PAYMENT.CAPTURE.COMPLETED": Story(
        predecessor=approved(),
        act=captured(),
        successor=refunded("3.00"),
        booked=paid("C1") | back("refund:R1", "3.00"),
        state="partly_refunded",
    ),
    "PAYMENT.CAPTURE.PENDING": Story(
        predecessor=approved("echeck"),
        act=captured("PAYMENT.CAPTURE.PENDING"),
        successor=settled,
        booked=paid("C1"),
        state="captured",
    ),
    "PAYMENT.CAPTURE.DENIED": denial("PAYMENT.CAPTURE.DENIED"),
    "PAYMENT.CAPTURE.DECLINED": denial("PAYMENT.CAPTURE.DECLINED"),
    "PAYMENT.CAPTURE.REFUNDED": Story(
        opening=(approved(),),
        predecessor=captured(),
        act=refunded("3.00"),
        successor=refunded("2.00"),
        booked=paid("C1") | back("refund:R1", "3.00") | back("refund:R2", "2.00"),
        state="partly_refunded",
    ),
    "PAYMENT.CAPTURE.REVERSED": Story(
        opening=(approved(), captured()),
        predecessor=disputed("10.00"),
        act=lost,
        successor=told_that_it_is_lost,
        booked=paid("C1")
        | back("dispute:D1", "10.00")
        | back("reversal:R1", "10.00")
        | again("dispute:D1:covered:R1", "10.00"),
        state="lost",
    ),
    "CUSTOMER.DISPUTE.CREATED": Story(
        opening=(approved(),),
        predecessor=captured(),
        act=disputed("4.00"),
        successor=escalated,
        booked=paid("C1") | back("dispute:D1", "4.00"),
        state="disputed",
    ),
    "CUSTOMER.DISPUTE.UPDATED": Story(
        opening=(approved(), captured()),
        predecessor=disputed("4.00"),
        act=escalated,
        successor=won,
        booked=paid("C1") | back("dispute:D1", "4.00") | again("dispute:D1:released", "4.00"),
        state="won",
    ),
    "CUSTOMER.DISPUTE.RESOLVED": Story(
        opening=(approved(), captured(), disputed("4.00")),
        predecessor=escalated,
        act=won,
        successor=refunded("3.00"),
        booked=paid("C1")
        | back("dispute:D1", "4.00")
        | again("dispute:D1:released", "4.00")
        | back("refund:R1", "3.00"),
        state="partly_refunded",
    ),
}


def test_every_kind_of_event_that_we_act_on_has_a_story() -> None:
    assert STORIES.keys() == EVENT_KINDS.keys()


@pytest.mark.parametrize("way", get_args(Way))
@pytest.mark.parametrize("kind", STORIES)
async def test_however_an_event_is_delivered_the_transfers_are_the_same(
    paypal: PayPalWorld, kind: str, way: Way
) -> None:
    story = STORIES[kind]
    stage = Stage(paypal=paypal, topup=await paypal.start())
    for act in story.opening:
        await stage.deliver(await stage.happen(act))
    event = await tell(stage, story, way)

    assert event.event_type == kind
    assert await booked(paypal) == story.booked
    assert (await paypal.shown(stage.topup))["state"] == story.state
    assert await granted(paypal) == {id_ for id_, what in story.booked.items() if "customer" in what}
    assert await paypal.alerts() == []


async def tell(stage: Stage, story: Story, way: Way) -> Event:
    """Everything happens in its order; the event that the story is about is delivered in this way."""
    before = await stage.happen(story.predecessor)
    if way == "before its predecessor":
        event = await stage.happen(story.act)
        await stage.deliver(event)
        await stage.deliver(before)
    else:
        await stage.deliver(before)
        event = await stage.happen(story.act)
    match way:
        case "once":
            await stage.deliver(event)
        case "twice":
            await stage.deliver(event, times=2)
        case "ten times":
            await stage.deliver(event, times=10)
        case "an hour late":
            stage.paypal.world.clock.now_ms += HOUR_MS
            await stage.deliver(event)
        case "before its predecessor" | "after its successor":
            pass
        case _:
            assert_never(way)
    await stage.deliver(await stage.happen(story.successor))
    if way == "after its successor":
        await stage.deliver(event)
    return event


async def booked(paypal: PayPalWorld) -> Booked:
    """Every transfer there is, with short names for what it is about."""
    async with paypal.world.services.store.read() as connection:
        rows = (await connection.execute(select(ledger.transfers))).all()
    own = ledger.balance_of(paypal.account_id)
    return {
        short(paypal, row.id): f"{row.debit} pays {row.credit} {format_usd(row.amount_nano_usd)}".replace(
            own, "customer"
        )
        for row in rows
    }


async def granted(paypal: PayPalWorld) -> set[str]:
    return {short(paypal, grant.id) for grant in await paypal.wallet()}


def short(paypal: PayPalWorld, transfer_id: str) -> str:
    books = paypal.desk.books
    for letter, things in (("C", books.captures), ("R", books.refunds), ("D", books.disputes)):
        for number, id_ in enumerate(things, start=1):
            transfer_id = transfer_id.replace(id_, f"{letter}{number}")
    return transfer_id
