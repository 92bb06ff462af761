"""OAuth: the merchant's program trades its id and secret for a token."""

import base64
import binascii
import secrets
from urllib.parse import parse_qs

from local.paypal.clock import Clock
from local.paypal.errors import Refused
from local.paypal.identifiers import secret
from local.paypal.merchant import Merchant
from local.paypal.money import Json

VALID_FOR_S = 32_400
SCOPE = "https://uri.paypal.com/services/checkout/one-click-with-merchant-issued-token openid"


class Tokens:
    """Those that are valid; none survives the process."""

    def __init__(self, merchant: Merchant, clock: Clock) -> None:
        self._merchant = merchant
        self._clock = clock
        self._valid_until_ms: dict[str, int] = {}

    def issue(self, authorization: str, form: bytes) -> tuple[int, Json]:
        """Status and body, in OAuth's own form."""
        if not self._knows(authorization):
            return 401, {"error": "invalid_client", "error_description": "Client Authentication failed"}
        if parse_qs(form.decode("latin-1")).get("grant_type") != ["client_credentials"]:
            return 400, {"error": "unsupported_grant_type", "error_description": "unsupported grant_type"}
        token = secret()
        self._valid_until_ms[token] = self._clock.now_ms() + VALID_FOR_S * 1000
        return 200, {
            "scope": SCOPE,
            "access_token": token,
            "token_type": "Bearer",
            "app_id": "APP-80W284485P519543T",
            "expires_in": VALID_FOR_S,
            "nonce": secret(),
        }

    def check(self, authorization: str) -> None:
        """Raises Refused with 401."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or self._valid_until_ms.get(token, 0) <= self._clock.now_ms():
            raise Refused(401)

    def revoke(self) -> None:
        """Every token, as PayPal may at any time."""
        self._valid_until_ms.clear()

    def _knows(self, authorization: str) -> bool:
        scheme, _, credentials = authorization.partition(" ")
        try:
            given = base64.b64decode(credentials, validate=True)
        except binascii.Error:
            return False
        expected = f"{self._merchant.client_id}:{self._merchant.client_secret}".encode()
        return scheme.lower() == "basic" and secrets.compare_digest(given, expected)
