"""The signed calls between the edge and the control plane, made by hand."""

import json
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2

from gateway.fields import Fields
from gateway.records import UsageRecord, WalletState
from gateway.signing import SignedCall, sign

USAGE_PATH = "/internal/usage"


class Internal:
    """Each side's internal routes, called as the other side does."""

    def __init__(self, *, edge_url: str, control_plane_url: str, data: Path) -> None:
        self._secret: str = json.loads((data / "secrets.json").read_text())["internal_secret"]
        self._edge = httpx2.Client(base_url=edge_url, timeout=30)
        self._control_plane = httpx2.Client(base_url=control_plane_url, timeout=30)

    def state(self, account_id: str) -> WalletState:
        """The sums of the account's Wallet now."""
        answer = self.call_wallet(account_id, "state", {})
        return WalletState.from_fields(Fields.parse(answer.raise_for_status().content, "state"))

    def call_wallet(self, account_id: str, operation: str, body: Any) -> httpx2.Response:
        path, content = wallet_path(account_id, operation), json.dumps(body).encode()
        return self.post_to_edge(path, content, self.signed(path, content))

    def report(self, records: list[UsageRecord]) -> dict[str, Any]:
        """Deliver usage as the edge does; what became of it."""
        content = json.dumps({"records": [record.to_json() for record in records]}).encode()
        answer = self.post_to_control_plane(USAGE_PATH, content, self.signed(USAGE_PATH, content))
        outcome: dict[str, Any] = answer.raise_for_status().json()
        return outcome

    def signed(
        self, path: str, content: bytes, *, secret: str | None = None, age_s: int = 0, nonce: str | None = None
    ) -> dict[str, str]:
        """The headers of a call to either side, genuine and fresh unless something else is asked for."""
        call = SignedCall(method="POST", path=path, body=content)
        return sign(
            call,
            secret=secret or self._secret,
            now_s=int(time.time()) - age_s,
            nonce=nonce or secrets.token_hex(16),
        )

    def post_to_edge(self, path: str, content: bytes, headers: Mapping[str, str]) -> httpx2.Response:
        return self._edge.post(path, content=content, headers=headers)

    def post_to_control_plane(self, path: str, content: bytes, headers: Mapping[str, str]) -> httpx2.Response:
        return self._control_plane.post(path, content=content, headers=headers)

    def close(self) -> None:
        self._edge.close()
        self._control_plane.close()


def wallet_path(account_id: str, operation: str) -> str:
    return f"/internal/wallets/{account_id}/{operation}"
