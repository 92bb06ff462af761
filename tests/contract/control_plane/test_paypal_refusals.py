"""PayPal refuses a call: for every issue that it publishes, how the top-up ends and what the caller is told.

The published issues are those of its OpenAPI files; a few are on its troubleshooting pages alone. What is about things
that we never send ends like an issue that is not known: nothing is taken, and the operator is shown PayPal's word.
"""

from typing import Any, Final, Literal

import httpx2
import pytest

from local.paypal.errors import STATUSES
from tests.contract.control_plane.paypal_world import HOUR_MS, PayPalWorld, money
from tests.contract.control_plane.world import assert_problem
from tests.contract.paypal.published import assert_answer_is_valid, issues

CREATE, CAPTURE = "/v2/checkout/orders", "/v2/checkout/orders/ORDER/capture"
REFUND = "/v2/payments/captures/CAPTURE/refund"

# What becomes of an approved top-up whose capture is refused, as its payer, its customer and the operator see it.
Ending = Literal["as the order says", "pay by other means", "not to be paid", "the operator must act"]
SHOWN: Final[dict[Ending, tuple[str, str, bool, bool]]] = {
    # state, words on the payer's page, whether it can still be paid, whether there is an alert
    "as the order says": ("approved", "will be credited when the payment is through", False, False),
    "pay by other means": ("declined", "nothing was charged", True, False),
    "not to be paid": ("declined", "nothing was charged", False, True),
    "the operator must act": ("approved", "will be credited when the payment is through", False, True),
}
CAPTURE_ENDINGS: Final[dict[str, Ending]] = {
    "INVALID_RESOURCE_ID": "as the order says",
    "ORDER_COMPLETION_IN_PROGRESS": "as the order says",
    "ORDER_NOT_APPROVED": "as the order says",
    "PAYER_ACTION_REQUIRED": "as the order says",
    "CARD_BRAND_NOT_SUPPORTED": "pay by other means",
    "CARD_CLOSED": "pay by other means",
    "CARD_EXPIRED": "pay by other means",
    "INSTRUMENT_DECLINED": "pay by other means",
    "PAYER_ACCOUNT_LOCKED_OR_CLOSED": "pay by other means",
    "PAYER_ACCOUNT_RESTRICTED": "pay by other means",
    "PAYER_CANNOT_PAY": "pay by other means",
    "PAYMENT_DENIED": "pay by other means",
    "PAYMENT_SOURCE_CANNOT_BE_USED": "pay by other means",
    "PAYMENT_SOURCE_DECLINED_BY_PROCESSOR": "pay by other means",
    "PAYMENT_SOURCE_INFO_CANNOT_BE_VERIFIED": "pay by other means",
    "REDIRECT_PAYER_FOR_ALTERNATE_FUNDING": "pay by other means",
    "REFERENCED_CARD_EXPIRED": "pay by other means",
    "TRANSACTION_LIMIT_EXCEEDED": "pay by other means",
    "COMPLIANCE_VIOLATION": "not to be paid",
    "DECLINED_DUE_TO_RELATED_TXN": "not to be paid",
    "DOMESTIC_TRANSACTION_REQUIRED": "not to be paid",
    "DUPLICATE_INVOICE_ID": "not to be paid",
    "MAX_NUMBER_OF_PAYMENT_ATTEMPTS_EXCEEDED": "not to be paid",
    "PAYEE_BLOCKED_TRANSACTION": "not to be paid",
    "TRANSACTION_BLOCKED_BY_PAYEE": "not to be paid",
    "TRANSACTION_REFUSED": "not to be paid",
    "AUTH_CAPTURE_NOT_ENABLED": "the operator must act",
    "CONSENT_NEEDED": "the operator must act",
    "CURRENCY_NOT_SUPPORTED": "the operator must act",
    "INVALID_ACCOUNT_STATUS": "the operator must act",
    "PAYEE_ACCOUNT_NOT_VERIFIED": "the operator must act",
    "PAYEE_ACCOUNT_RESTRICTED": "the operator must act",
    "PAYEE_NOT_CONSENTED": "the operator must act",
    "PERMISSION_DENIED": "the operator must act",
    "TRANSACTION_RECEIVING_LIMIT_EXCEEDED": "the operator must act",
}
CAPTURE_STATUSES: Final = {
    issue: status for status in (401, 403, 404, 422) for issue in issues("POST", CAPTURE, status)
}
UNUSED_BY_US: Final = sorted({*CAPTURE_STATUSES} - {*CAPTURE_ENDINGS, "ORDER_ALREADY_CAPTURED"})

# Why, as the operator who asked for a refund is told.
FINAL, MERCHANT = "it will not be done for this payment", "the account at the payment provider must be seen to first"
STANDS_OTHERWISE = "the payment is not as it was thought to be"
REFUND_REASONS: Final = {
    "CAPTURE_FULLY_REFUNDED": STANDS_OTHERWISE,
    "INVALID_RESOURCE_ID": STANDS_OTHERWISE,
    "PENDING_CAPTURE": STANDS_OTHERWISE,
    "REFUND_AMOUNT_EXCEEDED": STANDS_OTHERWISE,
    "PAYER_ACCOUNT_LOCKED_OR_CLOSED": "the payer's account or means of payment were refused",
    "DUPLICATE_INVOICE_ID": FINAL,
    "MAX_NUMBER_OF_REFUNDS_EXCEEDED": FINAL,
    "PARTIAL_REFUND_NOT_ALLOWED": FINAL,
    "REFUND_AMOUNT_TOO_LOW": FINAL,
    "REFUND_NOT_ALLOWED": FINAL,
    "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK": FINAL,
    "REFUND_TIME_LIMIT_EXCEEDED": FINAL,
    "INVALID_ACCOUNT_STATUS": MERCHANT,
    "PAYEE_ACCOUNT_LOCKED_OR_CLOSED": MERCHANT,
    "PAYEE_ACCOUNT_RESTRICTED": MERCHANT,
    "REFUND_FAILED_INSUFFICIENT_FUNDS": MERCHANT,
    "REFUND_IS_RESTRICTED": MERCHANT,
    "PERMISSION_DENIED": MERCHANT,
    "TRANSACTION_DISPUTED": MERCHANT,
}
REFUND_STATUSES: Final = {issue: status for status in (401, 403, 404, 422) for issue in issues("POST", REFUND, status)}


@pytest.mark.parametrize(("issue", "ending"), CAPTURE_ENDINGS.items())
async def test_a_refused_capture_credits_nothing_and_everyone_is_told_what_to_do(
    paypal: PayPalWorld, issue: str, ending: Ending
) -> None:
    state, words, can_be_paid, is_alert = SHOWN[ending]
    refuse(paypal, CAPTURE, CAPTURE_STATUSES.get(issue, 422), issue)
    topup = await paypal.start()
    paypal.approve(topup)
    page = await paypal.come_back(topup)

    shown = await paypal.shown(topup)
    assert (shown["state"], shown["alert"] is not None) == (state, is_alert)
    assert [issue in alert["detail"] for alert in await paypal.alerts()] == [True] * is_alert
    assert words in page.text
    assert (shown["approve_url"] is not None, "<a id=" in page.text) == (can_be_paid, can_be_paid)
    assert await paypal.balance() == "0.00"


async def test_any_other_refusal_of_a_capture_is_shown_to_the_operator_in_paypals_word(paypal: PayPalWorld) -> None:
    for issue in UNUSED_BY_US:
        refuse(paypal, CAPTURE, CAPTURE_STATUSES[issue], issue)
        shown = await paypal.paid()
        assert shown["state"] == "approved"
        assert shown["alert"].endswith(f": {issue}")
        paypal.world.clock.now_ms += HOUR_MS

    assert len(UNUSED_BY_US) >= 40
    assert await paypal.balance() == "0.00"


async def test_an_order_that_is_captured_already_is_credited(paypal: PayPalWorld) -> None:
    topup = await paypal.start()
    paypal.approve(topup)
    order_id = paypal.order(topup).id
    refuse(paypal, CAPTURE, 422, "ORDER_ALREADY_CAPTURED", first=lambda: paypal.desk.orders.capture(order_id))
    page = await paypal.come_back(topup)

    assert "has been credited" in page.text
    assert await paypal.balance() == "10.00"


@pytest.mark.parametrize("issue", ["PAYEE_ACCOUNT_RESTRICTED", "TRANSACTION_RECEIVING_LIMIT_EXCEEDED"])
async def test_what_waits_for_the_operator_is_taken_by_itself_once_he_has_acted(
    paypal: PayPalWorld, issue: str
) -> None:
    refuse(paypal, CAPTURE, 422, issue)
    topup = await paypal.paid()
    paypal.wire.replaced = lambda _request: None
    paypal.world.clock.now_ms += HOUR_MS
    await paypal.world.services.sweep.round()

    shown = await paypal.shown(topup)
    assert (shown["state"], shown["alert"]) == ("captured", None)
    assert await paypal.balance() == "10.00"


async def test_whatever_keeps_a_payment_from_being_begun_is_the_operators_matter_and_not_the_customers(
    paypal: PayPalWorld,
) -> None:
    published = {issue: status for status in (401, 403, 422) for issue in issues("POST", CREATE, status)}
    seen = []
    for issue, status in published.items():
        refuse(paypal, CREATE, status, issue)
        answer = await paypal.customer.post("/account/v1/topups", json={"amount_usd": "1.00"})
        assert_problem(answer, 503, "payments_unavailable")
        assert issue not in answer.text
        seen.append(issue)
        paypal.world.clock.now_ms += HOUR_MS

    alerts = [alert["detail"] for alert in await paypal.alerts()]
    assert len(published) >= 90
    assert [alert.rpartition(": ")[2] for alert in alerts] == seen[::-1]


@pytest.mark.parametrize(("issue", "words"), REFUND_REASONS.items())
async def test_a_refused_refund_debits_nothing_and_the_operator_is_told_why(
    paypal: PayPalWorld, issue: str, words: str
) -> None:
    topup = await paypal.paid()
    await paypal.wallet()
    refuse(paypal, REFUND, REFUND_STATUSES[issue], issue)
    answer = await paypal.world.admin.post(f"/admin/v1/topups/{topup['id']}/refund", json={"amount_usd": "4.00"})

    assert_problem(answer, 409, "payment_refused")
    assert answer.json()["detail"] == f"{words}: {issue}"
    assert (await paypal.shown(topup))["state"] == "captured"
    assert await paypal.balance() == "10.00"


async def test_any_other_refusal_of_a_refund_is_told_in_paypals_word(paypal: PayPalWorld) -> None:
    topup = await paypal.paid()
    await paypal.wallet()
    others = sorted({*REFUND_STATUSES} - {*REFUND_REASONS})
    for issue in others:
        refuse(paypal, REFUND, REFUND_STATUSES[issue], issue)
        answer = await paypal.world.admin.post(f"/admin/v1/topups/{topup['id']}/refund", json={"amount_usd": "4.00"})
        assert answer.json()["detail"] == f"the payment provider refused: {issue}"

    assert len(others) >= 8
    assert await paypal.balance() == "10.00"


async def test_a_refund_that_another_hand_made_first_is_booked_before_it_is_refused(paypal: PayPalWorld) -> None:
    topup = await paypal.paid()
    await paypal.wallet()
    capture = paypal.capture(topup)
    refuse(
        paypal, REFUND, 422, "REFUND_AMOUNT_EXCEEDED", first=lambda: paypal.desk.captures.refund(capture, money("8.00"))
    )
    answer = await paypal.world.admin.post(f"/admin/v1/topups/{topup['id']}/refund", json={"amount_usd": "4.00"})

    assert_problem(answer, 409, "payment_refused")
    assert (await paypal.shown(topup))["refunded_usd"] == "8.00"
    assert await paypal.balance() == "2.00"


async def test_a_refund_that_is_still_at_work_at_paypal_can_be_asked_for_again(paypal: PayPalWorld) -> None:
    topup = await paypal.paid()
    await paypal.wallet()
    refuse(paypal, REFUND, 409, "PREVIOUS_REQUEST_IN_PROGRESS")
    url, body = f"/admin/v1/topups/{topup['id']}/refund", {"amount_usd": "4.00"}
    waits = await paypal.world.admin.post(url, json=body)
    paypal.wire.replaced = lambda _request: None
    made = await paypal.world.admin.post(url, json=body)

    assert_problem(waits, 503, "payment_provider_unavailable")
    assert made.json()["refunded_usd"] == "4.00"
    assert len({call.headers["paypal-request-id"] for call in paypal.wire.made("POST", "/refund")}) == 1


async def test_an_order_that_may_not_be_read_now_is_not_given_up(paypal: PayPalWorld) -> None:
    topup = await paypal.start()
    paypal.wire.replaced = lambda request: (
        httpx2.Response(403, json=body_of(403, "PERMISSION_DENIED")) if request.method == "GET" else None
    )
    shown = await paypal.refresh(topup)

    assert shown["state"] == "created"
    assert "PERMISSION_DENIED" in shown["alert"]
    assert shown["next_look_at"] is not None


def refuse(paypal: PayPalWorld, path: str, status: int, issue: str, *, first: Any = lambda: None) -> None:
    """PayPal answers every such call so; ``first`` is done before the first answer."""
    acts = [first]
    published = issues("POST", path, status)
    body = body_of(status, issue, published.get(issue, ""))
    if issue in published:
        assert_answer_is_valid("POST", path, status, body)

    def replaced(request: httpx2.Request) -> httpx2.Response | None:
        if request.method != "POST" or not request.url.path.endswith(path.rpartition("/")[2]):
            return None
        while acts:
            acts.pop()()
        return httpx2.Response(status, json=body)

    paypal.wire.replaced = replaced


def body_of(status: int, issue: str, description: str = "") -> dict[str, Any]:
    name, message = STATUSES[status]
    detail = {"issue": issue} | ({"description": description} if description else {})
    return {"name": name, "message": message, "debug_id": "90957fca61718", "details": [detail]}
