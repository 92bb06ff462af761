"""What the operator should look at, found in the books as they stand."""

from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane import ledger, topups
from gateway.money import format_usd

TOP_UPS_MAX: Final = 200

AlertKind = Literal["topup", "negative_balance"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something that does not mend itself; it goes away when its cause has."""

    kind: AlertKind
    account_id: str
    topup_id: str | None
    detail: str


async def find(connection: AsyncConnection) -> list[Alert]:
    """Top-ups that do not match what their provider says, and accounts that owe us."""
    found = [
        Alert(kind="topup", account_id=topup.account_id, topup_id=topup.id, detail=topup.alert or "")
        for topup in await topups.with_alerts(connection, limit=TOP_UPS_MAX)
    ]
    overdrawn = sorted((await ledger.overdrawn(connection)).items())
    return found + [
        Alert(
            kind="negative_balance",
            account_id=account_id,
            topup_id=None,
            detail=f"the balance is {format_usd(balance)} USD, and the account is refused until it is paid",
        )
        for account_id, balance in overdrawn
    ]
