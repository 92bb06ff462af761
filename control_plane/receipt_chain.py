"""Checks an account's chain of receipts with nothing but the chain itself and the public key.

A chain is one signed receipt a line, from number 1 on. Whoever keeps a copy can hold it against a later one: what was
said once cannot be said otherwise under the same number.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from control_plane.receipt_document import Receipt, SignedReceipt, digest
from control_plane.receipt_key import ReceiptKeyRefused, ReceiptPublicKey
from gateway.money import NOTHING, format_usd


class ChainBroken(Exception):
    """The first line that is wrong, counted from 1, and why."""

    def __init__(self, line_number: int, reason: str) -> None:
        super().__init__(f"line {line_number}: {reason}")
        self.line_number = line_number
        self.reason = reason


class _Wrong(ValueError):
    """A line is not what it must be; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A receipt that was found right, its hash, and the key that signed it."""

    receipt: Receipt
    hash: str
    public_key: ReceiptPublicKey


def verify(lines: Iterable[bytes], *, public_key: ReceiptPublicKey | None = None) -> Link:
    """The last link of a chain without fault; raises ChainBroken.

    Without ``public_key`` the key that the first line names is taken for the right one: compare it yourself.
    """
    last: Link | None = None
    line_number = 0
    for line_number, line in enumerate(lines, start=1):
        try:
            last = _follow(last, line.removesuffix(b"\n"), public_key)
        except ValueError as error:
            raise ChainBroken(line_number, str(error)) from error
    if last is None:
        raise ChainBroken(1, "there is no receipt")
    return last


def _follow(last: Link | None, line: bytes, public_key: ReceiptPublicKey | None) -> Link:
    """The next link. Raises ValueError."""
    signed = SignedReceipt.parse(line)
    key = _key_of(signed, public_key if last is None else last.public_key)
    if digest(signed.body) != signed.hash:
        raise _Wrong("the hash is not the receipt's")
    if not key.has_signed(signed.body, signed.signature):
        raise _Wrong("the signature is not the key's")
    receipt = signed.receipt
    _check_amount(receipt)
    if last is None:
        _check_first(receipt)
    else:
        _check_place(receipt, last)
        _check_money(receipt, last.receipt)
    return Link(receipt=receipt, hash=signed.hash, public_key=key)


def _key_of(signed: SignedReceipt, expected: ReceiptPublicKey | None) -> ReceiptPublicKey:
    if expected is not None:
        if signed.public_key != expected.text:
            raise _Wrong("it is signed by another key")
        return expected
    try:
        return ReceiptPublicKey(signed.public_key)
    except ReceiptKeyRefused as error:
        raise _Wrong("it names no public key") from error


def _check_amount(receipt: Receipt) -> None:
    expected = NOTHING if receipt.price is None else receipt.price.charge(receipt.record.usage)
    if receipt.record.cost_nano_usd != expected:
        raise _Wrong(f"the amount should be {format_usd(expected)} USD by its tokens and rates")


def _check_first(receipt: Receipt) -> None:
    if receipt.number != 1 or receipt.previous_hash is not None:
        raise _Wrong("the chain does not begin with receipt 1")
    # An account may have spent before receipts were made, but not less than its first says.
    if receipt.standing.spent_nano_usd < receipt.record.cost_nano_usd:
        raise _Wrong("less was spent than the amount")


def _check_place(receipt: Receipt, last: Link) -> None:
    if receipt.record.account_id != last.receipt.record.account_id:
        raise _Wrong("it is another account's receipt")
    if receipt.number != last.receipt.number + 1:
        raise _Wrong(f"receipt {last.receipt.number + 1} should stand here, not {receipt.number}")
    if receipt.previous_hash != last.hash:
        raise _Wrong("it does not follow the receipt before it")


def _check_money(receipt: Receipt, before: Receipt) -> None:
    """The balance falls by the amount. Whatever else moved it stands in what was received, which only grows, or in
    what was returned; that the three add up to the balance is checked with the receipt itself."""
    standing, earlier = receipt.standing, before.standing
    if standing.spent_nano_usd != earlier.spent_nano_usd + receipt.record.cost_nano_usd:
        raise _Wrong("what was spent did not grow by the amount")
    if standing.received_nano_usd < earlier.received_nano_usd:
        raise _Wrong("what was received became less")
