"""The JSON of receipts, for the description of the API; what is answered is the canonical text itself."""

from pydantic import BaseModel, Field

from control_plane.receipt_key import ALGORITHM
from gateway.records import UsageState


class PublicKeyOut(BaseModel):
    """What receipts are checked with."""

    algorithm: str = Field(examples=[ALGORITHM])
    public_key: str = Field(description="32 bytes in base64.")
    key_id: str = Field(description="The first 16 digits of the key's SHA-256.")


class AttemptLineOut(BaseModel):
    """One try at one provider. All but the last failed, and cost nothing."""

    provider: str
    model: str
    outcome: str
    status: int
    ms: int
    amount_usd: str


class UsageByClassOut(BaseModel):
    """Tokens by what they cost; ``reasoning_tokens`` are part of the output."""

    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    reasoning_tokens: int


class RatesOut(BaseModel):
    """USD per million tokens."""

    input: str
    cached_input: str
    output: str


class AppliedPriceOut(BaseModel):
    """The price row that was in force, and the rates of it that applied."""

    row: str
    source: str
    effective_from_ms: int
    margin_basis_points: int
    usd_per_million_tokens: RatesOut


class ReceiptOut(BaseModel):
    """What one request was asked, served, used and charged, and the account's balance after it.

    The balance is what was received (which only grows), less what was returned (refunds and reversals), less what was
    spent.
    """

    version: int
    account_id: str
    number: int = Field(description="In the account's chain, from 1, without gaps.")
    previous_hash: str | None
    booked_at_ms: int
    request_id: str
    key_id: str
    model: str = Field(description="What was asked for.")
    served_model: str | None
    provider: str | None
    state: UsageState
    estimated: bool
    stream: bool
    started_at_ms: int
    first_event_ms: int | None
    total_ms: int
    attempts: list[AttemptLineOut]
    usage: UsageByClassOut
    price: AppliedPriceOut | None
    cost_nano_usd: int
    amount_usd: str
    balance_after_usd: str
    received_usd: str
    returned_usd: str
    spent_usd: str


class SignedReceiptOut(BaseModel):
    """A receipt, the SHA-256 of its canonical JSON (RFC 8785), and the signature of that JSON."""

    hash: str
    public_key: str
    receipt: ReceiptOut
    signature: str
