"""Stateful stand-ins for everything outside the gateway, and the ways to ask it.

The Wallets are the real rules over SQLite in memory; providers answer as scripted; KV is a dict.
"""

import asyncio
import json
import sqlite3
import weakref
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway import wallet
from gateway.app import serve
from gateway.circuits import Circuits
from gateway.credentials import hash_api_key
from gateway.documents import PlainDocument
from gateway.http import Request
from gateway.key_pool import KeyPool
from gateway.money import NANO_PER_USD, NanoUsd
from gateway.ports import (
    OpaqueBody,
    PlatformError,
    UpstreamCall,
    UpstreamReply,
)
from gateway.records import Attempt, Catalogue, Grant, KeyRecord, Usage, UsageRecord, from_object
from gateway.sse import parse_event
from gateway.turnstile import Turnstile
from gateway.wallet_calls import call as call_wallet
from gateway.wallet_tables import Memory, create_tables
from tests.unit.gateway.catalogues import ACCOUNT, API_KEY, CATALOGUE, CHAT, PROVIDERS, key_record, whole_answer
from tests.unit.gateway.upstreams import BytesBody, Clock, ScriptedRelay, Upstream, json_reply
from tests.unit.gateway.words import MemoryWord

INTERNAL_SECRET = "a secret of the tests"


class MemoryStore:
    """The Wallet's Store over the standard library's SQLite."""

    def __init__(self) -> None:
        # Whichever thread collects it closes the connection.
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, connection.close)
        self._connection = connection
        self.memory = Memory()
        create_tables(self)

    def execute(self, statement: str, *parameters: Any) -> None:
        rows = self._connection.execute(statement, parameters).fetchall()
        assert rows == [], "what gives rows is a query"

    def query(self, statement: str, *parameters: Any) -> list[Sequence[Any]]:
        return self._connection.execute(statement, parameters).fetchall()

    def dump(self) -> dict[str, list[Sequence[Any]]]:
        """Every row of every table."""
        tables = [row[0] for row in self.query("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        return {table: self.query(f"SELECT * FROM {table}") for table in tables}  # noqa: S608 its own tables

    def records(self) -> list[UsageRecord]:
        """What was settled and is not acknowledged."""
        rows = self.query("SELECT record FROM outbox UNION ALL SELECT record FROM requests WHERE cost IS NOT NULL")
        texts = [row[0] for row in rows]
        return [_usage_record(json.loads(text)) for text in texts]


def _usage_record(values: dict[str, Any]) -> UsageRecord:
    attempts = tuple(from_object(Attempt, attempt) for attempt in values["attempts"])
    return from_object(UsageRecord, {**values, "usage": from_object(Usage, values["usage"]), "attempts": attempts})


class MemoryLateBody:
    """What a caller who is kept waiting gets, or one who does not wait."""

    def __init__(self, *, caller_leaves: bool) -> None:
        self.body = OpaqueBody(self)
        self.text = ""
        self.rest: str | OpaqueBody = ""
        self._caller_leaves = caller_leaves

    async def write(self, piece: bytes) -> bool:
        self.text += piece.decode()
        return not self._caller_leaves

    async def pass_on(self, body: str | OpaqueBody) -> None:
        self.rest = body  # as a relay, it has its text only once it has ended

    async def close(self) -> None:
        return


class FakePorts:
    """The Ports of one edge with its KV, Wallets and providers."""

    def __init__(self, *, catalogue: Catalogue | None = None, balance_usd: int = 1) -> None:
        self.internal_secret = INTERNAL_SECRET
        self.top_up_url = "https://example.com/portal"
        self.circuits = Circuits()
        self.key_pool = KeyPool()
        self.turnstile = Turnstile(MemoryWord)
        self.clock = Clock()
        self.upstream = Upstream(self.clock)
        self.keys: dict[str, KeyRecord] = {}
        self.published: Catalogue | None = CATALOGUE if catalogue is None else catalogue
        self.secrets = {name: f"sk-of-{name}" for name in PROVIDERS}
        self.wallets: dict[str, MemoryStore] = {}
        self.kv_is_down = False
        self._wallet_failures: list[bool] = []
        self.logs: list[dict[str, str | int | None]] = []
        self._background: list[Awaitable[None]] = []
        self._ids = 0
        self.late_times = 0
        self.caller_leaves = False
        self.add_key(API_KEY, key_record())
        self.grant(balance_usd * NANO_PER_USD)

    def now_ms(self) -> int:
        return self.clock.now_ms

    def new_request_id(self) -> str:
        self._ids += 1
        return f"req_{self._ids:032x}"

    def background(self, work: Awaitable[None]) -> None:
        self._background.append(work)

    async def pause(self, ms: int) -> None:
        self.clock.advance(ms)

    async def finished(self, work: "asyncio.Future[Any]", *, within_ms: int) -> bool:
        """The work's time is the clock's, so it ends at once; ``late_times`` says how often that took too long."""
        if self.late_times:
            self.late_times -= 1
            self.clock.advance(within_ms)
            await asyncio.sleep(0)
            return False
        await asyncio.wait({work})
        return True

    def late_body(self) -> MemoryLateBody:
        return MemoryLateBody(caller_leaves=self.caller_leaves)

    def log(self, event: str, **facts: str | int | None) -> None:
        self.logs.append({"event": event, **facts})

    def secret(self, name: str) -> str | None:
        return self.secrets.get(name)

    async def find_key(self, key_sha256: str) -> KeyRecord | None:
        if self.kv_is_down:
            raise PlatformError("KV is down")
        return self.keys.get(key_sha256)

    async def catalogue(self) -> Catalogue:
        if self.kv_is_down or self.published is None:
            raise PlatformError("KV is down")
        return self.published

    async def wallet(self, account_id: str, operation: str, text: str, lines: str = "") -> str:
        if self._wallet_failures and self._wallet_failures.pop(0):
            raise PlatformError("the wallet is down")
        try:
            store = self.store(account_id)
            now_ms = self.clock.now_ms
            reply = call_wallet(store, operation, text, account_id=account_id, now_ms=now_ms, lines=lines)
        except Exception as error:
            # Whatever is raised in a Durable Object reaches its caller as the platform's own exception.
            raise PlatformError("the wallet failed") from error
        return reply.text

    async def settle(self, account_id: str, line: str, *, lingers: bool) -> None:
        del lingers  # there is one request at a time
        await self.wallet(account_id, "settle", "", line)

    async def send(self, call: UpstreamCall) -> UpstreamReply:
        return await self.upstream.send(call)

    async def finish(self) -> None:
        """Await all that goes on after the response."""
        while self._background:
            await self._background.pop(0)

    def wallet_fails(self, *, times: int = 1, after: int = 0) -> None:
        """So many calls of a Wallet go well, then so many fail, then all go well again."""
        self._wallet_failures = [False] * after + [True] * times

    def add_key(self, api_key: str, record: KeyRecord) -> None:
        self.keys[hash_api_key(api_key)] = record

    def store(self, account_id: str = ACCOUNT) -> MemoryStore:
        return self.wallets.setdefault(account_id, MemoryStore())

    def grant(self, amount_nano_usd: int, *, name: str = "initial") -> None:
        wallet.grant(self.store(), [Grant(id=name, kind="credit", amount_nano_usd=NanoUsd(amount_nano_usd))])

    def records(self) -> list[UsageRecord]:
        return self.store().records()

    def open_holds(self) -> int:
        return wallet.state(self.store(), ACCOUNT).open_holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response as the caller sees it, once all of it has come."""

    status: int
    headers: dict[str, str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)

    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = self.json()["error"]
        return error

    def attempts(self) -> list[tuple[str, str]]:
        return [(line["provider"], line["outcome"]) for line in json.loads(self.headers["x-haotokai-attempts"])]

    def events(self) -> list[Any]:
        """The data of a stream's events, as a careful client reads them."""
        return read_events(self.text)


def read_events(text: str) -> list[Any]:
    blocks = text.replace("\r\n", "\n").replace("\r", "\n").split("\n\n")
    found = [parse_event(block.encode()).data for block in blocks]
    return ["[DONE]" if data == "[DONE]" else json.loads(data) for data in found if data is not None]


async def ask(
    ports: FakePorts,
    method: str,
    path: str,
    *,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    api_key: str | None = API_KEY,
) -> Answer:
    """One request, awaited to the end of its answer and of the work behind it."""
    sent = {} if api_key is None else {"authorization": f"Bearer {api_key}"}
    request = Request(method=method, path=path, headers={**sent, **(headers or {})}, body=BytesBody(body))
    return await ask_with(request, ports)


async def ask_with(request: Request, ports: FakePorts) -> Answer:
    response = await serve(request, ports)
    await ports.finish()
    return Answer(status=response.status, headers=response.headers, text=_text(response.body))


def chat_request(document: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Request:
    """A chat completion with the key of the tests."""
    sent = {"authorization": f"Bearer {API_KEY}", "content-type": "application/json", **(headers or {})}
    body = BytesBody(json.dumps(document).encode())
    return Request(method="POST", path="/v1/chat/completions", headers=sent, body=body)


async def chat(
    ports: FakePorts,
    document: Mapping[str, Any] | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Answer:
    """A chat completion; ``more`` are fields of its document."""
    body = {**(CHAT if document is None else document), **more}
    return await ask_with(chat_request(body, headers), ports)


def _text(body: object) -> str:
    if isinstance(body, PlainDocument):
        return json.dumps(body.values)
    if isinstance(body, MemoryLateBody):
        return body.text + _text(body.rest)
    if isinstance(body, ScriptedRelay):
        return body.output.decode()
    assert isinstance(body, str)
    return body


def working_ports(*, balance_usd: int = 1) -> FakePorts:
    """An edge whose first provider answers well three times."""
    ports = FakePorts(balance_usd=balance_usd)
    ports.upstream.answer("deepseek", *(json_reply(whole_answer()) for _ in range(3)))
    return ports
