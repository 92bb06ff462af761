"""The parts of the simulator, put together: what the API, the pages and the control share."""

from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from local.paypal.books import Books, Keeper
from local.paypal.captures import Captures
from local.paypal.certificates import Signing
from local.paypal.clock import Clock
from local.paypal.deliveries import Deliveries
from local.paypal.events import Events
from local.paypal.faults import Faults
from local.paypal.memory import Memory
from local.paypal.merchant import Merchant
from local.paypal.orders import Orders
from local.paypal.shapes import Shapes
from local.paypal.signature import Signer
from local.paypal.tokens import Tokens

MAX_CALLS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A call that came to the API, for tests to look at."""

    operation: str
    path: str
    request_id: str | None
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    merchant: Merchant
    clock: Clock
    books: Books
    shapes: Shapes
    signer: Signer
    deliveries: Deliveries
    events: Events
    orders: Orders
    captures: Captures
    memory: Memory
    tokens: Tokens
    faults: Faults = field(default_factory=Faults)
    calls: deque[Made] = field(default_factory=lambda: deque(maxlen=MAX_CALLS))
    keeper: Keeper

    @classmethod
    def open(
        cls,
        *,
        base_url: str,
        merchant: Merchant,
        signing: Signing,
        webhook_url: str | None = None,
        retry_scale: float = 1.0,
        clock: Clock | None = None,
        books_file: Path | None = None,
        webhook_transport: httpx2.AsyncBaseTransport | None = None,
    ) -> "Desk":
        """``base_url`` is where this process is reached, without a slash at the end."""
        clock = clock or Clock()
        keeper = Keeper(books_file)
        books = keeper.books
        signer = Signer(signing=signing, base_url=base_url, webhook_id=merchant.webhook_id)

        shapes = Shapes(books=books, base_url=base_url)
        deliveries = Deliveries(
            books=books,
            clock=clock,
            signer=signer,
            webhook_url=webhook_url,
            transport=webhook_transport,
            retry_scale=retry_scale,
            changed=keeper.changed,
        )
        events = Events(shapes, clock, deliveries.publish)
        return cls(
            merchant=merchant,
            clock=clock,
            books=books,
            shapes=shapes,
            signer=signer,
            deliveries=deliveries,
            events=events,
            orders=Orders(books=books, clock=clock, events=events, shapes=shapes),
            captures=Captures(books=books, clock=clock, events=events),
            memory=Memory(books=books, clock=clock),
            tokens=Tokens(merchant, clock),
            keeper=keeper,
        )
