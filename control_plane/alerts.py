"""What the operator should look at, found in the books as they stand and in how the providers do."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane import ledger, topups
from control_plane.provider_health import OUR_BALANCE, OUR_KEY, WINDOW_MS, Report
from gateway.money import format_usd

TOP_UPS_MAX: Final = 200
_WINDOW_TEXT: Final = f"the last {WINDOW_MS // 60_000} minutes"
_REFUSALS: Final = {
    "provider_key": "the provider refused our key",
    "provider_balance": "there is no money of ours at the provider",
}

AlertKind = Literal["topup", "negative_balance", "provider_key", "provider_balance", "provider_down"]
AlertKey = tuple[AlertKind, str | None, str | None, str | None, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something that does not mend itself; it goes away when its cause has."""

    kind: AlertKind
    account_id: str | None = None
    topup_id: str | None = None
    provider: str | None = None
    model: str | None = None
    detail: str

    @property
    def key(self) -> AlertKey:
        """What it is about, however its detail changes."""
        return self.kind, self.account_id, self.topup_id, self.provider, self.model


async def find(connection: AsyncConnection, reports: Iterable[Report]) -> list[Alert]:
    """Providers that fail, top-ups that do not match what their provider says, and accounts that owe us."""
    return [*of_providers(reports), *await _of_money(connection)]


def of_providers(reports: Iterable[Report]) -> list[Alert]:
    """Providers that refuse our key or find no money of ours, and targets that are down."""
    refused = Counter[tuple[AlertKind, str]]()
    down = []
    for report in reports:
        provider, model = report.target
        refused["provider_key", provider] += report.outcomes.get(OUR_KEY, 0)
        refused["provider_balance", provider] += report.outcomes.get(OUR_BALANCE, 0)
        if report.health == "down":
            down.append(Alert(kind="provider_down", provider=provider, model=model, detail=_outcomes_text(report)))
    accounts = [
        Alert(kind=kind, provider=provider, detail=f"{count} requests in {_WINDOW_TEXT} failed: {_REFUSALS[kind]}")
        for (kind, provider), count in refused.items()
        if count
    ]
    return accounts + down


async def _of_money(connection: AsyncConnection) -> list[Alert]:
    found = [
        Alert(kind="topup", account_id=topup.account_id, topup_id=topup.id, detail=topup.alert or "")
        for topup in await topups.with_alerts(connection, limit=TOP_UPS_MAX)
    ]
    overdrawn = sorted((await ledger.overdrawn(connection)).items())
    return found + [
        Alert(
            kind="negative_balance",
            account_id=account_id,
            detail=f"the balance is {format_usd(balance)} USD, and the account is refused until it is paid",
        )
        for account_id, balance in overdrawn
    ]


def _outcomes_text(report: Report) -> str:
    counts = ", ".join(f"{count} {outcome}" for outcome, count in report.outcomes.items())
    return f"asked after all others; in {_WINDOW_TEXT}: {counts}"
