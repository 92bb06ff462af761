"""The JSON of answers. Times are RFC 3339 in UTC; amounts are decimal strings in USD, or integers in ``_nano_usd``."""

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from control_plane.accounts import Account, AccountState
from control_plane.alerts import AlertKind
from control_plane.api.scalars import TimeOut, UsdOut
from control_plane.keys import Key
from control_plane.ledger import AccountBalance
from control_plane.outbox import Kind, OutboxRow, OutboxState, Target
from control_plane.tokens import Token
from gateway.records import Health, KeyState, SpendCapPeriod, UsageRecord, UsageState

Item = TypeVar("Item")


class PageOut(BaseModel, Generic[Item]):
    """One page, newest first; ``next_cursor`` is null on the last."""

    items: list[Item]
    next_cursor: str | None


class BalanceOut(BaseModel):
    """What an account has, has spent, and what its open requests hold (null: the edge does not say now)."""

    balance_usd: UsdOut
    spent_usd: UsdOut
    held_usd: UsdOut | None


class AccountSummary(BaseModel):
    """An account in a list."""

    id: str = Field(examples=["acct_k5n3xq2zr7w4ybt6cdmf"])
    email: str
    name: str | None
    state: AccountState
    created_at: TimeOut
    balance_usd: UsdOut
    spent_usd: UsdOut

    @staticmethod
    def fields_of(account: Account, balance: AccountBalance) -> dict[str, Any]:
        return {
            "id": account.id,
            "email": account.email,
            "name": account.name,
            "state": account.state,
            "created_at": account.created_at_ms,
            "balance_usd": balance.balance_nano_usd,
            "spent_usd": balance.spent_nano_usd,
        }


class AccountOut(AccountSummary):
    """An account; ``held_usd`` is what its open requests hold (null: the edge does not say now)."""

    held_usd: UsdOut | None


class CreditOut(BaseModel):
    """The transfer that was booked; ``delivered`` says whether the account's Wallet has it already."""

    transfer_id: str = Field(examples=["credit:acct_k5n3xq2zr7w4ybt6cdmf:invoice-2026-11"])
    balance_usd: UsdOut
    delivered: bool


class TokenOut(BaseModel):
    """An account token without its text."""

    id: str = Field(examples=["tok_k5n3xq2zr7w4ybt6cdmf"])
    account_id: str
    name: str
    created_at: TimeOut
    revoked_at: TimeOut | None

    @staticmethod
    def fields_of(token: Token) -> dict[str, Any]:
        return {
            "id": token.id,
            "account_id": token.account_id,
            "name": token.name,
            "created_at": token.created_at_ms,
            "revoked_at": token.revoked_at_ms,
        }


class NewTokenOut(TokenOut):
    """A new account token; its text is never shown again."""

    token: str = Field(examples=["hta_…"], repr=False)


class KeyOut(BaseModel):
    """A key without its secret."""

    id: str = Field(examples=["key_k5n3xq2zr7w4ybt6cdmf"])
    account_id: str
    name: str
    prefix: str = Field(description="The first characters of the secret.", examples=["htk_7Yp3aQ9x"])
    state: KeyState
    models: list[str] | None = Field(description="The models that it may use; null is all of them.")
    requests_per_minute: int | None
    tokens_per_minute: int | None
    concurrent_requests: int | None
    spend_cap_usd: UsdOut | None
    spend_cap_period: SpendCapPeriod
    expires_at: TimeOut | None
    created_at: TimeOut
    rotated_at: TimeOut | None
    revoked_at: TimeOut | None

    @staticmethod
    def fields_of(key: Key) -> dict[str, Any]:
        return {
            "id": key.id,
            "account_id": key.account_id,
            "name": key.name,
            "prefix": key.prefix,
            "state": key.state,
            "models": None if key.models is None else list(key.models),
            "requests_per_minute": key.limits.requests_per_minute,
            "tokens_per_minute": key.limits.tokens_per_minute,
            "concurrent_requests": key.limits.concurrent_requests,
            "spend_cap_usd": key.limits.spend_cap_nano_usd,
            "spend_cap_period": key.limits.spend_cap_period,
            "expires_at": key.expires_at_ms,
            "created_at": key.created_at_ms,
            "rotated_at": key.rotated_at_ms,
            "revoked_at": key.revoked_at_ms,
        }


class ChangedKeyOut(KeyOut):
    """A key after a change; ``delivered`` says whether the edge obeys it already."""

    delivered: bool


class NewKeyOut(ChangedKeyOut):
    """A key with its secret, which is never shown again."""

    key: str = Field(description="The secret.", examples=["htk_…"], repr=False)


class AttemptOut(BaseModel):
    """One try at one provider; ``outcome`` is ``ok`` or why the next one was tried."""

    provider: str
    model: str
    outcome: str
    status: int
    ms: int


class UsageOut(BaseModel):
    """What one request used and cost."""

    request_id: str
    account_id: str
    key_id: str
    model: str
    served_model: str | None
    provider: str | None
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    cost_nano_usd: int
    price_row: str | None
    state: UsageState
    estimated: bool
    stream: bool
    attempts: list[AttemptOut]
    started_at: TimeOut
    first_event_ms: int | None
    total_ms: int

    @classmethod
    def of(cls, record: UsageRecord) -> "UsageOut":
        fields = record.to_json()
        usage, started_at = fields.pop("usage"), fields.pop("started_at_ms")
        return cls.model_validate({**fields, **usage, "started_at": started_at})


class AlertOut(BaseModel):
    """Something that the operator should look at."""

    model_config = ConfigDict(from_attributes=True)

    kind: AlertKind
    account_id: str | None
    topup_id: str | None
    provider: str | None
    model: str | None = Field(description="The provider's own id.")
    detail: str


class AlertsOut(BaseModel):
    """All of them; each goes away when its cause has."""

    items: list[AlertOut]


class TargetOut(BaseModel):
    """How a provider's model does. `health` is null where too little was seen; it counts as healthy then."""

    provider: str
    model: str = Field(description="The provider's own id.")
    health: Health | None
    since: TimeOut | None = Field(description="When the edge was told of this health; null where it was not.")
    outcomes: dict[str, int] = Field(
        description="Attempts of the window by outcome; of more than 100 requests a second, a sample.",
        examples=[{"ok": 412, "overloaded": 3}],
    )
    first_event_ms: int | None = Field(description="The median time to the first event of a stream.")
    tokens_per_second: int | None = Field(description="The median speed of a stream.")


class TargetsOut(BaseModel):
    """Every target of the catalogue, as of the last round of the watch."""

    window_ms: int
    items: list[TargetOut]


class DifferenceOut(BaseModel):
    """One account seen from the edge and from the books; the difference is zero when everything has arrived."""

    account_id: str
    wallet_nano_usd: int
    ledger_nano_usd: int
    usage_nano_usd: int
    difference_nano_usd: int


class ReconciliationOut(BaseModel):
    """Every account that ever had money or usage, and the sum of the differences."""

    accounts: list[DifferenceOut]
    difference_nano_usd: int


class OutboxRowOut(BaseModel):
    """One delivery to the edge."""

    seq: int
    target: Target
    kind: Kind
    subject: str
    version: int
    state: OutboxState
    attempts: int
    last_error: str | None
    enqueued_at: TimeOut
    finished_at: TimeOut | None

    @staticmethod
    def fields_of(row: OutboxRow) -> dict[str, Any]:
        return {
            "seq": row.seq,
            "target": row.target,
            "kind": row.kind,
            "subject": row.subject,
            "version": row.version,
            "state": row.state,
            "attempts": row.attempts,
            "last_error": row.last_error,
            "enqueued_at": row.enqueued_at_ms,
            "finished_at": row.finished_at_ms,
        }


class ResyncOut(BaseModel):
    """How much was enqueued again, and which KV names were removed because nothing here stands for them."""

    keys: int
    grants: int
    revocations: int
    removed: list[str]


class DifferentOut(BaseModel):
    """A KV record that differs; ``found_version`` is null where it cannot be read."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    expected_version: int
    found_version: int | None


class WalletDriftOut(BaseModel):
    """A Wallet whose grants are not the ledger's; ``wallet_nano_usd`` is null where it did not answer."""

    model_config = ConfigDict(from_attributes=True)

    account_id: str
    ledger_nano_usd: int
    wallet_nano_usd: int | None


class DriftOut(BaseModel):
    """What differs between the database and the edge."""

    model_config = ConfigDict(from_attributes=True)

    in_sync: bool
    missing: list[str]
    extra: list[str]
    different: list[DifferentOut]
    wallets: list[WalletDriftOut]
