"""The Wallet's rules: whether a request may spend, and what each one spent. One Wallet per account, SQL inside.

    available = sum(grants) - sum(settled) - sum(holds)

Grants flow down from the ledger and settled usage flows up to it; both are sets keyed by id, so either side may
replay anything at any time. A hold lives from before the dispatch of a request until it is settled, once: settling
puts the cost in the hold's place, and what has no hold cannot be settled. No function pauses, so each is one
transaction.
"""

from collections.abc import Sequence

from gateway.money import NanoUsd
from gateway.records import NO_USAGE, Grant, KeyLimits, UsageRecord, WalletState
from gateway.wallet_delivery import RESEND_AFTER_MS, put_off, unacknowledged
from gateway.wallet_messages import HoldReply, HoldRequest, RateState, RefusalReason, Settlement
from gateway.wallet_spend import spent
from gateway.wallet_tables import OpenHold, Store, sum_of

RATE_WINDOW_MS = 60_000
MODEST_SHARE = 4
"""The part of what is available that one call may take which names no bound of its output."""
NONCES_KEPT_MS = 660_000
IDEMPOTENCY_KEPT_MS = 24 * 3_600_000

AVAILABLE = """SELECT (SELECT COALESCE(SUM(amount), 0) FROM grants) - (SELECT COALESCE(SUM(total), 0) FROM spend)
    - (SELECT COALESCE(SUM(COALESCE(cost, held)), 0) FROM requests)"""

# The alarm's next time: a record of the outbox, one that is to be sent or given up for now, a hold that expires.
NEXT_DUE = """SELECT MIN(at_ms) FROM (SELECT MIN(due_ms) AS at_ms FROM outbox UNION ALL SELECT MIN(CASE
    WHEN cost IS NULL THEN expires_ms WHEN (settled_ms, request_id) > (?, ?) THEN settled_ms ELSE settled_ms + ? END)
    FROM requests)"""


class GrantConflict(Exception):
    """A grant's id is already there with another amount or kind."""


def hold(store: Store, request: HoldRequest) -> HoldReply:
    """Set the worst case of a request aside, or say why not. Nothing is written where it is refused.

    A request that is held already is answered as granted again, so a call that is repeated holds once.
    """
    if request.key_id in _revoked(store):
        return HoldReply(refused="key_revoked")
    if (held := _holds(store).get(request.request_id)) is not None:
        return HoldReply(granted_nano_usd=NanoUsd(held.amount))
    refusal = _repeated(store, request) or _rate_refusal(store, request)
    if refusal is not None:
        return refusal
    available, room = _available(store), _cap_room(store, request)
    granted = min(_wish(request, available), available, request.wanted_nano_usd if room is None else room)
    if granted < request.least_nano_usd or available < 0:
        by_balance = available < request.least_nano_usd or available < 0
        reason: RefusalReason = "insufficient_balance" if by_balance else "spend_cap_reached"
        return HoldReply(refused=reason, available_nano_usd=available)
    _place(store, request, NanoUsd(granted))
    requests, tokens = _rates(store, request.key_id, request.limits, request.now_ms)
    return HoldReply(granted_nano_usd=NanoUsd(granted), available_nano_usd=available, requests=requests, tokens=tokens)


def settle(store: Store, settlement: Settlement, *, now_ms: int) -> bool:
    """Turn a hold into its charge, once; False where there is no such hold (settled before, or expired)."""
    request_id, key_id, cost = settlement.request_id, settlement.key_id, settlement.cost_nano_usd
    holds = _holds(store)
    if (held := holds.get(request_id)) is None:
        return False
    # Later than what was sent, whatever the clock says, so that it is seen to be not sent yet.
    settled_ms = max(now_ms, store.memory.sent_ms + 1)
    store.execute(
        "UPDATE requests SET cost = ?, settled_ms = ?, record = ? WHERE request_id = ?",
        cost,
        settled_ms,
        settlement.record,
        request_id,
    )
    del holds[request_id]
    _change_available(store, held.amount - cost)
    if settlement.tokens is not None:
        store.execute("UPDATE recent SET tokens = ? WHERE request_id = ?", settlement.tokens, request_id)
    # One whose worker died was not answered, so it may be asked again, as one that failed.
    if held.idempotency_key is not None and settlement.is_answered:
        answered = (key_id, held.idempotency_key, request_id, cost, now_ms)
        store.execute("INSERT OR REPLACE INTO answered VALUES (?, ?, ?, ?, ?)", *answered)
    return True


def grant(store: Store, grants: Sequence[Grant]) -> list[str]:
    """Add each grant once; the ids that are there now. Raises GrantConflict, and then adds none."""
    new: dict[str, Grant] = {}
    for item in grants:
        known = store.query("SELECT kind, amount FROM grants WHERE id = ?", item.id)
        if (known and tuple(known[0]) != (item.kind, item.amount_nano_usd)) or new.get(item.id, item) != item:
            raise GrantConflict(item.id)
        if not known:
            new[item.id] = item
    for item in new.values():
        store.execute("INSERT INTO grants VALUES (?, ?, ?)", item.id, item.kind, item.amount_nano_usd)
        _change_available(store, item.amount_nano_usd)
    return [item.id for item in grants]


def revoke(store: Store, key_ids: Sequence[str]) -> list[str]:
    """Refuse every later hold of these keys."""
    for key_id in key_ids:
        store.execute("INSERT OR IGNORE INTO revoked VALUES (?)", key_id)
        _revoked(store).add(key_id)
    return list(key_ids)


def state(store: Store, account_id: str) -> WalletState:
    """The sums, for the caller's balance and for reconciliation."""
    return WalletState(
        account_id=account_id,
        granted_nano_usd=NanoUsd(sum_of(store, "SELECT SUM(amount) FROM grants")),
        settled_nano_usd=NanoUsd(
            sum_of(store, "SELECT SUM(total) FROM spend") + sum_of(store, "SELECT SUM(cost) FROM requests")
        ),
        held_nano_usd=NanoUsd(sum_of(store, "SELECT SUM(held) FROM requests WHERE cost IS NULL")),
        open_holds=sum_of(store, "SELECT COUNT(*) FROM requests WHERE cost IS NULL"),
        unacknowledged_records=unacknowledged(store),
    )


def release_expired(store: Store, *, now_ms: int) -> int:
    """Release at $0, and report as abandoned, every hold whose request never settled; how many there were."""
    rows = store.query(
        "SELECT request_id, account_id, key_id, created_ms FROM requests WHERE cost IS NULL AND expires_ms <= ?", now_ms
    )
    for request_id, account_id, key_id, created_ms in rows:
        record = _abandoned(account_id, request_id, key_id, created_ms, now_ms)
        settle(store, Settlement.of(record), now_ms=now_ms)
    return len(rows)


def next_alarm_ms(store: Store) -> int | None:
    """When something falls due: a record to send, or a hold that expires."""
    at_ms: int | None = store.query(NEXT_DUE, store.memory.sent_ms, store.memory.sent_id, RESEND_AFTER_MS)[0][0]
    return at_ms


def use_nonce(store: Store, nonce: str, *, now_ms: int) -> bool:
    """Whether the nonce of a signed call is seen for the first time."""
    if store.query("SELECT 1 FROM nonces WHERE nonce = ?", nonce):
        return False
    store.execute("INSERT INTO nonces VALUES (?, ?)", nonce, now_ms)
    return True


def tidy(store: Store, *, now_ms: int) -> None:
    """What an alarm does before it sends what is due."""
    release_expired(store, now_ms=now_ms)
    put_off(store, now_ms=now_ms)
    prune(store, now_ms=now_ms)


def prune(store: Store, *, now_ms: int) -> None:
    """Drop what no rule looks at any more."""
    store.execute("DELETE FROM nonces WHERE at_ms < ?", now_ms - NONCES_KEPT_MS)
    store.execute("DELETE FROM recent WHERE at_ms < ?", now_ms - RATE_WINDOW_MS)
    store.execute("DELETE FROM answered WHERE at_ms < ?", now_ms - IDEMPOTENCY_KEPT_MS)


def _wish(request: HoldRequest, available: NanoUsd) -> NanoUsd:
    """What the hold asks for: all that it may cost, or its modest share where the caller named no bound."""
    if request.modest_nano_usd is None:
        return request.wanted_nano_usd
    return NanoUsd(min(request.wanted_nano_usd, max(request.modest_nano_usd, available // MODEST_SHARE)))


def _place(store: Store, request: HoldRequest, granted: NanoUsd) -> None:
    store.execute(
        "INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?, ?, NULL, NULL, NULL)",
        request.request_id,
        request.account_id,
        request.key_id,
        granted,
        request.now_ms,
        request.expires_ms,
        request.idempotency_key,
    )
    _holds(store)[request.request_id] = OpenHold(granted, request.idempotency_key)
    _change_available(store, -granted)
    if request.limits.has_rate:
        store.execute(
            "INSERT INTO recent VALUES (?, ?, ?, ?)", request.request_id, request.key_id, request.now_ms, request.tokens
        )


def _repeated(store: Store, request: HoldRequest) -> HoldReply | None:
    """The refusal of a request whose Idempotency-Key is being answered, or was."""
    if request.idempotency_key is None:
        return None
    names = (request.key_id, request.idempotency_key)
    running = store.query(
        "SELECT request_id FROM requests WHERE key_id = ? AND idempotency_key = ? AND cost IS NULL", *names
    )
    if running:
        return HoldReply(refused="duplicate_request", first_request_id=running[0][0])
    answered = store.query("SELECT request_id, cost FROM answered WHERE key_id = ? AND idempotency_key = ?", *names)
    if answered:
        cost = NanoUsd(answered[0][1])
        return HoldReply(refused="duplicate_request", first_request_id=answered[0][0], first_cost_nano_usd=cost)
    return None


def _rate_refusal(store: Store, request: HoldRequest) -> HoldReply | None:
    limits = request.limits
    if limits.concurrent_requests is not None:
        running = sum_of(store, "SELECT COUNT(*) FROM requests WHERE key_id = ? AND cost IS NULL", request.key_id)
        if running >= limits.concurrent_requests:
            return HoldReply(refused="rate_limit_exceeded", limit="concurrent_requests", retry_after_ms=1000)
    requests, tokens = _rates(store, request.key_id, limits, request.now_ms)
    if requests is not None and requests.remaining < 1:
        return _too_fast("requests_per_minute", requests, requests, tokens)
    if tokens is not None and tokens.remaining < 1:
        return _too_fast("tokens_per_minute", tokens, requests, tokens)
    return None


def _too_fast(limit: str, rate: RateState, requests: RateState | None, tokens: RateState | None) -> HoldReply:
    return HoldReply(
        refused="rate_limit_exceeded", limit=limit, retry_after_ms=rate.reset_ms, requests=requests, tokens=tokens
    )


def _rates(store: Store, key_id: str, limits: KeyLimits, now_ms: int) -> tuple[RateState | None, RateState | None]:
    """The key's two rates over the last minute, a sliding window; None where there is no such limit."""
    if not limits.has_rate:
        return None, None
    count, tokens, oldest = store.query(
        "SELECT COUNT(*), COALESCE(SUM(tokens), 0), MIN(at_ms) FROM recent WHERE key_id = ? AND at_ms > ?",
        key_id,
        now_ms - RATE_WINDOW_MS,
    )[0]
    # Of requests that come at once, one that began later may have been counted before.
    age_ms = 0 if oldest is None else max(0, now_ms - oldest)
    reset_ms = max(1, RATE_WINDOW_MS - age_ms)
    return _rate(limits.requests_per_minute, count, reset_ms), _rate(limits.tokens_per_minute, tokens, reset_ms)


def _rate(limit: int | None, used: int, reset_ms: int) -> RateState | None:
    return None if limit is None else RateState(limit=limit, remaining=max(0, limit - used), reset_ms=reset_ms)


def _cap_room(store: Store, request: HoldRequest) -> NanoUsd | None:
    """What the key's spend cap leaves for this hold; None without a cap."""
    cap, period = request.limits.spend_cap_nano_usd, request.limits.spend_cap_period
    if cap is None:
        return None
    used = spent(store, request.key_id, period, now_ms=request.now_ms)
    held = sum_of(store, "SELECT SUM(held) FROM requests WHERE key_id = ? AND cost IS NULL", request.key_id)
    return NanoUsd(cap - used - held)


def _revoked(store: Store) -> set[str]:
    if store.memory.revoked is None:
        store.memory.revoked = {key_id for (key_id,) in store.query("SELECT key_id FROM revoked")}
    return store.memory.revoked


def _holds(store: Store) -> dict[str, OpenHold]:
    if store.memory.holds is None:
        rows = store.query("SELECT request_id, held, idempotency_key FROM requests WHERE cost IS NULL")
        store.memory.holds = {request_id: OpenHold(*held) for request_id, *held in rows}
    return store.memory.holds


def _available(store: Store) -> NanoUsd:
    if store.memory.available is None:
        store.memory.available = sum_of(store, AVAILABLE)
    return NanoUsd(store.memory.available)


def _change_available(store: Store, amount: int) -> None:
    if store.memory.available is not None:
        store.memory.available += amount


def _abandoned(account_id: str, request_id: str, key_id: str, created_ms: int, now_ms: int) -> UsageRecord:
    return UsageRecord(
        request_id=request_id,
        account_id=account_id,
        key_id=key_id,
        model="",
        served_model=None,
        provider=None,
        usage=NO_USAGE,
        cost_nano_usd=NanoUsd(0),
        price_row=None,
        state="abandoned",
        estimated=False,
        stream=False,
        attempts=(),
        started_at_ms=created_ms,
        first_event_ms=None,
        total_ms=now_ms - created_ms,
    )
