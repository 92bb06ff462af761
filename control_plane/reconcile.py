"""Whether the Wallets at the edge and the books here say the same, to the nano-dollar."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane import ledger, usage
from gateway.money import NanoUsd
from gateway.records import WalletState


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountDifference:
    """One account, seen from both sides.

    ``wallet_nano_usd`` is what its Wallet was granted less what it settled; holds do not count, because they are
    not spent. ``ledger_nano_usd`` is what the ledger says is left to it, trial credit included. ``usage_nano_usd``
    is the sum of its booked charges, taken from the usage records and not from the ledger.

    The difference, wallet less ledger, is zero when everything has arrived: a grant on its way to the Wallet shows
    as a negative difference of its amount, and settled usage on its way here (or in quarantine) likewise as one
    of its cost. A difference that stays is a fault.
    """

    account_id: str
    wallet_nano_usd: NanoUsd
    ledger_nano_usd: NanoUsd
    usage_nano_usd: NanoUsd

    @property
    def difference_nano_usd(self) -> NanoUsd:
        return NanoUsd(self.wallet_nano_usd - self.ledger_nano_usd)


async def reconcile(connection: AsyncConnection, wallet_states: Iterable[WalletState]) -> list[AccountDifference]:
    """Compare the Wallets with the books, one line per Wallet, in the order given."""
    balances = await ledger.balances_by_account(connection)
    costs = await usage.costs_by_account(connection)
    return [
        AccountDifference(
            account_id=state.account_id,
            wallet_nano_usd=NanoUsd(state.granted_nano_usd - state.settled_nano_usd),
            ledger_nano_usd=balances.get(state.account_id, NanoUsd(0)),
            usage_nano_usd=costs.get(state.account_id, NanoUsd(0)),
        )
        for state in wallet_states
    ]
