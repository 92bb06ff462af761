"""The delivery of webhooks: in the order they are due, again and again until the merchant has taken each.

The times are the simulator's, so moving its clock on makes what is due later due now.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Literal

import httpx2
from pydantic import BaseModel, ConfigDict, Field

from local.paypal.books import Attempt, Books, Delivery, Event
from local.paypal.clock import Clock, shown
from local.paypal.identifiers import transmission_id
from local.paypal.signature import Signer

# "Up to 25 times over the course of 3 days", developer.paypal.com/api/rest/webhooks. The gaps are not published: here
# they double from a minute to four hours.
MAX_ATTEMPTS = 25
FIRST_GAP_MS = 60_000
MAX_GAP_MS = 4 * 3_600_000
ANSWER_LIMIT_S = 30
MAX_ERROR_CHARS = 200


class Policy(BaseModel):
    """How events are delivered from now on.

    ``hold`` keeps new ones back until they are released. ``copies`` delivers each that many times. ``delay_s`` has them
    due later. ``at_once`` sends all that are due side by side, not one after the other.
    """

    model_config = ConfigDict(extra="forbid")

    hold: bool = False
    copies: int = Field(default=1, ge=1, le=100)
    delay_s: float = Field(default=0, ge=0)
    at_once: bool = False


class Deliveries:
    """Sends to one address, or keeps everything back where there is none."""

    def __init__(
        self,
        *,
        books: Books,
        clock: Clock,
        signer: Signer,
        webhook_url: str | None,
        transport: httpx2.AsyncBaseTransport | None = None,
        retry_scale: float = 1.0,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """``retry_scale`` shortens the gaps between attempts; ``changed`` is called after each attempt."""
        self.policy = Policy()
        self.webhook_url = webhook_url
        self._books = books
        self._clock = clock
        self._signer = signer
        self._transport = transport
        self._retry_scale = retry_scale
        self._changed = changed
        self._awake = asyncio.Event()
        self._progress = asyncio.Condition()
        clock.on_advance(self._awake.set)

    def publish(self, event: Event) -> None:
        """Hands an event over for delivery, as the policy says."""
        now_ms = self._clock.now_ms()
        headers = self._signed(event)
        for _ in range(self.policy.copies):
            self._books.deliveries.append(
                Delivery(
                    event_id=event.id,
                    headers=headers,
                    state="held" if self.policy.hold else "waiting",
                    due_ms=now_ms + int(self.policy.delay_s * 1000),
                )
            )
        self._awake.set()

    def repeat(self, event: Event, times: int) -> None:
        """Delivers the event again just as it was: the same transmission."""
        headers = next((d.headers for d in self._of(event.id)), None) or self._signed(event)
        self._send_anew(event, headers, times)

    def resend(self, event: Event) -> None:
        """Delivers the event again in a transmission of its own, signed now."""
        self._send_anew(event, self._signed(event), 1)

    def release(self, order: Literal["made", "reversed"], event_types: Iterable[str] | None = None) -> int:
        """Lets held ones go, all or those of some types, in this order. Returns how many."""
        types = set(event_types) if event_types is not None else None
        held = [d for d in self._books.deliveries if d.state == "held" and self._is_of(d, types)]
        now_ms = self._clock.now_ms()
        for delivery in held:
            self._books.deliveries.remove(delivery)
            delivery.state, delivery.due_ms = "waiting", now_ms
        self._books.deliveries.extend(held if order == "made" else reversed(held))
        self._awake.set()
        return len(held)

    def hurry(self) -> None:
        """Has all that waits for its time, or for its next attempt, due now."""
        now_ms = self._clock.now_ms()
        for delivery in self._books.deliveries:
            if delivery.state == "waiting":
                delivery.due_ms = min(delivery.due_ms, now_ms)
        self._awake.set()

    async def drained(self) -> None:
        """Returns when nothing is due: each has been tried as often as its time allowed."""
        async with self._progress:
            await self._progress.wait_for(lambda: self.webhook_url is None or not self._due())

    async def run(self) -> None:
        """Delivers, for ever."""
        async with httpx2.AsyncClient(transport=self._transport, timeout=ANSWER_LIMIT_S) as client:
            while True:
                self._awake.clear()
                due = self._due() if self.webhook_url else []
                batch = due if self.policy.at_once else due[:1]
                await asyncio.gather(*(self._attempt(client, delivery) for delivery in batch))
                async with self._progress:
                    self._progress.notify_all()
                if not due:
                    await self._sleep()

    async def _attempt(self, client: httpx2.AsyncClient, delivery: Delivery) -> None:
        body = self._books.events[delivery.event_id].raw.encode()
        attempt = await self._post(client, delivery.headers, body)
        delivery.attempts.append(attempt)
        if 200 <= attempt.status < 300:
            delivery.state = "delivered"
        elif len(delivery.attempts) >= MAX_ATTEMPTS:
            delivery.state = "given up"
        else:
            delivery.due_ms = self._clock.now_ms() + self._gap_ms(len(delivery.attempts))
        self._changed()

    async def _post(self, client: httpx2.AsyncClient, headers: dict[str, str], body: bytes) -> Attempt:
        at_ms = self._clock.now_ms()
        try:
            answer = await client.post(str(self.webhook_url), content=body, headers=headers)
        except httpx2.HTTPError as error:
            return Attempt(at_ms=at_ms, status=0, error=f"{type(error).__name__}: {error}"[:MAX_ERROR_CHARS])
        return Attempt(at_ms=at_ms, status=answer.status_code)

    async def _sleep(self) -> None:
        """Until the next is due, or until something changes."""
        waiting = [d.due_ms for d in self._books.deliveries if d.state == "waiting"]
        left_s = (min(waiting) - self._clock.now_ms()) / 1000 if waiting and self.webhook_url else None
        try:
            await asyncio.wait_for(self._awake.wait(), left_s)
        except TimeoutError:
            return

    def _due(self) -> list[Delivery]:
        """Earliest first; those due at the same time stay in their order."""
        now_ms = self._clock.now_ms()
        return sorted(
            (d for d in self._books.deliveries if d.state == "waiting" and d.due_ms <= now_ms), key=lambda d: d.due_ms
        )

    def _gap_ms(self, attempts: int) -> int:
        return int(min(FIRST_GAP_MS * 2 ** (attempts - 1), MAX_GAP_MS) * self._retry_scale)

    def _send_anew(self, event: Event, headers: dict[str, str], times: int) -> None:
        now_ms = self._clock.now_ms()
        for _ in range(times):
            delivery = Delivery(event_id=event.id, headers=headers, state="waiting", due_ms=now_ms)
            self._books.deliveries.append(delivery)
        self._awake.set()

    def _signed(self, event: Event) -> dict[str, str]:
        return self._signer.headers(
            event.raw.encode(), transmission_id=transmission_id(), transmission_time=shown(self._clock.now_ms())
        )

    def _of(self, event_id: str) -> list[Delivery]:
        return [delivery for delivery in self._books.deliveries if delivery.event_id == event_id]

    def _is_of(self, delivery: Delivery, event_types: set[str] | None) -> bool:
        return event_types is None or self._books.events[delivery.event_id].event_type in event_types
