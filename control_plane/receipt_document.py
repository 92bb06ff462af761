"""What a receipt says, and its canonical text, which is what is hashed and signed.

The text is JSON as in RFC 8785: sorted names, no spaces, no numbers but integers; amounts and prices are decimal
strings. Each receipt names the hash of the account's receipt before it, so that none can be changed, left out or put
in afterwards. It repeats the rates that applied, so that anyone can compute the charge again.
"""

import hashlib
import json
from functools import lru_cache
from typing import Any, Final, NoReturn, get_args

import orjson

from gateway.fields import FieldError, Fields
from gateway.frozen import frozen
from gateway.money import NOTHING, NanoUsd, format_price, format_usd, parse_price, parse_usd
from gateway.pricing import charge_at, rates_for
from gateway.records import Attempt, PriceRow, Rates, Usage, UsageRecord, UsageState

VERSION: Final = 1

_usd = lru_cache(maxsize=1000)(format_usd)  # what was received stands in each receipt of a batch, a charge twice in one


@frozen
class Standing:
    """An account's sums since it exists: what it received (trial, credits, top-ups), what of that was returned
    (refunds and reversals, less what came back of them), and what it spent."""

    received_nano_usd: NanoUsd = NOTHING
    returned_nano_usd: NanoUsd = NOTHING
    spent_nano_usd: NanoUsd = NOTHING

    @property
    def balance_nano_usd(self) -> NanoUsd:
        return NanoUsd(self.received_nano_usd - self.returned_nano_usd - self.spent_nano_usd)

    def spending(self, amount: NanoUsd) -> "Standing":
        """The standing once the amount is spent, or, where it is negative, before it was."""
        return Standing(
            received_nano_usd=self.received_nano_usd,
            returned_nano_usd=self.returned_nano_usd,
            spent_nano_usd=NanoUsd(self.spent_nano_usd + amount),
        )


@frozen
class AppliedPrice:
    """The price row of a charge, reduced to the rates that applied to the request's size and hour."""

    row: str
    source: str
    effective_from_ms: int
    margin_basis_points: int
    rates: Rates

    @classmethod
    def of(cls, row: PriceRow, record: UsageRecord) -> "AppliedPrice":
        return cls(
            row=row.id,
            source=row.source,
            effective_from_ms=row.effective_from_ms,
            margin_basis_points=row.margin_basis_points,
            rates=rates_for(row, input_tokens=record.usage.prompt_tokens, at_ms=record.started_at_ms),
        )

    def charge(self, usage: Usage) -> NanoUsd:
        """What the usage costs, computed as it was when it was booked."""
        return charge_at(self.rates, usage, margin_basis_points=self.margin_basis_points)

    @classmethod
    def from_fields(cls, fields: Fields) -> "AppliedPrice":
        rates = fields.object("usd_per_million_tokens")
        return cls(
            row=fields.text("row"),
            source=fields.text("source"),
            effective_from_ms=fields.integer("effective_from_ms"),
            margin_basis_points=fields.integer("margin_basis_points"),
            rates=Rates(
                input=parse_price(rates.text("input")),
                cached_input=parse_price(rates.text("cached_input")),
                output=parse_price(rates.text("output")),
            ),
        )


@frozen
class Receipt:
    """One booked request in its account's chain; ``standing`` is the account's after it. A receipt without a price
    costs nothing. The first of a chain has number 1 and no ``previous_hash``."""

    number: int
    previous_hash: str | None
    booked_at_ms: int
    record: UsageRecord
    price: AppliedPrice | None
    standing: Standing

    def to_json(self) -> dict[str, Any]:
        record, standing = self.record, self.standing
        return {
            "version": VERSION,
            "account_id": record.account_id,
            "number": self.number,
            "previous_hash": self.previous_hash,
            "booked_at_ms": self.booked_at_ms,
            "request_id": record.request_id,
            "key_id": record.key_id,
            "model": record.model,
            "served_model": record.served_model,
            "provider": record.provider,
            "state": record.state,
            "estimated": record.estimated,
            "stream": record.stream,
            "started_at_ms": record.started_at_ms,
            "first_event_ms": record.first_event_ms,
            "total_ms": record.total_ms,
            "attempts": _attempt_lines(record),
            "usage": _usage_by_class(record.usage),
            "price": None if self.price is None else _price_lines(self.price),
            "cost_nano_usd": record.cost_nano_usd,
            "amount_usd": _usd(record.cost_nano_usd),
            "balance_after_usd": format_usd(standing.balance_nano_usd),
            "received_usd": _usd(standing.received_nano_usd),
            "returned_usd": _usd(standing.returned_nano_usd),
            "spent_usd": format_usd(standing.spent_nano_usd),
        }

    @classmethod
    def from_fields(cls, fields: Fields) -> "Receipt":
        """Raises ValueError, of which FieldError and MoneyError are."""
        price = fields.optional(fields.object, "price")
        return cls(
            number=fields.integer("number", minimum=1),
            previous_hash=fields.optional(fields.text, "previous_hash"),
            booked_at_ms=fields.integer("booked_at_ms"),
            record=_record(fields),
            price=None if price is None else AppliedPrice.from_fields(price),
            standing=Standing(
                received_nano_usd=parse_usd(fields.text("received_usd")),
                returned_nano_usd=parse_usd(fields.text("returned_usd")),
                spent_nano_usd=parse_usd(fields.text("spent_usd")),
            ),
        )


@frozen
class SignedReceipt:
    """A receipt's canonical text with its hash and signature: one line of a chain."""

    body: str
    hash: str
    public_key: str
    signature: str

    @property
    def line(self) -> str:
        """Canonical as a whole; the other three are hexadecimal and base64, which JSON writes as they are."""
        return (
            f'{{"hash":"{self.hash}","public_key":"{self.public_key}",'
            f'"receipt":{self.body},"signature":"{self.signature}"}}'
        )

    @classmethod
    def parse(cls, line: bytes) -> "SignedReceipt":
        """Raises FieldError, also for a line that says the same in other characters."""
        fields = Fields(_decode(line), "line")
        signed = cls(
            body=canonical(fields.raw_object("receipt")),
            hash=fields.text("hash"),
            public_key=fields.text("public_key"),
            signature=fields.text("signature"),
        )
        if signed.line.encode() != line:
            raise FieldError("it is not in the canonical form")
        return signed

    @property
    def receipt(self) -> Receipt:
        """Raises ValueError where the text does not say what a receipt says."""
        receipt = Receipt.from_fields(Fields.parse(self.body, "receipt"))
        if canonical(receipt.to_json()) != self.body:
            raise FieldError("the receipt contradicts itself")
        return receipt


def canonical(value: dict[str, Any]) -> str:
    """Raises FieldError for what no receipt can hold, such as integers of more than 64 bits."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except orjson.JSONEncodeError as error:
        raise FieldError("it holds what a receipt cannot") from error


def digest(text: str) -> str:
    """The SHA-256 in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


@lru_cache(maxsize=1000)
def _price_lines(price: AppliedPrice) -> dict[str, Any]:
    """To be read only, because receipts share it."""
    return {
        "row": price.row,
        "source": price.source,
        "effective_from_ms": price.effective_from_ms,
        "margin_basis_points": price.margin_basis_points,
        "usd_per_million_tokens": {
            "input": format_price(price.rates.input),
            "cached_input": format_price(price.rates.cached_input),
            "output": format_price(price.rates.output),
        },
    }


def _attempt_lines(record: UsageRecord) -> list[dict[str, Any]]:
    """Only the last attempt can have reached the answer that is charged; those before it failed and cost nothing."""
    last = len(record.attempts) - 1
    return [
        {
            "provider": attempt.provider,
            "model": attempt.model,
            "outcome": attempt.outcome,
            "status": attempt.status,
            "ms": attempt.ms,
            "amount_usd": _usd(record.cost_nano_usd if index == last else NOTHING),
        }
        for index, attempt in enumerate(record.attempts)
    ]


def _usage_by_class(usage: Usage) -> dict[str, int]:
    """The classes that have rates, and how much of the output was reasoning."""
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens,
        "cached_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }


def _record(fields: Fields) -> UsageRecord:
    price = fields.optional(fields.object, "price")
    return UsageRecord(
        request_id=fields.text("request_id"),
        account_id=fields.text("account_id"),
        key_id=fields.text("key_id"),
        model=fields.text("model"),
        served_model=fields.optional(fields.text, "served_model"),
        provider=fields.optional(fields.text, "provider"),
        usage=_usage(fields.object("usage")),
        cost_nano_usd=NanoUsd(fields.integer("cost_nano_usd")),
        price_row=None if price is None else price.text("row"),
        state=fields.choice("state", get_args(UsageState)),
        estimated=fields.boolean("estimated"),
        stream=fields.boolean("stream"),
        attempts=tuple(Attempt.from_fields(attempt) for attempt in fields.objects("attempts")),
        started_at_ms=fields.integer("started_at_ms"),
        first_event_ms=fields.optional(fields.integer, "first_event_ms"),
        total_ms=fields.integer("total_ms"),
    )


def _usage(fields: Fields) -> Usage:
    cached_tokens = fields.integer("cached_input_tokens")
    return Usage(
        prompt_tokens=fields.integer("input_tokens") + cached_tokens,
        cached_tokens=cached_tokens,
        completion_tokens=fields.integer("output_tokens"),
        reasoning_tokens=fields.integer("reasoning_tokens"),
    )


def _decode(line: bytes) -> Any:
    try:
        return json.loads(line, parse_float=_refuse_number, parse_constant=_refuse_number)
    except FieldError:
        raise
    except (ValueError, RecursionError) as error:
        raise FieldError("it is not JSON") from error


def _refuse_number(_text: str) -> NoReturn:
    raise FieldError("it has a number that is not an integer")
