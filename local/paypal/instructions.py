"""The bodies of the control's calls: what is not said has a default, and what is not known is refused."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from local.paypal.errors import ISSUES
from local.paypal.orders import FUNDINGS

Value = Annotated[Decimal, Field(gt=0, decimal_places=2)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Approval(Body):
    funding: Literal[tuple(FUNDINGS)] = "balance"  # type: ignore[valid-type]


class Alteration(Body):
    currency_code: str | None = None
    value: Value | None = None
    payee_merchant_id: str | None = None
    custom_id: str | None = None
    invoice_id: str | None = None


class NextCapture(Body):
    status: Literal["COMPLETED", "PENDING", "DECLINED"] = "COMPLETED"
    reason: str | None = None
    issue: Literal[tuple(ISSUES)] | None = None  # type: ignore[valid-type]


class Denial(Body):
    event_type: Literal["PAYMENT.CAPTURE.DENIED", "PAYMENT.CAPTURE.DECLINED"] = "PAYMENT.CAPTURE.DENIED"


class PayBack(Body):
    value: Value | None = None
    note: str | None = None


class Complaint(Body):
    value: Value | None = None
    reason: str = "MERCHANDISE_OR_SERVICE_NOT_RECEIVED"
    stage: str = "INQUIRY"


class Progress(Body):
    status: Literal["OPEN", "WAITING_FOR_BUYER_RESPONSE", "WAITING_FOR_SELLER_RESPONSE", "UNDER_REVIEW"] = (
        "UNDER_REVIEW"
    )
    stage: Literal["INQUIRY", "CHARGEBACK", "PRE_ARBITRATION", "ARBITRATION"] = "CHARGEBACK"


class Resolution(Body):
    outcome: Literal[
        "seller",
        "buyer",
        "RESOLVED_BUYER_FAVOUR",
        "RESOLVED_SELLER_FAVOUR",
        "RESOLVED_WITH_PAYOUT",
        "CANCELED_BY_BUYER",
        "ACCEPTED",
        "DENIED",
        "NONE",
    ]
    reverses: bool = True


class Release(Body):
    order: Literal["made", "reversed"] = "made"
    event_types: list[str] | None = None


class Repetition(Body):
    times: int = Field(default=1, ge=1, le=100)


class AnyEvent(Body):
    event_type: str
    resource_type: str
    resource: dict[str, Any]
    transaction_id: str = ""
    summary: str = ""


class Outage(Body):
    on: bool


class Advance(Body):
    advance_s: float = Field(ge=0)
