"""Stand-ins for what the control plane calls: Workers KV behind Cloudflare's REST API, and the edge with its Wallets.

Both keep state and are reached through the real clients, by a mock transport.
"""

import asyncio
import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import httpx2

from gateway.fields import Fields
from gateway.money import NanoUsd
from gateway.records import Grant, WalletState
from gateway.signing import SignatureRefused, SignedCall, verify

NAMESPACE_PATH = "/client/v4/accounts/account/storage/kv/namespaces/namespace/"
API_TOKEN = "cloudflare-token"
INTERNAL_SECRET = "internal-secret-of-tests"


class Clock:
    """Time that moves only when a test says so."""

    def __init__(self, now_ms: int = 1_795_500_000_000) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


@dataclass
class FakeCloudflare:
    """A KV namespace.

    ``failures`` are answered, one a call, before anything works; ``unwritable`` names fail inside a 200; writes wait
    for ``before_write`` where it is set.
    """

    values: dict[str, str] = field(default_factory=dict)
    failures: list[httpx2.Response | Exception] = field(default_factory=list)
    unwritable: set[str] = field(default_factory=set)
    writes: list[dict[str, str]] = field(default_factory=list)
    page_size: int = 1000
    before_write: asyncio.Event | None = None
    write_begun: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def transport(self) -> httpx2.MockTransport:
        return httpx2.MockTransport(self._answer)

    async def _answer(self, request: httpx2.Request) -> httpx2.Response:
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, Exception):
                raise failure
            return failure
        if request.headers.get("authorization") != f"Bearer {API_TOKEN}":
            return refusal(403, 10000)
        body: Any = json.loads(request.content) if request.content else None
        return await self._act(request, body)

    async def _act(self, request: httpx2.Request, body: Any) -> httpx2.Response:
        match (request.method, request.url.path.removeprefix(NAMESPACE_PATH)):
            case ("PUT", "bulk"):
                return await self._write(body)
            case ("POST", "bulk/delete"):
                return self._delete(body)
            case ("POST", "bulk/get"):
                values = {key: self.values.get(key) for key in body["keys"]}
                return success({"values": values})
            case ("GET", "keys"):
                return self._list(parse_qs(request.url.query.decode()))
        return refusal(404, 7003)

    async def _write(self, body: list[dict[str, str]]) -> httpx2.Response:
        pairs = {item["key"]: item["value"] for item in body}
        self.writes.append(pairs)
        self.write_begun.set()
        if self.before_write is not None:
            await self.before_write.wait()
        self.values |= {key: value for key, value in pairs.items() if key not in self.unwritable}
        return success(self._bulk_result(pairs))

    def _delete(self, keys: list[str]) -> httpx2.Response:
        for key in keys:
            if key not in self.unwritable:
                self.values.pop(key, None)
        return success(self._bulk_result(keys))

    def _bulk_result(self, keys: Any) -> dict[str, Any]:
        failed = [key for key in keys if key in self.unwritable]
        return {"successful_key_count": len(keys) - len(failed), "unsuccessful_keys": failed}

    def _list(self, query: dict[str, list[str]]) -> httpx2.Response:
        prefix, start = query.get("prefix", [""])[0], int(query.get("cursor", ["0"])[0])
        names = sorted(name for name in self.values if name.startswith(prefix))
        end = start + self.page_size
        result = [{"name": name} for name in names[start:end]]
        cursor = str(end) if end < len(names) else ""
        return success(result, result_info={"count": len(result), "cursor": cursor})


@dataclass
class FakeEdge:
    """Wallets that are the sets of grants and revoked keys that they were given, in the order given.

    ``unacknowledged`` is how many records each keeps; a replay changes nothing about it but is listed in ``replays``.
    ``failures`` answers calls about an account, one each; ``down`` accounts fail always; ``held`` ones wait.
    """

    clock: Clock = field(default_factory=Clock)
    grants: dict[str, dict[str, Grant]] = field(default_factory=lambda: defaultdict(dict))
    revoked: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    calls: list[tuple[str, str, list[str]]] = field(default_factory=list)
    failures: dict[str, list[httpx2.Response | Exception]] = field(default_factory=lambda: defaultdict(list))
    down: set[str] = field(default_factory=set)
    held: dict[str, asyncio.Event] = field(default_factory=dict)
    nonces: set[str] = field(default_factory=set)
    unacknowledged: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    replays: list[str] = field(default_factory=list)

    @property
    def transport(self) -> httpx2.MockTransport:
        return httpx2.MockTransport(self._answer)

    def state(self, account_id: str) -> WalletState:
        return WalletState(
            account_id=account_id,
            granted_nano_usd=NanoUsd(sum(grant.amount_nano_usd for grant in self.grants[account_id].values())),
            settled_nano_usd=NanoUsd(0),
            held_nano_usd=NanoUsd(0),
            open_holds=0,
            unacknowledged_records=self.unacknowledged[account_id],
        )

    async def _answer(self, request: httpx2.Request) -> httpx2.Response:
        call = SignedCall(method=request.method, path=request.url.path, body=request.content)
        try:
            nonce = verify(call, request.headers, secret=INTERNAL_SECRET, now_s=self.clock.now_ms // 1000)
        except SignatureRefused:
            return httpx2.Response(401)
        if nonce in self.nonces:
            return httpx2.Response(401)
        self.nonces.add(nonce)
        account_id, action = request.url.path.removeprefix("/internal/wallets/").split("/")
        if account_id in self.held:
            await self.held[account_id].wait()
        if self.failures[account_id]:
            failure = self.failures[account_id].pop(0)
            if isinstance(failure, Exception):
                raise failure
            return failure
        if account_id in self.down:
            return httpx2.Response(503)
        return self._act(account_id, action, Fields.parse(request.content, "call"))

    def _act(self, account_id: str, action: str, body: Fields) -> httpx2.Response:
        if action == "state":
            return httpx2.Response(200, json=self.state(account_id).to_json())
        if action == "replay":
            self.replays.append(account_id)
            return httpx2.Response(200, json={"records": self.unacknowledged[account_id]})
        if action == "revocations":
            ids = list(body.texts("key_ids"))
            self.calls.append((account_id, action, ids))
            self.revoked[account_id] += ids
            return httpx2.Response(200, json={"revoked": ids})
        given = [Grant.from_fields(item) for item in body.objects("grants")]
        ids = [grant.id for grant in given]
        wallet = self.grants[account_id]
        if any(wallet.get(grant.id, grant) != grant for grant in given):
            return httpx2.Response(409)
        self.calls.append((account_id, action, ids))
        wallet.update({grant.id: grant for grant in given})
        return httpx2.Response(200, json={"applied": ids})


def success(result: object, **more: object) -> httpx2.Response:
    return httpx2.Response(200, json={"success": True, "errors": [], "messages": [], "result": result, **more})


def refusal(status: int, code: int) -> httpx2.Response:
    errors = [{"code": code, "message": "said by Cloudflare"}]
    return httpx2.Response(status, json={"success": False, "errors": errors, "messages": [], "result": None})
