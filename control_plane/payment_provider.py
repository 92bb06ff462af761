"""What a way to pay is to us: a provider that starts, verifies, fetches, captures and refunds, and what it says.

A provider's word is cumulative: ``fetch`` answers all that ever became of a payment. ``payments`` turns it into
transfers; a new way to pay is a new adapter of this Protocol and nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from control_plane.fees import FeePolicy
from gateway.money import NOTHING, NanoUsd

TopUpState = Literal[
    "created",
    "approved",
    "declined",
    "lapsed",
    "pending",
    "captured",
    "partly_refunded",
    "refunded",
    "reversed",
    "disputed",
    "won",
    "lost",
]
PaymentStatus = Literal["created", "approved", "declined", "lapsed", "completed"]
CaptureStatus = Literal["pending", "settled", "declined"]
DisputeStatus = Literal["open", "won", "lost"]
DeliveryKind = Literal["approved", "lapsed", "changed", "irrelevant"]
# Why a provider says no: the payment is not as we thought (look at it); the payer or his means will not do, and others
# may; it will not be done for this payment, ever; our account there must be seen to, and then it can be tried again; or
# for a reason that we do not know.
RefusalReason = Literal["stands_otherwise", "payer", "final", "merchant", "unexpected"]

REFUSAL_WORDS: Final[dict[RefusalReason, str]] = {
    "stands_otherwise": "the payment is not as it was thought to be",
    "payer": "the payer's account or means of payment were refused",
    "final": "it will not be done for this payment",
    "merchant": "the account at the payment provider must be seen to first",
    "unexpected": "the payment provider refused",
}

# Until there is a capture a top-up only moves forward in this order; what has been captured never returns to it.
UNSETTLED: Final[tuple[TopUpState, ...]] = ("created", "approved", "declined", "lapsed", "pending")


class ProviderError(Exception):
    """A call to a payment provider did not do what it was made for."""


class ProviderUnavailable(ProviderError):
    """No answer, or none that can be used: what became of the call is not known, and it can be made again."""


class ProviderRefused(ProviderError):
    """The provider understood and said no: nothing was done. ``issue`` is its own word for why."""

    def __init__(self, issue: str, reason: RefusalReason = "unexpected") -> None:
        super().__init__(f"{REFUSAL_WORDS[reason]}: {issue}")
        self.issue = issue
        self.reason = reason


class DeliveryRefused(Exception):
    """A webhook is malformed or was not sent by the provider; the text says why and repeats nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """An amount in billionths of its currency."""

    currency: str
    nano: int

    @classmethod
    def usd(cls, amount: NanoUsd) -> "Money":
        return cls(currency="USD", nano=amount)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """Money that the payer was charged. ``fee`` is the provider's (None: it does not say, or not in USD).

    ``reference`` is ours where the provider repeats it on the capture.
    """

    id: str
    gross: Money
    fee: NanoUsd | None
    status: CaptureStatus
    reference: str | None = None
    created_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """Money that went back to the payer: by the operator's will (a refund), or without it (a reversal)."""

    id: str
    capture_id: str
    kind: Literal["refund", "reversal"]
    amount: Money
    fee_returned: NanoUsd = NOTHING
    created_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """A capture, or a part of it, that the payer disputes; ``lost`` is what a resolved one cost us."""

    id: str
    capture_id: str
    amount: Money
    status: DisputeStatus
    lost: Money
    opened_at_ms: int
    resolved_at_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderState:
    """All that the provider says of one payment; ``attention`` is what its operator should see to, if anything.

    A payment that the provider no longer knows is lapsed and has neither amount, reference nor payee. A declined one
    ``is_final`` when the payer need not come back to it.
    """

    status: PaymentStatus
    amount: Money | None = None
    reference: str | None = None
    payee: str | None = None
    captures: tuple[Capture, ...] = ()
    refunds: tuple[Refund, ...] = ()
    disputes: tuple[Dispute, ...] = ()
    attention: str | None = None
    is_final: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TopUp:
    """One payment into an account's balance.

    ``amount_nano_usd`` is what the payer pays, and the account is credited with it less the fee. ``payment_ref`` is
    the provider's id and ``payee`` who must receive the money, both since the payment was started there;
    ``capture_id`` is the capture that was credited. ``alert`` is what keeps the operator from believing it.
    """

    id: str
    account_id: str
    provider: str
    amount_nano_usd: NanoUsd
    fee_policy: FeePolicy
    fee_nano_usd: NanoUsd
    state: TopUpState
    payment_ref: str | None = None
    payee: str | None = None
    approve_url: str | None = None
    capture_id: str | None = None
    captured_nano_usd: NanoUsd = NOTHING
    refunded_nano_usd: NanoUsd = NOTHING
    declines: int = 0
    alert: str | None = None
    created_at_ms: int
    updated_at_ms: int
    observed_at_ms: int
    next_look_at_ms: int | None = None

    @property
    def is_settled(self) -> bool:
        """Whether the payment was captured, whatever became of it afterwards."""
        return self.state not in UNSETTLED

    @property
    def pay_url(self) -> str | None:
        """Where it can be paid, while it can be."""
        return self.approve_url if self.state in ("created", "declined") else None

    @property
    def credited_nano_usd(self) -> NanoUsd:
        return NanoUsd(self.amount_nano_usd - self.fee_nano_usd)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnUrls:
    """Where the provider sends the payer back to."""

    approved: str
    cancelled: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """Where the payer goes to pay, the provider's id of the payment, and who will receive it."""

    url: str
    payment_ref: str
    payee: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refs:
    """The provider's ids of things, by what they are."""

    payments: tuple[str, ...] = ()
    captures: tuple[str, ...] = ()
    refunds: tuple[str, ...] = ()
    disputes: tuple[str, ...] = ()

    def __or__(self, other: "Refs") -> "Refs":
        return Refs(
            payments=self.payments + other.payments,
            captures=self.captures + other.captures,
            refunds=self.refunds + other.refunds,
            disputes=self.disputes + other.disputes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedDelivery:
    """A webhook that the provider signed. It names what to look at, and nothing else of it is believed."""

    event_id: str
    transmission_id: str
    event_type: str
    kind: DeliveryKind
    refs: Refs = Refs()


class PaymentProvider(Protocol):
    """One way to pay. Every method raises ProviderUnavailable, and ProviderRefused where a refusal is not an answer."""

    @property
    def id(self) -> str:
        """The first part of its transfers' ids, and of its ledger accounts' names after the colon."""

    async def start(self, topup: TopUp, urls: ReturnUrls) -> Redirect:
        """Begin a payment of the top-up's amount; the same top-up again begins no other."""

    async def verify(self, raw: bytes, headers: Mapping[str, str]) -> VerifiedDelivery:
        """Read a webhook from its raw bytes. Raises DeliveryRefused."""

    async def payment_of(self, capture_id: str) -> str | None:
        """The payment that a capture belongs to, or None when the provider does not know or tell."""

    async def fetch(self, topup: TopUp, known: Refs) -> ProviderState:
        """All that became of the payment; refunds and disputes that are ``known`` are looked at in any case."""

    async def capture(self, topup: TopUp, known: Refs) -> ProviderState:
        """Take the money of an approved payment, once however often it is called, and fetch."""

    async def refund(self, capture_id: str, amount: NanoUsd, key: str) -> None:
        """Give back a part of a capture, once per key. Raises ProviderRefused."""
