"""A second way to pay, as small as one can be: vouchers that are bought elsewhere and worth their face value.

It shares nothing with PayPal but the Protocol: its webhooks are signed with a shared secret, its payments are captured
by themselves, and it takes no fee.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from control_plane.payment_provider import (
    Capture,
    DeliveryRefused,
    Money,
    ProviderRefused,
    ProviderState,
    Redirect,
    Refs,
    Refund,
    ReturnUrls,
    TopUp,
    VerifiedDelivery,
)
from gateway.fields import FieldError, Fields
from gateway.money import NOTHING, NanoUsd

SECRET: Final = b"shared-with-the-voucher-shop"
PAYEE: Final = "our-shop"


@dataclass
class VoucherShop:
    """The shop with its books: which vouchers were redeemed for which top-up, and what was given back."""

    id: str = "voucher"
    states: dict[str, ProviderState] = field(default_factory=dict)
    refund_keys: set[str] = field(default_factory=set)

    async def start(self, topup: TopUp, urls: ReturnUrls) -> Redirect:
        amount = Money.usd(topup.amount_nano_usd)
        self.states[topup.id] = ProviderState(status="created", amount=amount, reference=topup.id, payee=PAYEE)
        return Redirect(url=f"https://vouchers.example.com/{topup.id}", payment_ref=topup.id, payee=PAYEE)

    async def verify(self, raw: bytes, headers: Mapping[str, str]) -> VerifiedDelivery:
        if not hmac.compare_digest(headers.get("voucher-signature", "").encode(), sign(raw).encode()):
            raise DeliveryRefused("the signature does not fit")
        try:
            event = Fields.parse(raw, "event")
            event_id, payment = event.text("id"), event.text("payment")
        except FieldError as error:
            raise DeliveryRefused("the body is no event") from error
        return VerifiedDelivery(
            event_id=event_id,
            transmission_id=event_id,
            event_type="redeemed",
            kind="changed",
            refs=Refs(payments=(payment,)),
        )

    async def payment_of(self, capture_id: str) -> str | None:
        return next((ref for ref, state in self.states.items() if capture_id in map(_id, state.captures)), None)

    async def fetch(self, topup: TopUp, known: Refs) -> ProviderState:
        return self.states[topup.id]

    async def capture(self, topup: TopUp, known: Refs) -> ProviderState:
        return self.states[topup.id]

    async def refund(self, capture_id: str, amount: NanoUsd, key: str) -> None:
        ref = await self.payment_of(capture_id)
        if ref is None:
            raise ProviderRefused("NO_SUCH_VOUCHER")
        if key not in self.refund_keys:
            self.refund_keys.add(key)
            state = self.states[ref]
            refund = Refund(
                id=f"R{len(self.refund_keys)}",
                capture_id=capture_id,
                kind="refund",
                amount=Money.usd(amount),
                created_at_ms=2,
            )
            self._change(ref, state, refunds=(*state.refunds, refund))

    def redeem(self, topup_id: str, voucher: str) -> None:
        """The payer types his voucher's number."""
        state = self.states[topup_id]
        assert state.amount is not None
        capture = Capture(id=voucher, gross=state.amount, fee=NOTHING, status="settled", created_at_ms=1)
        self._change(topup_id, state, captures=(capture,))

    def _change(
        self,
        ref: str,
        state: ProviderState,
        *,
        captures: tuple[Capture, ...] | None = None,
        refunds: tuple[Refund, ...] | None = None,
    ) -> None:
        self.states[ref] = ProviderState(
            status="completed",
            amount=state.amount,
            reference=state.reference,
            payee=state.payee,
            captures=state.captures if captures is None else captures,
            refunds=state.refunds if refunds is None else refunds,
        )


def sign(raw: bytes) -> str:
    return hmac.new(SECRET, raw, hashlib.sha256).hexdigest()


def redeemed(event_id: str, payment: str) -> bytes:
    return json.dumps({"id": event_id, "payment": payment}).encode()


def _id(capture: Capture) -> str:
    return capture.id
