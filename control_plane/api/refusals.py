"""How each refusal of the domain is answered."""

from collections.abc import Callable

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from control_plane.accounts import AccountNotFound, AccountSuspended, EmailTaken
from control_plane.api.problems import Problem, render
from control_plane.cashier import AmountRefused, PaymentsNotConfigured, TooManyOpenTopUps, TopUpNotBegun
from control_plane.cloudflare import CloudflareError
from control_plane.edge import EdgeError
from control_plane.inbox import TransmissionReplayed
from control_plane.invoices import NumbersContended, TopUpNotPaid
from control_plane.keys import KeyIsRevoked, KeyNotFound, TooManyKeys
from control_plane.ledger import TransferConflict
from control_plane.paging import CursorRefused
from control_plane.payment_provider import DeliveryRefused, ProviderRefused, ProviderUnavailable
from control_plane.receipts import ReceiptNotFound
from control_plane.refunds import RefundNotFound
from control_plane.statements import StatementNotFound
from control_plane.tokens import TokenNotFound
from control_plane.topups import DisputeNotFound, TopUpNotFound

REFUSALS: dict[type[Exception], Callable[[], Problem]] = {
    AccountNotFound: lambda: Problem(404, "account_not_found", "No such account"),
    AccountSuspended: lambda: Problem(409, "account_suspended", "The account is suspended"),
    EmailTaken: lambda: Problem(409, "email_taken", "Another account has this e-mail address"),
    KeyNotFound: lambda: Problem(404, "key_not_found", "No such key"),
    KeyIsRevoked: lambda: Problem(409, "key_revoked", "The key is revoked"),
    TooManyKeys: lambda: Problem(409, "too_many_keys", "The account has as many active keys as it may have"),
    TokenNotFound: lambda: Problem(404, "token_not_found", "No such token"),
    TransferConflict: lambda: Problem(409, "reference_used", "The reference was used for another amount"),
    CursorRefused: lambda: Problem.invalid("/cursor", "is not a cursor of this list"),
    EdgeError: lambda: Problem(502, "edge_unavailable", "The edge did not answer"),
    CloudflareError: lambda: Problem(502, "cloudflare_unavailable", "Cloudflare did not answer"),
    PaymentsNotConfigured: lambda: Problem(503, "payments_not_configured", "Payments are not configured"),
    ReceiptNotFound: lambda: Problem(404, "receipt_not_found", "No such receipt"),
    StatementNotFound: lambda: Problem(404, "statement_not_found", "There is no statement of this month"),
    TopUpNotPaid: lambda: Problem(409, "topup_not_paid", "The top-up was not paid"),
    NumbersContended: lambda: Problem(503, "try_again", "Too many documents are being made at once"),
    RefundNotFound: lambda: Problem(404, "refund_not_found", "No such refund of this top-up"),
    DisputeNotFound: lambda: Problem(404, "dispute_not_found", "No such dispute of this top-up"),
    TopUpNotFound: lambda: Problem(404, "topup_not_found", "No such top-up"),
    TopUpNotBegun: lambda: Problem(503, "payments_unavailable", "No payment can be begun at the moment"),
    TooManyOpenTopUps: lambda: Problem(429, "too_many_topups", "Too many top-ups were begun and not paid"),
    ProviderUnavailable: lambda: Problem(503, "payment_provider_unavailable", "The payment provider did not answer"),
    TransmissionReplayed: lambda: Problem(400, "delivery_refused", "The delivery is refused"),
}
# These say why in words that are ours, or one of the provider's codes.
EXPLAINED_REFUSALS: dict[type[Exception], Callable[[str], Problem]] = {
    AmountRefused: lambda why: Problem.invalid("/amount_usd", why),
    ProviderRefused: lambda why: Problem(409, "payment_refused", "The payment provider refused", detail=why),
    DeliveryRefused: lambda why: Problem(400, "delivery_refused", "The delivery is refused", detail=why),
}


def install(app: FastAPI) -> None:
    """Answer the domain's refusals, wherever a route lets them through."""
    for refusal, problem in REFUSALS.items():
        app.add_exception_handler(refusal, _answer_with(problem))
    for refusal, explained in EXPLAINED_REFUSALS.items():
        app.add_exception_handler(refusal, _explain_with(explained))


def _answer_with(problem: Callable[[], Problem]) -> Callable[[Request, Exception], JSONResponse]:
    return _explain_with(lambda _why: problem())


def _explain_with(problem: Callable[[str], Problem]) -> Callable[[Request, Exception], JSONResponse]:
    def answer(_request: Request, error: Exception) -> JSONResponse:
        return render(problem(str(error)))

    return answer
