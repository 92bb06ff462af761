"""The edge's internal routes, called with a signature: grants, revocations, the state of a Wallet, and its replay."""

import json
from collections.abc import Sequence
from urllib.parse import quote

import httpx2
from pydantic import SecretStr

from control_plane.clock import NowMs, wall_clock_ms
from control_plane.randomness import RandomBytes, random_bytes
from gateway.fields import FieldError, Fields
from gateway.records import Grant, WalletState
from gateway.signing import SignedCall, sign

TIMEOUT = httpx2.Timeout(5.0, connect=2.0)
NONCE_BYTES = 16


class EdgeError(Exception):
    """A call to the edge gave no answer that can be used."""


class EdgeRefused(EdgeError):
    """The edge said no: most likely the internal secret or the edge's URL is not the right one."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the edge refused with status {status}")
        self.status = status


class EdgeConflict(EdgeRefused):
    """The Wallet knows this grant id with other content, so it will never take this one."""


class EdgeUnavailable(EdgeError):
    """No answer, or a failure on the edge's side."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the edge is unavailable: {reason}")


class EdgeClient:
    """The Wallets, by account. Every method is idempotent and raises EdgeRefused or EdgeUnavailable."""

    def __init__(
        self,
        *,
        edge_url: str,
        internal_secret: SecretStr,
        now_ms: NowMs = wall_clock_ms,
        randomness: RandomBytes = random_bytes,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._client = httpx2.AsyncClient(base_url=edge_url, timeout=TIMEOUT, transport=transport)
        self._secret = internal_secret
        self._now_ms = now_ms
        self._randomness = randomness

    async def apply_grants(self, account_id: str, grants: Sequence[Grant]) -> None:
        """Give the grants to the Wallet; those that it has already count once. Raises EdgeConflict as well."""
        answer = await self._post(account_id, "grants", {"grants": [grant.to_json() for grant in grants]})
        _check_all_done(answer, "applied", {grant.id for grant in grants})

    async def revoke_keys(self, account_id: str, key_ids: Sequence[str]) -> None:
        """Let the Wallet refuse these keys from now on."""
        answer = await self._post(account_id, "revocations", {"key_ids": list(key_ids)})
        _check_all_done(answer, "revoked", set(key_ids))

    async def wallet_state(self, account_id: str) -> WalletState:
        """The sums of the account's Wallet now."""
        answer = await self._post(account_id, "state", {})
        try:
            return WalletState.from_fields(answer)
        except FieldError as error:
            raise EdgeUnavailable("no Wallet state in its answer") from error

    async def replay(self, account_id: str) -> int:
        """Let the Wallet send every record that is not acknowledged once more; how many there are."""
        answer = await self._post(account_id, "replay", {})
        try:
            return answer.integer("records")
        except FieldError as error:
            raise EdgeUnavailable("its answer does not say what it replays") from error

    async def close(self) -> None:
        await self._client.aclose()

    async def _post(self, account_id: str, call: str, body: object) -> Fields:
        path = f"/internal/wallets/{quote(account_id, safe='')}/{call}"
        content = json.dumps(body, separators=(",", ":")).encode()
        headers = sign(
            SignedCall(method="POST", path=path, body=content),
            secret=self._secret.get_secret_value(),
            now_s=self._now_ms() // 1000,
            nonce=self._randomness(NONCE_BYTES).hex(),
        )
        try:
            response = await self._client.post(
                path, content=content, headers=headers | {"content-type": "application/json"}
            )
        except httpx2.HTTPError as error:
            raise EdgeUnavailable(type(error).__name__) from error
        return _read(response)


def _read(response: httpx2.Response) -> Fields:
    status = response.status_code
    if status == 409:
        raise EdgeConflict(status)
    if status >= 500 or status == 429:
        raise EdgeUnavailable(f"status {status}")
    if status != 200:
        raise EdgeRefused(status)
    try:
        return Fields.parse(response.content, "the edge's answer")
    except FieldError as error:
        raise EdgeUnavailable("an answer that is not JSON") from error


def _check_all_done(answer: Fields, field: str, ids: set[str]) -> None:
    try:
        done = answer.texts(field)
    except FieldError as error:
        raise EdgeUnavailable(f"its answer does not say what it {field}") from error
    if not ids <= set(done):
        raise EdgeUnavailable(f"it {field} only {len(ids & set(done))} of {len(ids)}")
