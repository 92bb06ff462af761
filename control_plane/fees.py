"""Who pays a payment provider's fee, and what of it is shown before the payment."""

from dataclasses import dataclass
from typing import Literal

from gateway.money import BASIS_POINTS, NANO_PER_USD, NOTHING, NanoUsd

FeePolicy = Literal["absorb", "deduct", "uniform_fee"]

NANO_PER_CENT = NANO_PER_USD // 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Fees:
    """The operator's choice.

    absorb: the account is credited with all that was paid. deduct: less the fee that the provider reports, which is
    estimated from its published rate until then. uniform_fee: less the same fee for every way to pay.
    """

    policy: FeePolicy
    uniform_fee: NanoUsd
    estimate_basis_points: int
    estimate_fixed: NanoUsd

    def expected(self, amount: NanoUsd) -> NanoUsd:
        """What a payment of this amount will be short of when it is credited."""
        match self.policy:
            case "absorb":
                return NOTHING
            case "uniform_fee":
                return self.uniform_fee
            case "deduct":
                exact = amount * self.estimate_basis_points + self.estimate_fixed * BASIS_POINTS
                cent = BASIS_POINTS * NANO_PER_CENT
                return NanoUsd((2 * exact + cent) // (2 * cent) * NANO_PER_CENT)
