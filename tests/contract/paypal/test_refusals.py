"""PayPal refuses in its own form, with the issue that says why."""

from typing import Any

import pytest

from local.paypal.captures import REFUND_LIMIT_MS
from local.paypal.errors import ISSUES
from local.paypal.orders import MAX_DECLINED_ATTEMPTS
from tests.contract.paypal.world import Json, World, issue_of, order_request


async def capture(world: World, order_id: str, **options: Any) -> Any:
    return await world.call("POST", f"/v2/checkout/orders/{order_id}/capture", {}, **options)


async def refund(world: World, capture_id: str, body: Json | None = None, **options: Any) -> Any:
    return await world.call("POST", f"/v2/payments/captures/{capture_id}/refund", body or {}, **options)


def usd(value: str) -> Json:
    return {"amount": {"currency_code": "USD", "value": value}}


@pytest.mark.parametrize("authorization", ["", "Bearer stolen", "Basic abc"])
async def test_without_a_valid_token_nothing_is_answered(world: World, authorization: str) -> None:
    answer = await world.http.get("/v2/checkout/orders/1", headers={"authorization": authorization})

    assert (answer.status_code, answer.json()["name"]) == (401, "AUTHENTICATION_FAILURE")


async def test_a_token_ends_after_nine_hours(world: World) -> None:
    headers = {"authorization": f"Bearer {await world.token()}"}
    await world.advance(9 * 3600 - 1)
    assert (await world.http.get("/v2/checkout/orders/1", headers=headers)).status_code == 404

    await world.advance(1)

    assert (await world.http.get("/v2/checkout/orders/1", headers=headers)).status_code == 401


async def test_tokens_can_be_revoked(world: World) -> None:
    headers = {"authorization": f"Bearer {await world.token()}"}

    await world.simulate("DELETE", "/tokens")

    assert (await world.http.get("/v2/checkout/orders/1", headers=headers)).status_code == 401


@pytest.mark.parametrize(
    ("auth", "form", "error"),
    [
        (("someone", "else"), {"grant_type": "client_credentials"}, "invalid_client"),
        (None, {"grant_type": "password"}, "unsupported_grant_type"),
    ],
)
async def test_a_token_needs_the_right_credentials_and_grant(
    world: World, auth: tuple[str, str] | None, form: dict[str, str], error: str
) -> None:
    merchant = world.desk.merchant
    auth = auth or (merchant.client_id, merchant.client_secret)

    answer = await world.http.post("/v1/oauth2/token", data=form, auth=auth)

    assert answer.json()["error"] == error


@pytest.mark.parametrize(
    "path",
    [
        "/v2/checkout/orders/1",
        "/v2/payments/captures/1",
        "/v2/payments/refunds/1",
        "/v1/customer/disputes/1",
        "/v1/notifications/webhooks-events/1",
    ],
)
async def test_what_is_not_known_is_404(world: World, path: str) -> None:
    answer = await world.call("GET", path)

    assert (answer.status_code, issue_of(answer)) == (404, "INVALID_RESOURCE_ID")
    assert answer.headers["paypal-debug-id"] == answer.json()["debug_id"]


@pytest.mark.parametrize(
    ("unit", "status", "issue"),
    [
        ({"amount": None}, 400, "MISSING_REQUIRED_PARAMETER"),
        ({"amount": {"value": "1.00"}}, 400, "MISSING_REQUIRED_PARAMETER"),
        ({"amount": {"currency_code": "USD", "value": 1}}, 400, "INVALID_PARAMETER_SYNTAX"),
        ({"amount": {"currency_code": "USD", "value": "1,00"}}, 400, "INVALID_PARAMETER_SYNTAX"),
        ({"amount": {"currency_code": "dollar", "value": "1.00"}}, 400, "INVALID_PARAMETER_SYNTAX"),
        ({"amount": {"currency_code": "USD", "value": "0.00"}}, 422, "CANNOT_BE_ZERO_OR_NEGATIVE"),
        ({"amount": {"currency_code": "USD", "value": "-1.00"}}, 422, "CANNOT_BE_ZERO_OR_NEGATIVE"),
        ({"amount": {"currency_code": "USD", "value": "1.001"}}, 422, "DECIMAL_PRECISION"),
        ({"custom_id": "c" * 128}, 400, "INVALID_STRING_LENGTH"),
        ({"invoice_id": ""}, 400, "INVALID_STRING_LENGTH"),
        ({"payee": "me"}, 400, "INVALID_PARAMETER_SYNTAX"),
    ],
)
async def test_a_purchase_unit_is_checked(world: World, unit: Json, status: int, issue: str) -> None:
    answer = await world.call("POST", "/v2/checkout/orders", order_request(**unit), request_id="1")

    assert (answer.status_code, issue_of(answer)) == (status, issue)
    assert answer.json()["details"][0]["field"].startswith("/purchase_units/0/")


@pytest.mark.parametrize(
    ("change", "issue"),
    [
        ({"intent": "AUTHORIZE"}, "NOT_SUPPORTED"),
        ({"purchase_units": []}, "INVALID_ARRAY_MIN_ITEMS"),
        ({"purchase_units": order_request()["purchase_units"] * 2}, "NOT_SUPPORTED"),
        ({"payment_source": "paypal"}, "INVALID_PARAMETER_SYNTAX"),
        ({"payment_source": {"paypal": {"experience_context": {"return_url": "back"}}}}, "INVALID_PARAMETER_SYNTAX"),
        ({"payment_source": {"paypal": {"experience_context": {"landing_page": "x"}}}}, "INVALID_PARAMETER_VALUE"),
    ],
)
async def test_an_order_is_checked(world: World, change: Json, issue: str) -> None:
    answer = await world.call("POST", "/v2/checkout/orders", order_request() | change, request_id="1")

    assert (answer.status_code, issue_of(answer)) == (400, issue)


async def test_a_custom_id_may_have_127_characters(world: World) -> None:
    assert (await world.create(custom_id="c" * 127))["status"] == "PAYER_ACTION_REQUIRED"


async def test_a_body_that_is_not_json_is_refused(world: World) -> None:
    headers = {"authorization": f"Bearer {await world.token()}"}

    answer = await world.http.post("/v2/checkout/orders", content=b"{", headers=headers)

    assert issue_of(answer) == "MALFORMED_REQUEST_JSON"


async def test_an_order_with_a_payment_source_needs_a_request_id(world: World) -> None:
    answer = await world.call("POST", "/v2/checkout/orders", order_request())

    assert (answer.status_code, issue_of(answer)) == (400, "PAYPAL_REQUEST_ID_REQUIRED")


async def test_an_order_is_not_captured_before_it_is_approved(world: World) -> None:
    order = await world.create()

    answer = await capture(world, order["id"])

    assert (answer.status_code, issue_of(answer)) == (422, "ORDER_NOT_APPROVED")


async def test_an_order_is_captured_once(world: World) -> None:
    order_id = await world.approved()
    await capture(world, order_id, request_id="first")

    assert issue_of(await capture(world, order_id, request_id="second")) == "ORDER_ALREADY_CAPTURED"


@pytest.mark.parametrize(
    ("funding", "issue"),
    [
        ("card-declined", "INSTRUMENT_DECLINED"),
        ("pay-later-declined", "INSTRUMENT_DECLINED"),
        ("action-required", "PAYER_ACTION_REQUIRED"),
        ("refused", "TRANSACTION_REFUSED"),
    ],
)
async def test_how_the_buyer_pays_decides_the_capture(world: World, funding: str, issue: str) -> None:
    order_id = await world.approved(funding)

    answer = await capture(world, order_id)

    assert (answer.status_code, issue_of(answer)) == (422, issue)
    assert any(link["href"].endswith(f"/checkoutnow?token={order_id}") for link in answer.json()["links"])


async def test_attempts_to_pay_have_a_limit(world: World) -> None:
    order_id = await world.approved("card-declined")
    issues = [issue_of(await capture(world, order_id)) for _ in range(MAX_DECLINED_ATTEMPTS + 1)]

    assert issues[-2:] == ["INSTRUMENT_DECLINED", "MAX_NUMBER_OF_PAYMENT_ATTEMPTS_EXCEEDED"]


async def test_an_invoice_is_paid_once(world: World) -> None:
    first = await world.approved(invoice_id="1", request_id="first")
    second = await world.approved(invoice_id="1", request_id="second")
    await capture(world, first)

    assert issue_of(await capture(world, second)) == "DUPLICATE_INVOICE_ID"
    answer = await world.call("POST", "/v2/checkout/orders", order_request(invoice_id="1"), request_id="third")
    assert issue_of(answer) == "DUPLICATE_INVOICE_ID"


ISSUES_OF_CAPTURES = (
    "COMPLIANCE_VIOLATION",
    "DUPLICATE_INVOICE_ID",
    "INSTRUMENT_DECLINED",
    "MAX_NUMBER_OF_PAYMENT_ATTEMPTS_EXCEEDED",
    "ORDER_ALREADY_CAPTURED",
    "ORDER_COMPLETION_IN_PROGRESS",
    "ORDER_NOT_APPROVED",
    "PAYEE_BLOCKED_TRANSACTION",
    "PAYER_ACCOUNT_LOCKED_OR_CLOSED",
    "PAYER_ACCOUNT_RESTRICTED",
    "PAYER_ACTION_REQUIRED",
    "PAYER_CANNOT_PAY",
    "REDIRECT_PAYER_FOR_ALTERNATE_FUNDING",
    "TRANSACTION_REFUSED",
)


@pytest.mark.parametrize("issue", ISSUES_OF_CAPTURES)
async def test_every_issue_of_a_capture_can_be_asked_for(world: World, issue: str) -> None:
    order_id = await world.approved()
    await world.simulate("POST", "/faults", {"operation": "orders.capture", "answer": issue})

    answer = await capture(world, order_id)

    assert (answer.status_code, issue_of(answer)) == (422, issue)
    assert (await capture(world, order_id)).status_code == 201


ISSUES_OF_REFUNDS = ("PENDING_CAPTURE", "TRANSACTION_DISPUTED", *(issue for issue in ISSUES if "REFUND" in issue))


@pytest.mark.parametrize("issue", ISSUES_OF_REFUNDS)
async def test_every_issue_of_a_refund_can_be_asked_for(world: World, issue: str) -> None:
    paid = await world.captured()
    await world.simulate("POST", "/faults", {"operation": "captures.refund", "answer": issue})

    assert issue_of(await refund(world, paid["id"])) == issue


async def test_a_pending_capture_is_not_refunded(world: World) -> None:
    assert issue_of(await refund(world, (await world.captured("echeck"))["id"])) == "PENDING_CAPTURE"


async def test_a_declined_capture_is_not_refunded(world: World) -> None:
    await world.simulate("POST", "/next-capture", {"status": "DECLINED"})

    assert issue_of(await refund(world, (await world.captured())["id"])) == "REFUND_NOT_ALLOWED"


@pytest.mark.parametrize(
    ("body", "issue"),
    [
        (usd("10.01"), "REFUND_AMOUNT_EXCEEDED"),
        (usd("0"), "CANNOT_BE_ZERO_OR_NEGATIVE"),
        (usd("0.001"), "DECIMAL_PRECISION"),
        ({"amount": {"currency_code": "EUR", "value": "1.00"}}, "REFUND_CAPTURE_CURRENCY_MISMATCH"),
        ({"note_to_payer": "n" * 256}, "INVALID_STRING_LENGTH"),
    ],
)
async def test_a_refund_is_checked(world: World, body: Json, issue: str) -> None:
    paid = await world.captured(value="10.00")

    assert issue_of(await refund(world, paid["id"], body)) == issue


async def test_no_more_is_refunded_than_was_paid(world: World) -> None:
    paid = await world.captured(value="10.00")
    assert (await refund(world, paid["id"], usd("6.00"))).status_code == 201

    assert issue_of(await refund(world, paid["id"], usd("4.01"))) == "REFUND_AMOUNT_EXCEEDED"
    assert (await refund(world, paid["id"], usd("4.00"))).status_code == 201
    assert issue_of(await refund(world, paid["id"])) == "CAPTURE_FULLY_REFUNDED"


async def test_a_reversed_capture_is_not_refunded(world: World) -> None:
    paid = await world.captured(value="10.00")
    await world.simulate("POST", f"/captures/{paid['id']}/reverse", {"value": "3.00"})

    assert issue_of(await refund(world, paid["id"])) == "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK"


async def test_a_disputed_capture_is_refunded_as_a_whole_or_not_at_all(world: World) -> None:
    paid = await world.captured(value="10.00")
    await world.simulate("POST", f"/captures/{paid['id']}/dispute")

    assert issue_of(await refund(world, paid["id"], usd("1.00"))) == "TRANSACTION_DISPUTED"
    assert (await refund(world, paid["id"])).status_code == 201


async def test_a_refund_comes_within_180_days(world: World) -> None:
    first, second = await world.captured(request_id="1"), await world.captured(request_id="2")
    await world.advance(REFUND_LIMIT_MS / 1000)
    assert (await refund(world, first["id"])).status_code == 201

    await world.advance(1)

    assert issue_of(await refund(world, second["id"])) == "REFUND_TIME_LIMIT_EXCEEDED"


async def test_an_invoice_is_refunded_once(world: World) -> None:
    paid = await world.captured(value="10.00")
    await refund(world, paid["id"], usd("1.00") | {"invoice_id": "1"})

    assert issue_of(await refund(world, paid["id"], usd("1.00") | {"invoice_id": "1"})) == "DUPLICATE_INVOICE_ID"
