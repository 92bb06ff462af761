"""Amounts as PayPal writes them, and its fee."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

CENT = Decimal("0.01")
# Checkout in the United States, developer.paypal.com and paypal.com/us/business/paypal-business-fees.
FEE_RATE = Decimal("0.0349")
FIXED_FEE = Decimal("0.49")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """An amount with two decimals in one currency."""

    currency_code: str
    value: Decimal

    def shown(self) -> Json:
        return {"currency_code": self.currency_code, "value": f"{self.value:.2f}"}

    def of(self, value: Decimal) -> "Money":
        """Another amount in the same currency."""
        return Money(currency_code=self.currency_code, value=value)

    def __str__(self) -> str:
        """As in the summaries of webhooks: ``$ 2.51 USD``, and ``$ 100.0 USD`` for a whole amount."""
        tenths = f"{self.value:.1f}"
        number = tenths if Decimal(tenths) == self.value else f"{self.value:.2f}"
        sign = "$ " if self.currency_code == "USD" else self.currency_code
        return f"{sign}{number} {self.currency_code}"


def fee(gross: Money) -> Money:
    share = (gross.value * FEE_RATE).quantize(CENT, ROUND_HALF_UP)
    return gross.of(share + FIXED_FEE)
