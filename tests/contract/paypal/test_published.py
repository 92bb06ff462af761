"""What PayPal publishes is what requests and answers are held to, and nothing else passes."""

import pytest

from local.paypal.api import OPERATIONS as SIMULATED
from local.paypal.api import TOKEN_OPERATION
from tests.contract.paypal.published import OPERATIONS, assert_answer_is_valid, assert_request_is_valid
from tests.contract.paypal.world import order_request

ORDERS = "/v2/checkout/orders"


def test_every_published_call_that_we_need_is_simulated_under_its_name() -> None:
    published = {(operation.method, operation.id) for operation in OPERATIONS}
    simulated = {(method, name) for method, _, name, _ in SIMULATED if name != TOKEN_OPERATION}

    assert simulated == published


def test_a_good_request_passes() -> None:
    assert_request_is_valid("POST", ORDERS, order_request())
    assert_request_is_valid("POST", f"{ORDERS}/5O190127TN364715T/capture", {})
    assert_request_is_valid("GET", f"{ORDERS}/5O190127TN364715T", None)


@pytest.mark.parametrize(
    "change",
    [
        {"intent": "CHARGE"},
        {"purchase_units": []},
        {"purchase_units": [{"amount": {"currency_code": "USD", "value": 1.0}}]},
        {"purchase_units": [{"amount": {"currency_code": "USD", "value": "1.00"}, "custom": "1"}]},
        {"payment_source": {"paypal": {"experience_contex": {}}}},
        {"more": 1},
    ],
)
def test_a_request_with_a_slip_does_not_pass(change: dict[str, object]) -> None:
    with pytest.raises(AssertionError):
        assert_request_is_valid("POST", ORDERS, order_request() | change)


def test_a_path_that_is_not_published_does_not_pass() -> None:
    with pytest.raises(AssertionError):
        assert_request_is_valid("POST", "/v2/checkout/order", order_request())


def test_a_body_where_none_is_published_does_not_pass() -> None:
    with pytest.raises(AssertionError):
        assert_request_is_valid("GET", f"{ORDERS}/1", {})


def test_an_answer_with_an_invented_member_or_status_does_not_pass() -> None:
    assert_answer_is_valid("GET", f"{ORDERS}/1", 200, {"id": "1", "status": "CREATED"})

    for invented in ({"status": "PAID"}, {"state": "CREATED"}):
        with pytest.raises(AssertionError):
            assert_answer_is_valid("GET", f"{ORDERS}/1", 200, invented)
