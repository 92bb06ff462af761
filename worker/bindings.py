"""Cloudflare's own objects behind the gateway's ports: KV, the Wallet's stub, the queue, SQL storage."""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import js
from pyodide.ffi import JsException, JsProxy

from gateway.fields import FieldError, Fields
from gateway.ports import PlatformError, StreamFacts, UpstreamCall, UpstreamReply
from gateway.records import CATALOGUE_KV_KEY, Catalogue, KeyRecord, key_kv_name
from upstream import Upstreams, facts_from_json

KEY_CACHE_MS = 5_000
CATALOGUE_CACHE_MS = 10_000
MAX_CACHED_KEYS = 10_000

T = TypeVar("T")


class Cache:
    """What this isolate read from KV, for seconds. A revoked key is refused by its Wallet in the meantime."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[float, Any]] = {}

    def get(self, name: str) -> Any:
        until_ms, value = self._entries.get(name, (0, None))
        return value if js.Date.now() < until_ms else None

    def put(self, name: str, value: Any, *, for_ms: int) -> None:
        if len(self._entries) >= MAX_CACHED_KEYS:
            self._entries.clear()
        self._entries[name] = (js.Date.now() + for_ms, value)


_CACHE = Cache()


class EdgePorts:
    """The gateway's Ports for one request."""

    def __init__(self, env: Any, ctx: Any) -> None:
        self._env = env
        self._ctx = ctx
        self._upstreams = Upstreams(self._read_copy, self.background)
        self.internal_secret: str = env.INTERNAL_SECRET

    def now_ms(self) -> int:
        return int(js.Date.now())

    def new_id(self) -> str:
        return str(js.crypto.randomUUID()).replace("-", "")

    def background(self, work: Awaitable[None]) -> None:
        self._ctx.waitUntil(work)

    def log(self, event: str, **facts: str | int | None) -> None:
        log(event, **facts)

    def secret(self, name: str) -> str | None:
        return getattr(self._env, name, None)

    async def find_key(self, key_sha256: str) -> KeyRecord | None:
        name = key_kv_name(key_sha256)
        record: KeyRecord | None = _CACHE.get(name)
        if record is None:
            text = await self._read_kv(name)
            if text is None:
                return None  # not cached: a new key works as soon as KV has it
            record = _parse(KeyRecord.from_fields, text, "key record")
            _CACHE.put(name, record, for_ms=KEY_CACHE_MS)
        return record

    async def catalogue(self) -> Catalogue:
        catalogue: Catalogue | None = _CACHE.get(CATALOGUE_KV_KEY)
        if catalogue is None:
            text = await self._read_kv(CATALOGUE_KV_KEY)
            if text is None:
                raise PlatformError("there is no catalogue in KV yet")
            catalogue = _parse(Catalogue.from_fields, text, "catalogue")
            _CACHE.put(CATALOGUE_KV_KEY, catalogue, for_ms=CATALOGUE_CACHE_MS)
        return catalogue

    async def wallet(self, account_id: str, operation: str, text: str) -> str:
        try:
            reply: str = await self._env.WALLET.getByName(account_id).call(operation, text)
        except JsException as error:
            raise PlatformError(f"the wallet failed: {error.name}") from error
        return reply

    async def send(self, call: UpstreamCall) -> UpstreamReply:
        return await self._upstreams.send(call)

    async def _read_kv(self, name: str) -> str | None:
        try:
            value: str | None = await self._env.KV.get(name)
        except JsException as error:
            raise PlatformError(f"KV failed: {error.name}") from error
        return value

    async def _read_copy(self, copy: JsProxy, idle_timeout_ms: int) -> StreamFacts:
        url = f"http://meter/?idle_timeout_ms={idle_timeout_ms}"
        try:
            response = await self._env.METER.fetch(url, method="POST", body=copy)
            return facts_from_json(await response.text())
        except (JsException, OSError) as error:
            log("meter_failed", error=type(error).__name__)
            return StreamFacts()


class SqlStore:
    """The Wallet's Store over a Durable Object's SQLite."""

    def __init__(self, storage: Any) -> None:
        self._sql = storage.sql

    def execute(self, statement: str, *parameters: Any) -> list[Sequence[Any]]:
        cursor = self._sql.exec(statement, *parameters)
        return [list(row) for row in cursor.raw().toArray()]


async def send_usage(env: Any, records: Sequence[str]) -> None:
    """One message with these records, each a JSON text."""
    await env.USAGE.send(f"[{','.join(records)}]")


def log(event: str, **facts: str | int | None) -> None:
    """One JSON line in the Worker's log."""
    print(json.dumps({"event": event, **facts}))  # noqa: T201 the runtime's log is its standard output


def _parse(read: Callable[[Fields], T], text: str, name: str) -> T:
    try:
        return read(Fields.parse(text, name))
    except FieldError as error:
        raise PlatformError(f"KV holds a {name} that does not fit") from error
