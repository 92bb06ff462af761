"""PayPal as a payment provider: Orders v2, refunds and disputes."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Final, assert_never
from urllib.parse import quote

from control_plane import paypal_documents as documents
from control_plane.payment_provider import (
    Capture,
    Dispute,
    ProviderState,
    Redirect,
    Refs,
    Refund,
    ReturnUrls,
    TopUp,
    VerifiedDelivery,
)
from control_plane.paypal_api import PayPalApi, PayPalRefused, PayPalUnavailable
from control_plane.paypal_webhooks import PayPalWebhooks
from gateway.fields import FieldError, Fields
from gateway.money import NanoUsd, format_usd

DESCRIPTION: Final = "Prepaid credit"


class PayPal:
    """One merchant's account. ``merchant_id`` is who must be paid; without it, whoever PayPal names at the start."""

    id: Final = "paypal"

    def __init__(
        self, api: PayPalApi, webhooks: PayPalWebhooks, *, brand_name: str, merchant_id: str | None = None
    ) -> None:
        self._api = api
        self._webhooks = webhooks
        self._brand_name = brand_name
        self._merchant_id = merchant_id

    async def start(self, topup: TopUp, urls: ReturnUrls) -> Redirect:
        content = _content(_order(topup, urls, self._brand_name))
        order = await self._post_surely("/v2/checkout/orders", content, f"{topup.id}:create")
        try:
            payment_ref, url = order.text("id"), documents.approve_url(order)
            payee = documents.order_state(order, refunds=(), disputes=()).payee
        except FieldError as error:
            raise PayPalUnavailable("an order that cannot be read") from error
        if url is None:
            raise PayPalRefused(200, "an order without a link to approve it")
        if payee is None or payee != (self._merchant_id or payee):
            raise PayPalRefused(200, "an order that pays another merchant, or does not say which")
        return Redirect(url=url, payment_ref=payment_ref, payee=payee)

    async def verify(self, raw: bytes, headers: Mapping[str, str]) -> VerifiedDelivery:
        return await self._webhooks.verify(raw, headers)

    async def payment_of(self, capture_id: str) -> str | None:
        capture = await self._get_known(f"/v2/payments/captures/{quote(capture_id, safe='')}")
        try:
            return None if capture is None else documents.order_of(capture)
        except FieldError as error:
            raise PayPalUnavailable("a capture that cannot be read") from error

    async def fetch(self, topup: TopUp, known: Refs) -> ProviderState:
        try:
            order = await self._api.get(f"/v2/checkout/orders/{_payment_ref(topup)}")
        except PayPalRefused as refused:
            if refused.status == 404:
                return ProviderState(status="lapsed")
            raise
        try:
            captures, refunds = documents.captures(order), documents.refunds(order)
            refunds += await self._refunds(set(known.refunds) - {refund.id for refund in refunds})
            disputes = await self._disputes(captures, known.disputes)
            return documents.order_state(order, refunds=refunds, disputes=disputes)
        except FieldError as error:
            raise PayPalUnavailable("an order that cannot be read") from error

    async def capture(self, topup: TopUp, known: Refs) -> ProviderState:
        # A declined payer may approve again, and a new attempt needs an id of its own. A call whose outcome is not
        # known keeps the id that it had.
        request_id = f"{topup.id}:capture" + (f":{topup.declines}" if topup.declines else "")
        try:
            await self._post_surely(f"/v2/checkout/orders/{_payment_ref(topup)}/capture", b"{}", request_id)
        except PayPalRefused as refused:
            return await self._after_refusal(topup, known, refused)
        except PayPalUnavailable:
            # PayPal may have taken the money before it fell silent.
            pass
        return await self.fetch(topup, known)

    async def refund(self, capture_id: str, amount: NanoUsd, key: str) -> None:
        content = _content({"amount": _amount(amount)})
        await self._post_surely(f"/v2/payments/captures/{quote(capture_id, safe='')}/refund", content, key)

    async def close(self) -> None:
        await self._api.close()
        await self._webhooks.close()

    async def _after_refusal(self, topup: TopUp, known: Refs, refused: PayPalRefused) -> ProviderState:
        """What a refused capture leaves. Another hand may have taken the money, and then that is what counts."""
        state = await self.fetch(topup, known)
        if state.captures or state.status == "lapsed":
            return state
        match refused.reason:
            case "stands_otherwise":
                return state
            case "payer":
                return replace(state, status="declined")
            case "final":
                return replace(state, status="declined", is_final=True, attention=str(refused))
            case "merchant" | "unexpected":
                # It stays approved, and is tried again until the approval ends.
                return replace(state, attention=str(refused))
            case _:
                assert_never(refused.reason)

    async def _post_surely(self, path: str, content: bytes, request_id: str) -> Fields:
        """Once more under the same id when there was no answer: it tells what became of the first."""
        try:
            return await self._api.post(path, content, request_id=request_id)
        except PayPalUnavailable:
            return await self._api.post(path, content, request_id=request_id)

    async def _refunds(self, refund_ids: Iterable[str]) -> list[Refund]:
        """Refunds that the order does not list."""
        found = []
        for refund_id in sorted(refund_ids):
            item = await self._get_known(f"/v2/payments/refunds/{quote(refund_id, safe='')}")
            refund = item and documents.refund(item)
            if refund:
                found.append(refund)
        return found

    async def _disputes(self, captures: Iterable[Capture], known: Collection[str]) -> list[Dispute]:
        ids = set(known)
        for capture in captures:
            if capture.status == "settled":
                params = {"disputed_transaction_id": capture.id}
                search = await self._get_known("/v1/customer/disputes", params)
                ids.update(documents.dispute_ids(search) if search else ())
        found: list[Dispute] = []
        for dispute_id in sorted(ids):
            item = await self._get_known(f"/v1/customer/disputes/{quote(dispute_id, safe='')}")
            found += documents.dispute(item) if item else ()
        return found

    async def _get_known(self, path: str, params: Mapping[str, str] | None = None) -> Fields | None:
        """None for what PayPal does not know, or does not show to this merchant."""
        try:
            return await self._api.get(path, params)
        except PayPalRefused as refused:
            if refused.status in (403, 404, 422):
                return None
            raise


def _order(topup: TopUp, urls: ReturnUrls, brand_name: str) -> dict[str, object]:
    unit = {
        "reference_id": "default",
        "custom_id": topup.id,
        "invoice_id": topup.id,
        "description": DESCRIPTION,
        "amount": _amount(topup.amount_nano_usd),
    }
    experience = {
        # No payment that stays pending for days, as one by eCheck does.
        "payment_method_preference": "IMMEDIATE_PAYMENT_REQUIRED",
        "user_action": "PAY_NOW",
        "shipping_preference": "NO_SHIPPING",
        # The form for a card without an account, where the merchant's settings and the country allow it.
        "landing_page": "GUEST_CHECKOUT",
        "return_url": urls.approved,
        "cancel_url": urls.cancelled,
        "brand_name": brand_name,
    }
    return {
        "intent": "CAPTURE",
        "purchase_units": [unit],
        "payment_source": {"paypal": {"experience_context": experience}},
    }


def _amount(amount: NanoUsd) -> dict[str, str]:
    return {"currency_code": "USD", "value": format_usd(amount)}


def _content(body: object) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _payment_ref(topup: TopUp) -> str:
    if topup.payment_ref is None:
        raise ValueError(f"top-up {topup.id} was not started")
    return quote(topup.payment_ref, safe="")
