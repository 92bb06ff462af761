"""PayPal-Request-Id: the same id has the same result, for as long as PayPal remembers it."""

from collections.abc import Callable
from dataclasses import dataclass

from local.paypal.books import Books, Remembered
from local.paypal.clock import Clock

# developer.paypal.com/api/orders/v2 and /api/payments/v2, parameter PayPal-Request-Id
ORDERS_KEPT_MS = 6 * 3_600_000
PAYMENTS_KEPT_MS = 45 * 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    books: Books
    clock: Clock

    def once(self, scope: str, request_id: str | None, kept_ms: int, act: Callable[[], str]) -> tuple[str, bool]:
        """The id of what the act makes, and whether it made it just now. An act that is refused is not remembered."""
        if request_id is None:
            return act(), True
        key, now_ms = f"{scope} {request_id}", self.clock.now_ms()
        known = self.books.requests.get(key)
        if known is not None and known.until_ms > now_ms:
            return known.resource_id, False
        made = act()
        self.books.requests[key] = Remembered(resource_id=made, until_ms=now_ms + kept_ms)
        return made, True
