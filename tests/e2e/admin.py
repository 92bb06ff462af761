"""The control plane's admin calls, as an operator's script makes them."""

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx2

from tests.e2e.waiting import eventually

PAGE_LIMIT = 200

Record = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account with one key."""

    id: str
    api_key: str = field(repr=False)


class Admin:
    """Every method raises httpx2.HTTPStatusError where the control plane refuses."""

    def __init__(self, control_plane_url: str, token: str) -> None:
        headers = {"authorization": f"Bearer {token}"}
        self._client = httpx2.Client(base_url=f"{control_plane_url}/admin/v1", headers=headers, timeout=15)

    def open_account(self, *, credit_usd: str | None = "100.00", **key: Any) -> Account:
        """A new account with credit (None: without), and one key with these terms."""
        email = f"{secrets.token_hex(6)}@example.com"
        account_id: str = self._call("POST", "/accounts", {"email": email})["id"]
        if credit_usd is not None:
            self.credit(account_id, amount_usd=credit_usd, reference="test")
        return Account(id=account_id, api_key=self.make_key(account_id, **key)["key"])

    def credit(self, account_id: str, *, amount_usd: str, reference: str) -> dict[str, Any]:
        body = {"amount_usd": amount_usd, "reference": reference}
        given: dict[str, Any] = self._call("POST", f"/accounts/{account_id}/credits", body)
        return given

    def make_key(self, account_id: str, **terms: Any) -> dict[str, Any]:
        made: dict[str, Any] = self._call("POST", f"/accounts/{account_id}/keys", {"name": "test", **terms})
        return made

    def rotate_key(self, key_id: str) -> dict[str, Any]:
        rotated: dict[str, Any] = self._call("POST", f"/keys/{key_id}/rotate")
        return rotated

    def make_token(self, account_id: str) -> str:
        """A customer's token for the routes under /account/v1."""
        token: str = self._call("POST", f"/accounts/{account_id}/tokens", {"name": "test"})["token"]
        return token

    def revoke_key(self, key_id: str) -> None:
        self._call("DELETE", f"/keys/{key_id}")

    def account(self, account_id: str) -> dict[str, Any]:
        shown: dict[str, Any] = self._call("GET", f"/accounts/{account_id}")
        return shown

    def usage(self, account_id: str) -> list[Record]:
        """All records of the account, newest first."""
        records: list[Record] = []
        cursor: dict[str, str] = {}
        while True:
            query = {"account_id": account_id, "limit": str(PAGE_LIMIT), **cursor}
            page = self._call("GET", "/usage", query=query)
            records += page["items"]
            if page["next_cursor"] is None:
                return records
            cursor = {"cursor": page["next_cursor"]}

    def records_of(self, account_id: str, request_ids: Iterable[str]) -> dict[str, Record]:
        """The records of these requests, as soon as all have arrived."""
        wanted = set(request_ids)
        known = eventually(lambda: _by_id(self.usage(account_id)), lambda records: wanted <= records.keys())
        return {request_id: known[request_id] for request_id in wanted}

    def record_of(self, account_id: str, request_id: str) -> Record:
        """The record of this request, as soon as it has arrived."""
        return self.records_of(account_id, [request_id])[request_id]

    def records(self, account_id: str, *, count: int) -> list[Record]:
        """The records of the account, as soon as there are so many."""
        return eventually(lambda: self.usage(account_id), lambda records: len(records) >= count)

    def settled(self, account_id: str) -> dict[str, Any]:
        """The account, as soon as nothing of it is held and its Wallet and the ledger say the same."""
        eventually(self._difference_of(account_id), lambda difference: difference == 0)
        return eventually(lambda: self.account(account_id), lambda account: account["held_usd"] == "0.00")

    def reconciled(self) -> dict[str, Any]:
        """The reconciliation of all accounts, as soon as no difference is left."""
        return eventually(
            lambda: self._call("GET", "/reconcile"),
            lambda answer: all(line["difference_nano_usd"] == 0 for line in answer["accounts"]),
        )

    def dead_letters(self) -> dict[str, int | None]:
        """The accounts that have any, and how many records their Wallets keep."""
        accounts = self._call("GET", "/dead-letters")["accounts"]
        return {account["account_id"]: account["unacknowledged_records"] for account in accounts}

    def replay_dead_letters(self) -> dict[str, int | None]:
        """How many records each Wallet sends again."""
        accounts = self._call("POST", "/dead-letters/replay")["accounts"]
        return {account["account_id"]: account["records"] for account in accounts}

    def alerts(self) -> list[dict[str, Any]]:
        """What the operator should look at."""
        found: list[dict[str, Any]] = self._call("GET", "/alerts")["items"]
        return found

    def reconcile(self) -> dict[str, Any]:
        answer: dict[str, Any] = self._call("GET", "/reconcile")
        return answer

    def close(self) -> None:
        self._client.close()

    def _difference_of(self, account_id: str) -> Callable[[], int | None]:
        def difference() -> int | None:
            lines = self._call("GET", "/reconcile")["accounts"]
            return next((line["difference_nano_usd"] for line in lines if line["account_id"] == account_id), None)

        return difference

    def _call(self, method: str, path: str, body: Any = None, *, query: dict[str, str] | None = None) -> Any:
        answer = self._client.request(method, path, json=body, params=query)
        answer.raise_for_status()
        return answer.json()


def _by_id(records: list[Record]) -> dict[str, Record]:
    by_id = {record["request_id"]: record for record in records}
    assert len(by_id) == len(records), "a request has two records"
    return by_id
