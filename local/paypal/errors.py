"""What PayPal refuses, in its own words, and the one form in which it says so."""

from local.paypal.identifiers import debug_id
from local.paypal.money import Json

DOCUMENTATION = "https://developer.paypal.com/api/orders/v2/#error-"

# status -> name, message
STATUSES = {
    400: ("INVALID_REQUEST", "Request is not well-formed, syntactically incorrect, or violates schema."),
    401: (
        "AUTHENTICATION_FAILURE",
        "Authentication failed due to missing authorization header, or invalid authentication credentials.",
    ),
    403: ("NOT_AUTHORIZED", "Authorization failed due to insufficient permissions."),
    404: ("RESOURCE_NOT_FOUND", "The specified resource does not exist."),
    409: ("RESOURCE_CONFLICT", "The server has detected a conflict while processing this request."),
    422: (
        "UNPROCESSABLE_ENTITY",
        "The requested action could not be performed, semantically incorrect, or failed business validation.",
    ),
    429: ("RATE_LIMIT_REACHED", "Too many requests. Blocked due to rate limiting."),
    500: ("INTERNAL_SERVER_ERROR", "An internal server error occurred."),
    503: ("SERVICE_UNAVAILABLE", "Service Unavailable."),
}

_MALFORMED = {
    "INVALID_ARRAY_MAX_ITEMS": "The number of items in an array parameter is too large.",
    "INVALID_ARRAY_MIN_ITEMS": "The number of items in an array parameter is too small.",
    "INVALID_PARAMETER_SYNTAX": "The value of a field does not conform to the expected format.",
    "INVALID_PARAMETER_VALUE": "A parameter value is not valid.",
    "INVALID_STRING_LENGTH": "The value of a field is either too short or too long",
    "MALFORMED_REQUEST_JSON": "The request JSON is not well formed.",
    "MISSING_REQUIRED_PARAMETER": "A required parameter is missing.",
    "NOT_SUPPORTED": "This field is not currently supported.",
    "PAYPAL_REQUEST_ID_REQUIRED": (
        "A PayPal-Request-Id is required if you are trying to process payment for an Order. Please specify a "
        "PayPal-Request-Id or Create the Order without a 'payment_source' specified."
    ),
}
_UNPROCESSABLE = {
    "CANNOT_BE_ZERO_OR_NEGATIVE": (
        "Must be greater than zero. If the currency supports decimals, only two decimal place precision is supported."
    ),
    "CAPTURE_FULLY_REFUNDED": "The capture has already been fully refunded",
    "COMPLIANCE_VIOLATION": "Transaction is declined due to compliance violation.",
    "DECIMAL_PRECISION": "If the currency supports decimals, only two decimal place precision is supported.",
    "DUPLICATE_INVOICE_ID": (
        "Duplicate Invoice ID detected. To avoid a potential duplicate transaction your account setting requires that "
        "Invoice Id be unique for each transaction."
    ),
    "INSTRUMENT_DECLINED": (
        "The instrument presented  was either declined by the processor or bank, or it can't be used for this payment."
    ),
    "MAX_NUMBER_OF_PAYMENT_ATTEMPTS_EXCEEDED": "You have exceeded the maximum number of payment attempts.",
    "ORDER_ALREADY_CAPTURED": ("Order already captured.If 'intent=CAPTURE' only one capture per order is allowed."),
    "ORDER_COMPLETION_IN_PROGRESS": (
        "The order was created with processing_instruction of ORDER_COMPLETE_ON_PAYMENT_APPROVAL. The customer has "
        "approved the payment and PayPal is still in the process of capturing the order on your behalf as instructed. "
        "Please try your request again."
    ),
    "ORDER_NOT_APPROVED": (
        "Payer has not yet approved the Order for payment. Please redirect the payer to the 'rel':'approve' url "
        "returned as part of the HATEOAS links within the Create Order call or provide a valid `payment_source` in "
        "the request."
    ),
    "PAYEE_BLOCKED_TRANSACTION": ("The Fraud settings for this seller are such that this payment cannot be executed."),
    "PAYER_ACCOUNT_LOCKED_OR_CLOSED": "The payer account cannot be used for this transaction.",
    "PAYER_ACCOUNT_RESTRICTED": "PAYER_ACCOUNT_RESTRICTED",
    "PAYER_ACTION_REQUIRED": "Transaction cannot complete successfully, instruct the buyer to return to PayPal.",
    "PAYER_CANNOT_PAY": (
        "Payer cannot pay for this transaction. Please contact the payer to find other ways to pay for this "
        "transaction."
    ),
    "PENDING_CAPTURE": (
        "Cannot initiate a refund as the capture is pending. Capture is typically pending when the payer has funded "
        "the transaction using e-check/bank funded."
    ),
    "REDIRECT_PAYER_FOR_ALTERNATE_FUNDING": (
        "Transaction failed. Redirect the payer to select another funding source."
    ),
    "REFUND_AMOUNT_EXCEEDED": (
        "The refund amount must be less than or equal to the capture amount that has not yet been refunded."
    ),
    "REFUND_CAPTURE_CURRENCY_MISMATCH": "Refund must be in the same currency as the capture",
    "REFUND_FAILED_INSUFFICIENT_FUNDS": (
        "Capture could not be refunded due to insufficient funds. Please check to see if you have sufficient funds in "
        "your PayPal account or if the bank account linked to your PayPal account is verified and has sufficient funds."
    ),
    "REFUND_NOT_ALLOWED": "Capture cannot be refunded.",
    "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK": (
        "Refunds are not allowed on this capture due to a chargeback on the card or bank. Please contact the payee to "
        "resolve the chargeback."
    ),
    "REFUND_TIME_LIMIT_EXCEEDED": "You are over the time limit to perform a refund on this capture",
    "TRANSACTION_DISPUTED": (
        "Partial refunds cannot be offered at this time because there is an open case on this transaction. Visit the "
        "PayPal Resolution Center to review this case."
    ),
    "TRANSACTION_REFUSED": "The request was refused.",
}
_REST = {
    "INVALID_RESOURCE_ID": (
        404,
        "Specified resource ID does not exist. Please check the resource ID and try again.",
    ),
    "PREVIOUS_REQUEST_IN_PROGRESS": (
        409,
        "A previous request on this resource is currently in progress. Please wait for sometime and try again. It is "
        "best to space out the initial and the subsequent request(s) to avoid receiving this error.",
    ),
}
# issue -> status, description
ISSUES: dict[str, tuple[int, str]] = {
    **{issue: (400, description) for issue, description in _MALFORMED.items()},
    **{issue: (422, description) for issue, description in _UNPROCESSABLE.items()},
    **_REST,
}
# Where an issue means another thing to a refund.
REFUND_DESCRIPTIONS = {"DUPLICATE_INVOICE_ID": "Invoice ID was previously used to refund a capture."}


class Refused(Exception):
    """PayPal does not do what was asked; ``body`` is what it answers."""

    def __init__(self, status: int, details: list[Json] | None = None, links: list[Json] | None = None) -> None:
        self.status = status
        name, message = STATUSES[status]
        super().__init__(f"{status} {name} {details or ''}")
        self.body: Json = {"name": name, "message": message, "debug_id": debug_id()}
        if details:
            self.body["details"] = details
        issue = details[0]["issue"] if details else name
        self.body["links"] = [
            {"href": f"{DOCUMENTATION}{issue}", "rel": "information_link", "method": "GET"},
            *(links or []),
        ]


def refused(
    issue: str, *, field: str | None = None, description: str | None = None, links: list[Json] | None = None
) -> Refused:
    """The refusal for this issue; ``field`` is a JSON pointer into the request."""
    status, usual = ISSUES[issue]
    detail = {"issue": issue, "description": description or usual}
    if field is not None:
        detail = {"field": field, "location": "body"} | detail
    return Refused(status, [detail], links)
