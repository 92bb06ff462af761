"""PayPal's issues: what it says when it refuses a call, and why that is.

Those that a payment by redirect can meet, from the 401, 403, 404 and 422 answers in PayPal's OpenAPI files (Orders
2.13, Payments 2.5) and from its troubleshooting pages. The others that are published are about what we never send
(cards, vaults, bank debits, several purchase units), and mean what an unknown one means: the operator should look.
"""

from typing import Final

from control_plane.payment_provider import RefusalReason

_BY_REASON: Final[dict[RefusalReason, tuple[str, ...]]] = {
    # The order or capture itself says best how it stands: paid, on its way, waiting for the payer, refunded.
    "stands_otherwise": (
        "CAPTURE_FULLY_REFUNDED",
        "INVALID_RESOURCE_ID",
        "ORDER_ALREADY_CAPTURED",
        "ORDER_COMPLETION_IN_PROGRESS",
        "ORDER_NOT_APPROVED",
        "PAYER_ACTION_REQUIRED",
        "PENDING_CAPTURE",
        "REFUND_AMOUNT_EXCEEDED",
    ),
    "payer": (
        "CARD_BRAND_NOT_SUPPORTED",
        "CARD_CLOSED",
        "CARD_EXPIRED",
        "INSTRUMENT_DECLINED",
        "PAYER_ACCOUNT_LOCKED_OR_CLOSED",
        "PAYER_ACCOUNT_RESTRICTED",
        "PAYER_CANNOT_PAY",
        "PAYMENT_DENIED",
        "PAYMENT_SOURCE_CANNOT_BE_USED",
        "PAYMENT_SOURCE_DECLINED_BY_PROCESSOR",
        "PAYMENT_SOURCE_INFO_CANNOT_BE_VERIFIED",
        "REDIRECT_PAYER_FOR_ALTERNATE_FUNDING",
        "REFERENCED_CARD_EXPIRED",
        "TRANSACTION_LIMIT_EXCEEDED",
    ),
    "final": (
        "COMPLIANCE_VIOLATION",
        "DECLINED_DUE_TO_RELATED_TXN",
        "DOMESTIC_TRANSACTION_REQUIRED",
        "DUPLICATE_INVOICE_ID",
        "MAX_NUMBER_OF_PAYMENT_ATTEMPTS_EXCEEDED",
        "MAX_NUMBER_OF_REFUNDS_EXCEEDED",
        "PARTIAL_REFUND_NOT_ALLOWED",
        "PAYEE_BLOCKED_TRANSACTION",
        "REFUND_AMOUNT_TOO_LOW",
        "REFUND_NOT_ALLOWED",
        "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK",
        "REFUND_TIME_LIMIT_EXCEEDED",
        "TRANSACTION_BLOCKED_BY_PAYEE",
        "TRANSACTION_REFUSED",
    ),
    "merchant": (
        "AUTH_CAPTURE_NOT_ENABLED",
        "CONSENT_NEEDED",
        "CURRENCY_NOT_SUPPORTED",
        "INVALID_ACCOUNT_STATUS",
        "NOT_ENABLED_FOR_BANK_PROCESSING",
        "NOT_ENABLED_FOR_CARD_PROCESSING",
        "PAYEE_ACCOUNT_INVALID",
        "PAYEE_ACCOUNT_LOCKED_OR_CLOSED",
        "PAYEE_ACCOUNT_NOT_VERIFIED",
        "PAYEE_ACCOUNT_RESTRICTED",
        "PAYEE_NOT_CONSENTED",
        "PAYEE_NOT_ENABLED_FOR_BANK_PROCESSING",
        "PAYEE_NOT_ENABLED_FOR_CARD_PROCESSING",
        "PERMISSION_DENIED",
        "REFUND_FAILED_INSUFFICIENT_FUNDS",
        "REFUND_IS_RESTRICTED",
        "SETUP_ERROR_FOR_BANK",
        "TRANSACTION_DISPUTED",
        "TRANSACTION_RECEIVING_LIMIT_EXCEEDED",
    ),
}
REASONS: Final[dict[str, RefusalReason]] = {issue: reason for reason, issues in _BY_REASON.items() for issue in issues}


def reason_of(issue: str) -> RefusalReason:
    return REASONS.get(issue, "unexpected")
