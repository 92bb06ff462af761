"""The JSON of top-ups."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from control_plane.api.scalars import TimeOut, UsdOut
from control_plane.fees import FeePolicy
from control_plane.payment_provider import TopUp, TopUpState


class TopUpOut(BaseModel):
    """A top-up: who pays ``amount_usd`` is credited with ``credited_usd``, less what was given back afterwards."""

    id: str = Field(examples=["topup_k5n3xq2zr7w4ybt6cdmf"])
    state: TopUpState
    provider: str = Field(examples=["paypal"])
    amount_usd: UsdOut
    fee_usd: UsdOut
    fee_policy: FeePolicy
    fee_is_estimate: bool = Field(description="Whether the fee is known only once the payment has been made.")
    credited_usd: UsdOut
    captured_usd: UsdOut
    refunded_usd: UsdOut
    approve_url: str | None = Field(description="Where to pay, while it can be paid.")
    created_at: TimeOut
    updated_at: TimeOut

    @staticmethod
    def fields_of(topup: TopUp) -> dict[str, Any]:
        return {
            "id": topup.id,
            "state": topup.state,
            "provider": topup.provider,
            "amount_usd": topup.amount_nano_usd,
            "fee_usd": topup.fee_nano_usd,
            "fee_policy": topup.fee_policy,
            "fee_is_estimate": topup.fee_policy == "deduct" and not topup.is_settled,
            "credited_usd": topup.credited_nano_usd,
            "captured_usd": topup.captured_nano_usd,
            "refunded_usd": topup.refunded_nano_usd,
            "approve_url": topup.pay_url,
            "created_at": topup.created_at_ms,
            "updated_at": topup.updated_at_ms,
        }


class AdminTopUpOut(TopUpOut):
    """A top-up with what the operator needs to find it at the provider."""

    account_id: str
    payment_ref: str | None = Field(description="The provider's id of the payment.")
    capture_id: str | None = Field(description="The provider's id of the capture that was credited.")
    payee: str | None
    alert: str | None = Field(description="Why it is not, or not yet, what it should be.")
    observed_at: TimeOut
    next_look_at: TimeOut | None

    @staticmethod
    def fields_of(topup: TopUp) -> dict[str, Any]:
        return TopUpOut.fields_of(topup) | {
            "account_id": topup.account_id,
            "payment_ref": topup.payment_ref,
            "capture_id": topup.capture_id,
            "payee": topup.payee,
            "alert": topup.alert,
            "observed_at": topup.observed_at_ms,
            "next_look_at": topup.next_look_at_ms,
        }


class DisputeFeeOut(BaseModel):
    """The transfer that was booked."""

    transfer_id: str = Field(examples=["paypal:dispute_fee:PP-D-27803"])


class ReturnedOut(BaseModel):
    """Money that went back to the payer: what was taken back of the credit, and of the fee that was charged."""

    model_config = ConfigDict(from_attributes=True)

    refund_id: str = Field(description="The provider's id.")
    kind: Literal["refund", "reversal"]
    returned_at: TimeOut = Field(validation_alias="booked_at_ms")
    credit_usd: UsdOut = Field(validation_alias="credit_nano_usd")
    fee_usd: UsdOut = Field(validation_alias="fee_nano_usd")
    total_usd: UsdOut = Field(validation_alias="total_nano_usd")


class ReturnedListOut(BaseModel):
    """All that went back of a top-up, oldest first; each has a credit note."""

    items: list[ReturnedOut]
