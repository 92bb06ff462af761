"""What a route may ask for: the services, and who is calling."""

from typing import Annotated, cast

from fastapi import Depends, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from control_plane import tokens
from control_plane.api.problems import Problem
from control_plane.paging import DEFAULT_LIMIT, MAX_LIMIT, Cursor, CursorRefused, PageRequest
from control_plane.services import Services
from control_plane.tokens import Token, TokenKind, TokenRefused

_admin_scheme = HTTPBearer(auto_error=False, scheme_name="admin token", description="The operator's token.")
_account_scheme = HTTPBearer(auto_error=False, scheme_name="account token", description="One customer's token.")


def get_services(request: Request) -> Services:
    return cast(Services, request.app.state.services)


ServicesDep = Annotated[Services, Depends(get_services)]


async def require_admin(
    services: ServicesDep, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_admin_scheme)]
) -> Token:
    """The operator's token, or 401."""
    return await _authenticate(services, credentials, "admin")


async def require_account(
    services: ServicesDep, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_account_scheme)]
) -> str:
    """The id of the account whose token was sent, or 401."""
    return cast(str, (await _authenticate(services, credentials, "account")).account_id)


OwnAccountId = Annotated[str, Depends(require_account)]


async def _authenticate(services: Services, credentials: HTTPAuthorizationCredentials | None, kind: TokenKind) -> Token:
    if credentials is None:
        raise Problem.unauthenticated()
    try:
        async with services.store.read() as connection:
            return await tokens.authenticate(connection, credentials.credentials, kind)
    except TokenRefused as error:
        raise Problem.unauthenticated() from error


def page_request(
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Items in a page.")] = DEFAULT_LIMIT,
    cursor: Annotated[
        str | None, Query(max_length=200, description="`next_cursor` of the page before.", examples=[None])
    ] = None,
) -> PageRequest:
    """The page that the query asks for, or 422."""
    try:
        return PageRequest(limit=limit, cursor=None if cursor is None else Cursor.decode(cursor))
    except CursorRefused as error:
        raise Problem.invalid("/cursor", "is not a cursor of this list") from error


PageDep = Annotated[PageRequest, Depends(page_request)]
