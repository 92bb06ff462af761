"""The bodies of requests: strict, with no unknown field, no coercion and every length bounded."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from control_plane.accounts import AccountState
from control_plane.api.scalars import Email, ModelName, Name, Reference, TimeIn, UsdIn
from control_plane.keys import KeyTerms
from gateway.records import KeyLimits, SpendCapPeriod


def _distinct(models: list[str]) -> list[str]:
    if len(set(models)) != len(models):
        raise ValueError("must not name a model twice")
    return models


class RequestBody(BaseModel):
    """What every request body has in common."""

    model_config = ConfigDict(extra="forbid", strict=True, str_strip_whitespace=True, hide_input_in_errors=True)


class NewAccount(RequestBody):
    """An account to open."""

    email: Email
    name: Name | None = None


class AccountChange(RequestBody):
    """What to change; a field that is left out stays."""

    name: Name | None = None
    state: AccountState | None = None


class NewCredit(RequestBody):
    """Money to give. The same reference with the same amount is given once."""

    amount_usd: UsdIn
    reference: Reference


class NewToken(RequestBody):
    """An account token to issue."""

    name: Name = "account token"


class NewTopUp(RequestBody):
    """A payment to begin, with the first way to pay where none is named."""

    amount_usd: UsdIn
    provider: Annotated[str, Field(min_length=1, max_length=50)] | None = None


class NewRefund(RequestBody):
    """Money to give back; all that may be, where no amount is said. What has the same reference is given once."""

    amount_usd: UsdIn | None = None
    reference: Annotated[str, Field(pattern=r"^[0-9A-Za-z._-]{1,64}$", examples=["ticket-4711"])] | None = None


class NewDisputeFee(RequestBody):
    """What the provider charged for a dispute, as its statement says."""

    dispute_id: Annotated[str, Field(min_length=1, max_length=64)]
    amount_usd: UsdIn


class NewKey(RequestBody):
    """A key to make; what is left out is not limited."""

    name: Name
    models: Annotated[list[ModelName], Field(min_length=1, max_length=100), AfterValidator(_distinct)] | None = None
    requests_per_minute: int | None = Field(default=None, ge=1, le=1_000_000)
    tokens_per_minute: int | None = Field(default=None, ge=1, le=1_000_000_000)
    concurrent_requests: int | None = Field(default=None, ge=1, le=10_000)
    spend_cap_usd: UsdIn | None = None
    spend_cap_period: SpendCapPeriod = "total"
    expires_at: TimeIn | None = None

    def terms(self) -> KeyTerms:
        return KeyTerms(
            name=self.name,
            models=None if self.models is None else tuple(self.models),
            limits=KeyLimits(
                requests_per_minute=self.requests_per_minute,
                tokens_per_minute=self.tokens_per_minute,
                concurrent_requests=self.concurrent_requests,
                spend_cap_nano_usd=self.spend_cap_usd,
                spend_cap_period=self.spend_cap_period,
            ),
            expires_at_ms=self.expires_at,
        )
