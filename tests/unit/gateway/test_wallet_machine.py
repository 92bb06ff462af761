"""The Wallet beside a plain model of it, through any sequence of calls: nothing is granted beyond the grants."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from gateway import wallet, wallet_delivery
from gateway.money import NanoUsd
from gateway.records import KeyLimits, UsageState
from gateway.wallet import IDEMPOTENCY_KEPT_MS, RATE_WINDOW_MS, GrantConflict
from gateway.wallet_delivery import RESEND_AFTER_MS
from gateway.wallet_messages import HoldRequest
from gateway.wallet_tables import Memory, OpenHold
from tests.unit.gateway.catalogues import ACCOUNT, NOW_MS
from tests.unit.gateway.examples import examples
from tests.unit.gateway.fakes import MemoryStore
from tests.unit.gateway.shapes import usage
from tests.unit.gateway.wallets import DAY_MS, HOUR_MS, grant_of, hold, hold_request, record, settle, unchanged

LIMITS = {
    "free": KeyLimits(),
    "daily": KeyLimits(spend_cap_nano_usd=NanoUsd(150), spend_cap_period="day", requests_per_minute=3),
    "monthly": KeyLimits(spend_cap_nano_usd=NanoUsd(200), spend_cap_period="month", tokens_per_minute=50),
    "total": KeyLimits(spend_cap_nano_usd=NanoUsd(300), spend_cap_period="total", concurrent_requests=2),
}
KEYS = st.sampled_from(sorted(LIMITS))
AMOUNTS = st.integers(0, 120)
TOKENS = st.integers(0, 30)
LIFETIMES = st.sampled_from([HOUR_MS, 2 * DAY_MS])


@st.composite
def asks(draw: st.DrawFn) -> dict[str, Any]:
    """What a hold asks for: least <= modest <= wanted."""
    least, modest, wanted = sorted(draw(st.tuples(AMOUNTS, AMOUNTS, AMOUNTS)))
    key_id = draw(KEYS)
    return {
        "wanted": wanted,
        "least": least,
        "modest": draw(st.sampled_from([None, modest])),
        "key_id": key_id,
        "limits": LIMITS[key_id],
        "tokens": draw(TOKENS),
    }


ASKS = asks()
STEPS = st.sampled_from(
    [1, 999, RATE_WINDOW_MS - 1, RATE_WINDOW_MS, HOUR_MS, DAY_MS - 1, DAY_MS, IDEMPOTENCY_KEPT_MS + 1, 31 * DAY_MS]
)
PERIODS: dict[str, Callable[[datetime], object]] = {
    "day": lambda moment: moment.date(),
    "month": lambda moment: (moment.year, moment.month),
    "total": lambda moment: None,
}


@dataclass(slots=True, kw_only=True)
class Held:
    key_id: str
    amount: int
    expires_ms: int
    idempotency_key: str | None


@dataclass(slots=True, kw_only=True)
class Kept:
    """A record that is not acknowledged; ``again_ms`` is when it is sent again, once it has waited for a minute."""

    settled_ms: int
    is_sent: bool = False
    again_ms: int | None = None

    def due_ms(self) -> int:
        if self.again_ms is not None:
            return self.again_ms
        return self.settled_ms + RESEND_AFTER_MS if self.is_sent else self.settled_ms


@dataclass(slots=True, kw_only=True)
class Model:
    """What a Wallet is, in lists and dicts that are looked through each time."""

    grants: dict[str, int] = field(default_factory=dict)
    holds: dict[str, Held] = field(default_factory=dict)
    charges: list[tuple[str, int, int]] = field(default_factory=list)  # key, cost, time
    recent: dict[str, tuple[str, int, int]] = field(default_factory=dict)  # key, time, tokens
    answered: dict[tuple[str, str], int] = field(default_factory=dict)  # time
    records: dict[str, Kept] = field(default_factory=dict)
    sent_ms: int = 0  # when the last one was settled that was sent
    revoked: set[str] = field(default_factory=set)

    def send(self, now_ms: int) -> set[str]:
        """Which records are sent now."""
        for kept in self.records.values():
            if kept.again_ms is None and now_ms - kept.settled_ms >= RESEND_AFTER_MS:
                kept.again_ms = now_ms
        late = {name for name, kept in self.records.items() if kept.again_ms is not None and kept.again_ms <= now_ms}
        for name in late:
            self.records[name].again_ms = now_ms + RESEND_AFTER_MS
        sent = set(late)
        while due := {name for name, kept in self.records.items() if self.is_fresh(kept, now_ms)}:
            for name in due:
                self.records[name].is_sent = True
            self.sent_ms = max(self.records[name].settled_ms for name in due)
            sent |= due
        return sent

    def is_fresh(self, kept: Kept, now_ms: int) -> bool:
        return kept.again_ms is None and not kept.is_sent and kept.settled_ms <= max(now_ms, self.sent_ms + 1)

    def forget(self) -> None:
        """What was sent, and when."""
        self.sent_ms = 0
        for kept in self.records.values():
            kept.is_sent = False

    def available(self) -> int:
        settled = sum(cost for _, cost, _ in self.charges)
        return sum(self.grants.values()) - settled - sum(held.amount for held in self.holds.values())

    def room(self, key_id: str, now_ms: int) -> int | None:
        limits = LIMITS[key_id]
        if limits.spend_cap_nano_usd is None:
            return None
        period = PERIODS[limits.spend_cap_period]
        spent = sum(
            cost
            for key, cost, at_ms in self.charges
            if key == key_id and period(moment(at_ms)) == period(moment(now_ms))
        )
        held = sum(held.amount for held in self.holds.values() if held.key_id == key_id)
        return limits.spend_cap_nano_usd - spent - held

    def too_fast(self, key_id: str, now_ms: int) -> bool:
        limits = LIMITS[key_id]
        window = [
            tokens for key, at_ms, tokens in self.recent.values() if key == key_id and now_ms - at_ms < RATE_WINDOW_MS
        ]
        running = sum(held.key_id == key_id for held in self.holds.values())
        return (
            (limits.concurrent_requests is not None and running >= limits.concurrent_requests)
            or (limits.requests_per_minute is not None and len(window) >= limits.requests_per_minute)
            or (limits.tokens_per_minute is not None and sum(window) >= limits.tokens_per_minute)
        )

    def expected(self, request: HoldRequest) -> tuple[str | None, int]:
        """The refusal, or what is granted."""
        key_id, idempotency_key = request.key_id, request.idempotency_key
        if key_id in self.revoked:
            return "key_revoked", 0
        if request.request_id in self.holds:
            return None, self.holds[request.request_id].amount
        running = {(held.key_id, held.idempotency_key) for held in self.holds.values()}
        if idempotency_key and ((key_id, idempotency_key) in running or (key_id, idempotency_key) in self.answered):
            return "duplicate_request", 0
        if self.too_fast(key_id, request.now_ms):
            return "rate_limit_exceeded", 0
        return self.affordable(request)

    def affordable(self, request: HoldRequest) -> tuple[str | None, int]:
        available, room = self.available(), self.room(request.key_id, request.now_ms)
        if available < request.least_nano_usd:
            return "insufficient_balance", 0
        if room is not None and room < request.least_nano_usd:
            return "spend_cap_reached", 0
        wish = request.wanted_nano_usd
        if request.modest_nano_usd is not None:
            wish = NanoUsd(min(wish, max(request.modest_nano_usd, available // 4)))
        return None, min(wish, available) if room is None else min(wish, available, room)


def moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


class WalletMachine(RuleBasedStateMachine):
    """Every rule does the same to both and compares; the invariants hold in between."""

    def __init__(self) -> None:
        super().__init__()
        self.store, self.model, self.now_ms = MemoryStore(), Model(), NOW_MS
        self.names = 0
        self.only_gifts = True

    def new_name(self) -> str:
        self.names += 1
        return f"n{self.names}"

    @rule(amount=st.integers(1, 500))
    def grant(self, amount: int) -> None:
        name = self.new_name()
        self.model.grants[name] = amount
        assert wallet.grant(self.store, [grant_of(name, amount)]) == [name]

    @rule(amount=st.integers(1, 300))
    def take_back(self, amount: int) -> None:
        self.only_gifts = False
        name = self.new_name()
        self.model.grants[name] = -amount
        wallet.grant(self.store, [grant_of(name, -amount)])

    @precondition(lambda self: self.model.grants)
    @rule(data=st.data())
    def grant_again(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.grants)))
        with unchanged(self.store):
            wallet.grant(self.store, [grant_of(name, self.model.grants[name])])
            with pytest.raises(GrantConflict):
                wallet.grant(self.store, [grant_of("other", 1), grant_of(name, self.model.grants[name] + 1)])

    @rule(ask=ASKS, idempotency_key=st.sampled_from([None, None, "i1", "i2"]), lasts_ms=LIFETIMES)
    def hold(self, ask: dict[str, Any], idempotency_key: str | None, lasts_ms: int) -> None:
        request = hold_request(
            self.new_name(), **ask, idempotency_key=idempotency_key, now_ms=self.now_ms, lasts_ms=lasts_ms
        )
        refused, granted = self.model.expected(request)
        before = self.store.dump()

        reply = hold(self.store, request)

        assert (reply.refused, reply.granted_nano_usd) == (refused, granted)
        if refused is not None:
            assert self.store.dump() == before
            return
        self.model.holds[request.request_id] = Held(
            key_id=request.key_id, amount=granted, expires_ms=request.expires_ms, idempotency_key=idempotency_key
        )
        if request.limits.requests_per_minute or request.limits.tokens_per_minute:
            self.model.recent[request.request_id] = (request.key_id, self.now_ms, request.tokens)

    @precondition(lambda self: self.model.holds)
    @rule(data=st.data())
    def hold_again(self, data: st.DataObject) -> None:
        request_id = data.draw(st.sampled_from(sorted(self.model.holds)))
        held = self.model.holds[request_id]
        request = hold_request(request_id, 10**9, least=0, key_id=held.key_id, now_ms=self.now_ms)

        with unchanged(self.store):
            reply = hold(self.store, request)

        assert (reply.refused, reply.granted_nano_usd) == self.model.expected(request)

    @precondition(lambda self: self.model.holds)
    @rule(share=st.sampled_from([0, 1, 2, 3]), state=st.sampled_from(["complete", "partial", "failed"]), data=st.data())
    def settle(self, share: int, state: UsageState, data: st.DataObject) -> None:
        request_id = data.draw(st.sampled_from(sorted(self.model.holds)))
        cost = 0 if state == "failed" else self.model.holds[request_id].amount * share // 3
        tokens = data.draw(TOKENS)
        settled = record(
            request_id, cost, key_id=self.model.holds[request_id].key_id, state=state, usage=usage(tokens, 0)
        )

        assert settle(self.store, settled, now_ms=self.now_ms)

        self.charged(request_id, cost, tokens, answered=state != "failed")
        with unchanged(self.store):
            assert not settle(self.store, settled, now_ms=self.now_ms)

    def charged(self, request_id: str, cost: int, tokens: int, *, answered: bool) -> None:
        held = self.model.holds.pop(request_id)
        settled_ms = max(self.now_ms, self.model.sent_ms + 1)
        self.model.charges.append((held.key_id, cost, settled_ms))
        self.model.records[request_id] = Kept(settled_ms=settled_ms)
        if request_id in self.model.recent:
            key_id, at_ms, _ = self.model.recent[request_id]
            self.model.recent[request_id] = (key_id, at_ms, tokens)
        if held.idempotency_key and answered:
            self.model.answered[held.key_id, held.idempotency_key] = self.now_ms

    @rule(cost=AMOUNTS)
    def settle_what_is_not_held(self, cost: int) -> None:
        with unchanged(self.store):
            assert not settle(self.store, record("unknown", cost), now_ms=self.now_ms)

    @rule(key_id=st.sampled_from(["daily", "total"]))
    def revoke(self, key_id: str) -> None:
        self.model.revoked.add(key_id)
        wallet.revoke(self.store, [key_id])
        with unchanged(self.store):
            wallet.revoke(self.store, [key_id])

    @rule(ms=STEPS)
    def wait(self, ms: int) -> None:
        self.now_ms += ms

    @rule()
    def ring_the_alarm(self) -> None:
        expired = [name for name, held in self.model.holds.items() if held.expires_ms <= self.now_ms]
        assert wallet.release_expired(self.store, now_ms=self.now_ms) == len(expired)
        for name in expired:
            self.charged(name, 0, 0, answered=False)
        wallet.prune(self.store, now_ms=self.now_ms)
        self.model.answered = {
            name: at_ms for name, at_ms in self.model.answered.items() if self.now_ms - at_ms <= IDEMPOTENCY_KEPT_MS
        }

    @rule()
    def send(self) -> None:
        due = self.model.send(self.now_ms)
        wallet_delivery.put_off(self.store, now_ms=self.now_ms)
        sent: dict[str, str] = {}
        while batch := wallet_delivery.due_records(self.store, now_ms=self.now_ms):
            assert not sent.keys() & batch.keys()
            sent |= batch
        assert sent.keys() == due
        assert all(f'"request_id":"{name}"' in text for name, text in sent.items())

    @rule()
    def replay(self) -> None:
        assert wallet_delivery.replay(self.store, now_ms=self.now_ms) == len(self.model.records)
        self.model.forget()
        for kept in self.model.records.values():
            if kept.again_ms is not None:
                kept.again_ms = min(kept.again_ms, self.now_ms)

    @rule()
    def begin_again(self) -> None:
        """The platform ends an object when it likes; the next one has the tables alone."""
        self.store.memory = Memory()
        self.model.forget()

    @precondition(lambda self: self.model.records)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        names = data.draw(st.sets(st.sampled_from(sorted(self.model.records)), min_size=1))
        for name in names:
            del self.model.records[name]
        wallet_delivery.acknowledge(self.store, [*names, "unknown"])
        with unchanged(self.store):
            wallet_delivery.acknowledge(self.store, [*names])

    @invariant()
    def the_state_is_the_model_s(self) -> None:
        state = wallet.state(self.store, ACCOUNT)
        assert state.available_nano_usd == self.model.available()
        assert state.held_nano_usd == sum(held.amount for held in self.model.holds.values())
        assert state.settled_nano_usd == sum(cost for _, cost, _ in self.model.charges)
        assert state.open_holds == len(self.model.holds)

    @invariant()
    def holds_and_charges_never_exceed_the_grants_unless_some_were_taken_back(self) -> None:
        if self.only_gifts:
            assert wallet.state(self.store, ACCOUNT).available_nano_usd >= 0

    @invariant()
    def each_settled_record_is_kept_until_it_is_acknowledged(self) -> None:
        assert {item.request_id for item in self.store.records()} == set(self.model.records)

    @invariant()
    def the_alarm_is_never_later_than_what_falls_due(self) -> None:
        due = [kept.due_ms() for kept in self.model.records.values()]
        due += [held.expires_ms for held in self.model.holds.values()]
        assert wallet.next_alarm_ms(self.store) == min(due, default=None)

    @invariant()
    def what_is_remembered_is_what_the_tables_say(self) -> None:
        memory = self.store.memory
        assert memory.available in {None, self.model.available()}
        holds = {name: OpenHold(held.amount, held.idempotency_key) for name, held in self.model.holds.items()}
        assert memory.holds in (None, holds)
        assert memory.revoked in (None, self.model.revoked)


def test_any_sequence_of_calls_leaves_the_wallet_as_a_plain_model_has_it() -> None:
    run_state_machine_as_test(
        WalletMachine,
        settings=examples(80, stateful_step_count=50, database=None),
    )
