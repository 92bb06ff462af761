"""How each refusal of the domain is answered."""

from collections.abc import Callable

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from control_plane.accounts import AccountNotFound, AccountSuspended, EmailTaken
from control_plane.api.problems import Problem, render
from control_plane.cloudflare import CloudflareError
from control_plane.edge import EdgeError
from control_plane.keys import KeyIsRevoked, KeyNotFound, TooManyKeys
from control_plane.ledger import TransferConflict
from control_plane.paging import CursorRefused
from control_plane.tokens import TokenNotFound

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
}


def install(app: FastAPI) -> None:
    """Answer the domain's refusals, wherever a route lets them through."""
    for refusal, problem in REFUSALS.items():
        app.add_exception_handler(refusal, _answer_with(problem))


def _answer_with(problem: Callable[[], Problem]) -> Callable[[Request, Exception], JSONResponse]:
    def answer(_request: Request, _error: Exception) -> JSONResponse:
        return render(problem())

    return answer
