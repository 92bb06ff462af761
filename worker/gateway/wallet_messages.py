"""What passes to a Wallet and from it, as texts. Both ends are this Worker, so nothing is checked again; but
during a deployment they may be of two versions, so what is new to one end is passed over.

A hold is asked for and answered in JSON. What a request used is one line: what the Wallet looks at, and behind it the
usage record, which it keeps as it came. So it goes on to the control plane: nobody on the way looks into a record.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from gateway.fields import decode
from gateway.frozen import frozen
from gateway.money import NOTHING, NanoUsd
from gateway.records import KeyLimits, UsageRecord, UsageState, encode, encode_given, from_object

RefusalReason = Literal[
    "insufficient_balance", "spend_cap_reached", "rate_limit_exceeded", "key_revoked", "duplicate_request"
]
ANSWERED: frozenset[UsageState] = frozenset({"complete", "partial"})
BEFORE_RECORD = "\t"
"""Between the head of a line and its record. JSON escapes it, and the end of a line, wherever a text has one."""


@frozen
class HoldRequest:
    """Asks the Wallet for ``wanted`` or, where it cannot pay that, for as much as it can but at least ``least``.

    Where the caller named no bound of the output, ``modest`` is the cost of an ordinary answer: such a hold takes more
    only while it stays within a quarter of what is available, so that calls in parallel fit into a small wallet.
    """

    request_id: str
    account_id: str
    key_id: str
    wanted_nano_usd: NanoUsd
    least_nano_usd: NanoUsd
    modest_nano_usd: NanoUsd | None
    tokens: int
    limits: KeyLimits
    idempotency_key: str | None
    now_ms: int
    expires_ms: int

    def to_text(self) -> str:
        return encode(self)

    @classmethod
    def from_text(cls, text: str) -> "HoldRequest":
        values = decode(text)
        values["limits"] = from_object(KeyLimits, values["limits"])
        return from_object(cls, values)


@frozen
class RateState:
    """One limit of a key as it stands: how many, how many are left, when the oldest leaves the window."""

    limit: int
    remaining: int
    reset_ms: int


@frozen
class HoldReply:
    """Granted where ``refused`` is None. ``available_nano_usd`` is what the account could spend before this hold."""

    granted_nano_usd: NanoUsd = NOTHING
    refused: RefusalReason | None = None
    available_nano_usd: NanoUsd = NOTHING
    requests: RateState | None = None
    tokens: RateState | None = None
    retry_after_ms: int | None = None
    limit: str | None = None
    first_request_id: str | None = None
    first_cost_nano_usd: NanoUsd | None = None

    def to_text(self) -> str:
        """Without the fields that are None, which are most."""
        return encode_given(self)

    @classmethod
    def from_text(cls, text: str) -> "HoldReply":
        values = decode(text)
        for name in ("requests", "tokens"):
            if rate := values.get(name):
                values[name] = from_object(RateState, rate)
        return from_object(cls, values)


@frozen
class Settlement:
    """What a request used: of its record what the Wallet looks at, and all of it as a JSON text, for the control plane,
    which books it. ``tokens`` are None where no limit of the key counts them."""

    request_id: str
    key_id: str
    cost_nano_usd: NanoUsd
    tokens: int | None
    is_answered: bool
    record: str

    @classmethod
    def of(cls, record: UsageRecord, *, is_rated: bool = True) -> "Settlement":
        return cls(
            request_id=record.request_id,
            key_id=record.key_id,
            cost_nano_usd=record.cost_nano_usd,
            tokens=record.usage.prompt_tokens + record.usage.completion_tokens if is_rated else None,
            is_answered=record.state in ANSWERED,
            record=encode(record),
        )

    def to_line(self) -> str:
        """Without the end of the line."""
        head = encode([self.request_id, self.key_id, self.cost_nano_usd, self.tokens, self.is_answered])
        return head + BEFORE_RECORD + self.record

    @classmethod
    def from_line(cls, line: str) -> "Settlement":
        head, _, record = line.partition(BEFORE_RECORD)
        request_id, key_id, cost, tokens, is_answered, *_ = decode(head)
        return cls(
            request_id=request_id,
            key_id=key_id,
            cost_nano_usd=cost,
            tokens=tokens,
            is_answered=is_answered,
            record=record,
        )


@dataclass(frozen=True, slots=True)
class UsageMessage:
    """Usage on its way from one Wallet to the control plane: ``records`` are JSON texts, with commas between."""

    account_id: str
    request_ids: list[str]
    records: str

    def to_text(self) -> str:
        return encode([self.account_id, self.request_ids]) + BEFORE_RECORD + self.records

    @classmethod
    def read_all(cls, texts: Iterable[str]) -> "list[UsageMessage]":
        """What messages say, but for those of an earlier version: their Wallets send their records again."""
        return [cls.from_text(text) for text in texts if BEFORE_RECORD in text]

    @classmethod
    def from_text(cls, text: str) -> "UsageMessage":
        head, _, records = text.partition(BEFORE_RECORD)
        account_id, request_ids, *_ = decode(head)
        return cls(account_id, request_ids, records)
