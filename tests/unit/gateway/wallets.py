"""What the tests of the Wallet's rules share: requests and records with few words."""

from collections.abc import Iterator
from contextlib import contextmanager

from gateway import wallet
from gateway.money import NanoUsd
from gateway.records import NO_USAGE, Grant, GrantKind, KeyLimits, Usage, UsageRecord, UsageState
from gateway.wallet_calls import call
from gateway.wallet_messages import HoldReply, HoldRequest, Settlement
from tests.unit.gateway.catalogues import ACCOUNT, NO_LIMITS, NOW_MS
from tests.unit.gateway.fakes import MemoryStore

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000


def hold_request(
    request_id: str,
    wanted: int,
    *,
    least: int | None = None,
    modest: int | None = None,
    key_id: str = "key_1",
    limits: KeyLimits = NO_LIMITS,
    tokens: int = 10,
    idempotency_key: str | None = None,
    now_ms: int = NOW_MS,
    lasts_ms: int = 600_000,
) -> HoldRequest:
    return HoldRequest(
        request_id=request_id,
        account_id=ACCOUNT,
        key_id=key_id,
        wanted_nano_usd=NanoUsd(wanted),
        least_nano_usd=NanoUsd(wanted if least is None else least),
        modest_nano_usd=None if modest is None else NanoUsd(modest),
        tokens=tokens,
        limits=limits,
        idempotency_key=idempotency_key,
        now_ms=now_ms,
        expires_ms=now_ms + lasts_ms,
    )


def record(
    request_id: str,
    cost: int,
    *,
    key_id: str = "key_1",
    state: UsageState = "complete",
    usage: Usage = NO_USAGE,
) -> UsageRecord:
    return UsageRecord(
        request_id=request_id,
        account_id=ACCOUNT,
        key_id=key_id,
        model="kimi-k2",
        served_model="kimi-k2",
        provider="moonshot",
        usage=usage,
        cost_nano_usd=NanoUsd(cost),
        price_row="flat",
        state=state,
        estimated=False,
        stream=False,
        attempts=(),
        started_at_ms=NOW_MS,
        first_event_ms=1,
        total_ms=2,
    )


def grant_of(name: str, amount: int, kind: GrantKind = "credit") -> Grant:
    return Grant(id=name, kind=kind, amount_nano_usd=NanoUsd(amount))


def funded(amount: int) -> MemoryStore:
    store = MemoryStore()
    wallet.grant(store, [grant_of("initial", amount)])
    return store


def hold(store: MemoryStore, request: HoldRequest) -> HoldReply:
    """By way of the Wallet's call, so that its texts are tested too."""
    reply = call(store, "hold", request.to_text(), account_id=ACCOUNT, now_ms=request.now_ms)
    return HoldReply.from_text(reply.text)


def settle(store: MemoryStore, usage_record: UsageRecord, *, now_ms: int = NOW_MS) -> bool:
    """By way of its line, for the same reason."""
    line = Settlement.of(usage_record).to_line()
    return wallet.settle(store, Settlement.from_line(line), now_ms=now_ms)


@contextmanager
def unchanged(store: MemoryStore) -> Iterator[None]:
    """A block within which no row of any table may change."""
    before = store.dump()
    yield
    assert store.dump() == before
