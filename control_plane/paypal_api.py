"""PayPal's REST interface: one authenticated call, and what its errors mean."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import httpx2
from pydantic import SecretStr

from control_plane.clock import NowMs, wall_clock_ms
from control_plane.payment_provider import ProviderRefused, ProviderUnavailable
from control_plane.paypal_issues import reason_of
from gateway.fields import FieldError, Fields

TIMEOUT: Final = httpx2.Timeout(15.0, connect=5.0)
TOKEN_SPARE_MS: Final = 60_000
# What is said to be repeated later; a 409 is for a call whose first attempt is still at work.
_TEMPORARY: Final = frozenset((408, 409, 425, 429))


class PayPalUnavailable(ProviderUnavailable):
    """No answer, a failure on PayPal's side, too many calls, or credentials that it does not take."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"PayPal is unavailable: {reason}")


class PayPalRefused(ProviderRefused):
    """PayPal understood the call and said no. ``issue`` is the first of its error's details, or its name."""

    def __init__(self, status: int, issue: str) -> None:
        super().__init__(issue, reason_of(issue))
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    text: str = field(repr=False)
    good_until_ms: int


class PayPalApi:
    """Calls with a cached access token. Every method raises PayPalRefused or PayPalUnavailable."""

    def __init__(
        self,
        *,
        base_url: str,
        client_id: str,
        client_secret: SecretStr,
        now_ms: NowMs = wall_clock_ms,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._client = httpx2.AsyncClient(base_url=base_url, timeout=TIMEOUT, transport=transport)
        self._credentials = httpx2.BasicAuth(client_id, client_secret.get_secret_value())
        self._now_ms = now_ms
        self._token: _Token | None = None
        self._token_lock = asyncio.Lock()

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Fields:
        return _read(await self._authorized("GET", path, params=params))

    async def post(self, path: str, content: bytes, *, request_id: str | None = None) -> Fields:
        """``request_id`` makes it safe to repeat: PayPal answers a repetition with what became of the first."""
        headers = {"content-type": "application/json", "prefer": "return=representation"}
        if request_id is not None:
            headers["paypal-request-id"] = request_id
        return _read(await self._authorized("POST", path, content=content, headers=headers))

    async def close(self) -> None:
        await self._client.aclose()

    async def _authorized(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        token = await self._access_token()
        for attempt in range(2):
            authorization = {"authorization": f"Bearer {token}"}
            response = await self._send(
                method, path, content=content, headers={**(headers or {}), **authorization}, params=params
            )
            if not _is_unauthorized(response) or attempt == 1:
                break
            # PayPal may end a token before its time.
            token = await self._access_token(refused=token)
        return response

    async def _access_token(self, *, refused: str | None = None) -> str:
        """The token; whoever comes while it is fetched waits for the same one."""
        async with self._token_lock:
            token = self._token
            if token is None or token.text == refused or token.good_until_ms <= self._now_ms():
                token = self._token = await self._fetch_token()
            return token.text

    async def _fetch_token(self) -> _Token:
        asked_at_ms = self._now_ms()
        response = await self._send(
            "POST", "/v1/oauth2/token", auth=self._credentials, data={"grant_type": "client_credentials"}
        )
        if 400 <= response.status_code < 500:
            raise PayPalUnavailable(f"it does not take our credentials, status {response.status_code}")
        answer = _read(response)
        try:
            text, lifetime_s = answer.text("access_token"), answer.integer("expires_in")
        except FieldError as error:
            raise PayPalUnavailable("an answer without a token") from error
        return _Token(text=text, good_until_ms=asked_at_ms + lifetime_s * 1000 - TOKEN_SPARE_MS)

    async def _send(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        data: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        auth: httpx2.Auth | None = None,
    ) -> httpx2.Response:
        try:
            return await self._client.request(
                method, path, content=content, data=data, headers=headers, params=params, auth=auth
            )
        except httpx2.HTTPError as error:
            raise PayPalUnavailable(type(error).__name__) from error


def _read(response: httpx2.Response) -> Fields:
    """The body of a successful call."""
    status = response.status_code
    if status >= 500 or status in _TEMPORARY or _is_unauthorized(response):
        raise PayPalUnavailable(f"status {status}")
    try:
        body = Fields.parse(response.content, "PayPal's answer")
    except FieldError as error:
        if status < 400:
            raise PayPalUnavailable("an answer that is not JSON") from error
        raise PayPalRefused(status, f"status {status}") from error
    if status < 300:
        return body
    if status < 400:
        raise PayPalUnavailable(f"a redirect, status {status}")
    raise PayPalRefused(status, _issue(body) or f"status {status}")


def _is_unauthorized(response: httpx2.Response) -> bool:
    """Whether it is the token that is refused. A 401 with an issue is about the merchant's account."""
    if response.status_code != 401:
        return False
    try:
        return _first_issue(Fields.parse(response.content, "PayPal's answer")) is None
    except FieldError:
        return True


def _issue(body: Fields) -> str | None:
    try:
        return _first_issue(body) or body.optional(body.text, "name")
    except FieldError:
        return None


def _first_issue(body: Fields) -> str | None:
    for detail in body.optional(body.objects, "details") or ():
        if issue := detail.optional(detail.text, "issue"):
            return issue
    return None
