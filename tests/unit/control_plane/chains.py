"""What the tests of receipts share: a key, and chains that booking made."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from control_plane import booking, ledger, receipts
from control_plane.ledger import Transfer
from control_plane.receipt_document import Receipt, SignedReceipt, canonical, digest
from control_plane.receipt_key import ReceiptKey
from control_plane.store import Store
from gateway.money import NanoUsd
from gateway.records import Attempt, UsageRecord
from tests.unit.control_plane.books import ALICE, NOW_MS, RECORD

KEY = ReceiptKey("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
OTHER_KEY = ReceiptKey("Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=")

FAILED_OVER = replace(
    RECORD,
    request_id="req_failed_over",
    attempts=(
        Attempt(provider="dashscope", model="kimi", outcome="rate_limit", status=429, ms=70),
        Attempt(provider="zai", model="kimi", outcome="timeout", status=0, ms=5_000),
        Attempt(provider="moonshot", model="kimi-k2.6", outcome="ok", status=200, ms=850),
    ),
)


async def book(store: Store, *batch: UsageRecord, now_ms: int = NOW_MS) -> None:
    async with store.begin() as connection:
        booked = await booking.book(connection, batch, now_ms=now_ms)
    assert not booked.quarantined


async def credit(store: Store, amount: int, reference: str = "funds", *, now_ms: int = NOW_MS) -> None:
    async with store.begin() as connection:
        await ledger.credit_account(
            connection, account_id=ALICE, amount=NanoUsd(amount), reference=reference, now_ms=now_ms
        )


async def give_trial(store: Store, amount: int, *, now_ms: int = NOW_MS) -> None:
    async with store.begin() as connection:
        await ledger.grant_trial(connection, account_id=ALICE, amount=NanoUsd(amount), now_ms=now_ms)


async def pay(store: Store, kind: Any, amount: int, reference: str, *, now_ms: int = NOW_MS) -> None:
    """A top-up, refund or reversal, as payments book them; what leaves the account is negative."""
    own, external = ledger.balance_of(ALICE), ledger.PAYPAL
    transfer = Transfer(
        id=f"paypal:{kind}:{reference}",
        debit=external if amount > 0 else own,
        credit=own if amount > 0 else external,
        amount_nano_usd=NanoUsd(abs(amount)),
        kind=kind,
        reference=reference,
        created_at_ms=now_ms,
    )
    async with store.begin() as connection:
        await ledger.post_with_grants(connection, [transfer], account_id=ALICE)


async def made(store: Store, account_id: str = ALICE) -> list[Receipt]:
    """The account's receipts, oldest first."""
    return [SignedReceipt.parse(line.removesuffix(b"\n")).receipt for line in await chain(store, account_id)]


async def chain(store: Store, account_id: str = ALICE, key: ReceiptKey = KEY) -> list[bytes]:
    """The account's chain as it is downloaded."""
    async with store.read() as connection:
        found = await receipts.after(connection, account_id, 0, limit=100_000)
    return [f"{receipt.signed_by(key).line}\n".encode() for receipt in found]


def forge(documents: Sequence[dict[str, Any]], key: ReceiptKey = KEY) -> list[bytes]:
    """Lines that are linked, hashed and signed rightly, whatever they say."""
    lines, previous_hash = [], None
    for document in documents:
        body = canonical(document | {"previous_hash": previous_hash})
        previous_hash = digest(body)
        signed = SignedReceipt(body=body, hash=previous_hash, public_key=key.public.text, signature=key.sign(body))
        lines.append(signed.line.encode() + b"\n")
    return lines
