"""Cloudflare's own objects behind the gateway's ports: KV, the Wallet's stub, the queue, SQL storage."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import cache
from typing import Any, TypeVar

import js
from js import Promise, clearTimeout, setTimeout
from pyodide.ffi import JsException, JsProxy, jsnull
from workers import import_from_javascript

import upstream
from drills import Drills
from gateway.circuits import Circuits
from gateway.errors import where
from gateway.fields import FieldError, Fields
from gateway.key_pool import KeyPool
from gateway.ports import PlatformError, UpstreamCall, UpstreamReply
from gateway.records import CATALOGUE_KV_KEY, Catalogue, KeyRecord, key_kv_name
from gateway.request_ids import RANDOM_BYTES, make_request_id
from gateway.settlements import Settlements
from gateway.turnstile import Turnstile
from gateway.wallet_messages import UsageMessage
from gateway.wallet_tables import Memory
from relays import LatePipe
from webapi import now_ms

KEY_CACHE_MS = 5_000
CATALOGUE_CACHE_MS = 10_000
MAX_CACHED_KEYS = 10_000

T = TypeVar("T")

_array_from = getattr(js.Array, "from")


class Cache:
    """What this isolate read from KV, for seconds. A revoked key is refused by its Wallet in the meantime."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[float, Any]] = {}

    def get(self, name: str) -> Any:
        until_ms, value = self._entries.get(name, (0, None))
        return value if now_ms() < until_ms else None

    def put(self, name: str, value: Any, *, for_ms: int) -> None:
        if len(self._entries) >= MAX_CACHED_KEYS:
            self._entries.clear()
        self._entries[name] = (now_ms() + for_ms, value)


_CACHE = Cache()
# asyncio itself keeps only a weak reference to a task.
_BACKGROUND: set["asyncio.Task[None] | None"] = set()


# The runtime's own objects. The SDK's wrappers around them convert every argument and result, which costs a request
# several milliseconds; what passes here are texts and streams, which need no conversion.
ENV: Any = import_from_javascript("cloudflare:workers").env


class Lifetime:
    """Keeps an invocation alive until all of its work is done, whether or not the caller is still there."""

    def __init__(self, ctx: Any) -> None:
        self._ended = Promise.withResolvers()
        self._works = 0
        ctx.waitUntil(self._ended.promise)

    def run(self, work: Awaitable[T]) -> Coroutine[Any, Any, T]:
        """``work`` as a part of the invocation, from now on, though it begins when it is awaited."""
        self._works += 1
        return self._run(work)

    async def _run(self, work: Awaitable[T]) -> T:
        try:
            return await work
        finally:
            self._works -= 1
            if self._works == 0:
                self._ended.resolve()


class JsWord:
    """The Word port as a promise, which resumes whoever waits for it in that one's own invocation."""

    def __init__(self) -> None:
        told = Promise.withResolvers()
        self._promise = told.promise
        self.tell: Callable[[bool], None] = told.resolve

    async def heard(self, *, limit_ms: int) -> bool | None:
        timer = setTimeout(self.tell, limit_ms)
        word: bool | None = await self._promise
        clearTimeout(timer)
        return word


_SETTLEMENTS = Settlements(JsWord)
_TURNSTILE = Turnstile(JsWord)
_CIRCUITS = Circuits()
_KEY_POOL = KeyPool()


class EdgePorts:
    """The gateway's Ports for one invocation."""

    def __init__(self, lifetime: Lifetime | None = None) -> None:
        self._lifetime = lifetime
        self._drills = Drills(_fetch_drill)

    @property
    def internal_secret(self) -> str:
        return str(ENV.INTERNAL_SECRET)

    @property
    def circuits(self) -> Circuits:
        return _CIRCUITS

    @property
    def key_pool(self) -> KeyPool:
        return _KEY_POOL

    @property
    def turnstile(self) -> Turnstile:
        return _TURNSTILE

    @property
    def top_up_url(self) -> str:
        return str(ENV.TOP_UP_URL)

    now_ms = staticmethod(now_ms)

    def new_request_id(self) -> str:
        return make_request_id(now_ms(), os.urandom(RANDOM_BYTES))

    def background(self, work: Awaitable[None]) -> None:
        if self._lifetime is None:
            raise RuntimeError("only a request has work behind it")
        task = asyncio.get_event_loop().create_task(_behind(self._lifetime.run(work)))
        if not task.done():
            _BACKGROUND.add(task)

    async def pause(self, ms: int) -> None:
        await asyncio.sleep(ms / 1000)

    async def finished(self, work: "asyncio.Future[Any]", *, within_ms: int) -> bool:
        done, _ = await asyncio.wait({work}, timeout=within_ms / 1000)
        return bool(done)

    def late_body(self) -> LatePipe:
        return LatePipe()

    def log(self, event: str, **facts: str | int | None) -> None:
        log(event, **facts)

    def secret(self, name: str) -> str | None:
        return getattr(ENV, name, None)

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
        with _SETTLEMENTS.riders(account_id) as lines:
            return await _call_wallet(account_id, operation, text, lines)

    async def settle(self, account_id: str, line: str, *, lingers: bool) -> None:
        async def call(lines: Sequence[str]) -> None:
            await _call_wallet(account_id, "settle", "", lines)

        await _SETTLEMENTS.settle(account_id, line, call, lingers=lingers)

    async def send(self, call: UpstreamCall) -> UpstreamReply:
        return await upstream.send(call, self._drills)

    async def _read_kv(self, name: str) -> str | None:
        try:
            value = await ENV.KV.get(name)
        except JsException as error:
            raise PlatformError(f"KV failed: {error.name}") from error
        return value if isinstance(value, str) else None


def _fetch_drill(url: str, options: JsProxy) -> Awaitable[JsProxy]:
    response: Awaitable[JsProxy] = ENV.DRILL.fetch(url, options)
    return response


@cache
def _find_wallet() -> Callable[[str], Any]:
    """Looked up once, but not while the module is loaded: a memory snapshot can keep no object of the engine."""
    find: Callable[[str], Any] = ENV.WALLET.getByName
    return find


async def _call_wallet(account_id: str, operation: str, text: str, lines: Sequence[str]) -> str:
    try:
        reply: str = await _find_wallet()(account_id).call(operation, text, "\n".join(lines))
    except JsException as error:
        raise PlatformError(f"the wallet failed: {error.name}") from error
    return reply


async def _behind(work: Awaitable[None]) -> None:
    try:
        await work
    except Exception as error:
        log("background_failed", error=type(error).__name__, at=where(error))
    finally:
        _BACKGROUND.discard(asyncio.current_task())


class SqlStore:
    """The Wallet's Store over a Durable Object's SQLite."""

    def __init__(self, ctx: Any) -> None:
        # Behind the SDK's wrapper, for the reason given at ENV: a statement takes 15 µs in place of 250.
        self._run = getattr(ctx, "_ctx", ctx).storage.sql.exec
        self.memory = Memory()

    def execute(self, statement: str, *parameters: Any) -> None:
        given = [jsnull if value is None else value for value in parameters] if None in parameters else parameters
        self._run(statement, *given)

    def query(self, statement: str, *parameters: Any) -> list[Sequence[Any]]:
        rows = _array_from(self._run(statement, *parameters).raw()).to_py()
        return [[None if value is jsnull else value for value in row] if jsnull in row else row for row in rows]


async def send_usage(message: UsageMessage) -> None:
    await ENV.USAGE.send(message.to_text())


def log(event: str, **facts: str | int | None) -> None:
    """One JSON line in the Worker's log."""
    print(json.dumps({"event": event, **facts}))  # noqa: T201 the runtime's log is its standard output


def _parse(read: Callable[[Fields], T], text: str, name: str) -> T:
    try:
        return read(Fields.parse(text, name))
    except FieldError as error:
        raise PlatformError(f"KV holds a {name} that does not fit") from error
