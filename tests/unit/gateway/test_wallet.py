"""The Wallet's rules one by one: every refusal, and both sides of every limit."""

import sqlite3
from datetime import UTC, datetime
from typing import get_args

import pytest

from gateway import wallet, wallet_delivery, wallet_spend
from gateway.money import NanoUsd
from gateway.records import KeyLimits, SpendCapPeriod, UsageState
from gateway.wallet import IDEMPOTENCY_KEPT_MS, NONCES_KEPT_MS, GrantConflict
from gateway.wallet_delivery import BATCH_RECORDS, RESEND_AFTER_MS
from gateway.wallet_messages import HoldRequest
from gateway.wallet_tables import Memory, create_tables
from tests.unit.gateway.catalogues import ACCOUNT, NOW_MS
from tests.unit.gateway.fakes import MemoryStore
from tests.unit.gateway.shapes import usage
from tests.unit.gateway.wallets import (
    DAY_MS,
    MINUTE_MS,
    funded,
    grant_of,
    hold,
    hold_request,
    record,
    settle,
    unchanged,
)


def held(store: MemoryStore) -> int:
    return wallet.state(store, ACCOUNT).held_nano_usd


def available(store: MemoryStore) -> int:
    return wallet.state(store, ACCOUNT).available_nano_usd


def refused_without_a_trace(store: MemoryStore, request: HoldRequest) -> str | None:
    """The reason of the refusal; nothing of any table may have changed."""
    with unchanged(store):
        reply = hold(store, request)
    assert reply.granted_nano_usd == 0
    return reply.refused


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


@pytest.mark.parametrize(("wanted", "granted"), [(100, 100), (101, 100), (1_000, 100), (0, 0)])
def test_a_hold_takes_what_it_wants_or_what_there_is(wanted: int, granted: int) -> None:
    store = funded(100)

    reply = hold(store, hold_request("r1", wanted, least=0))

    assert (reply.refused, reply.granted_nano_usd, reply.available_nano_usd) == (None, granted, 100)
    assert (held(store), available(store)) == (granted, 100 - granted)


def test_a_hold_takes_less_than_it_wants_but_never_less_than_its_least() -> None:
    assert hold(funded(60), hold_request("r1", 100, least=60)).granted_nano_usd == 60
    assert refused_without_a_trace(funded(59), hold_request("r1", 100, least=60)) == "insufficient_balance"


def test_a_free_request_is_held_with_an_empty_wallet_and_refused_with_a_negative_one() -> None:
    assert hold(MemoryStore(), hold_request("r1", 0)).refused is None
    assert refused_without_a_trace(funded(-1), hold_request("r1", 0)) == "insufficient_balance"


@pytest.mark.parametrize(
    ("balance", "granted"),
    [(100, 40), (160, 40), (400, 100), (404, 101), (4_000, 500), (39, 39)],
)
def test_a_hold_without_a_bound_takes_a_modest_part_or_a_quarter_of_what_there_is(balance: int, granted: int) -> None:
    assert hold(funded(balance), hold_request("r1", 500, least=10, modest=40)).granted_nano_usd == granted


def test_holds_add_up_and_the_last_nano_dollar_can_be_held_once() -> None:
    store = funded(100)

    hold(store, hold_request("r1", 60))
    hold(store, hold_request("r2", 40))

    assert refused_without_a_trace(store, hold_request("r3", 1)) == "insufficient_balance"
    assert available(store) == 0


def test_a_hold_that_is_asked_for_twice_is_held_once() -> None:
    store = funded(100)

    first = hold(store, hold_request("r1", 60))
    before = store.dump()
    second = hold(store, hold_request("r1", 60))

    assert (first.granted_nano_usd, second.granted_nano_usd) == (60, 60)
    assert store.dump() == before


def test_a_request_that_was_settled_is_not_held_again() -> None:
    store = funded(100)
    hold(store, hold_request("r1", 60))
    settle(store, record("r1", 30))

    with unchanged(store), pytest.raises(sqlite3.IntegrityError):
        hold(store, hold_request("r1", 60))

    assert available(store) == 70
    assert hold(store, hold_request("r2", 70)).granted_nano_usd == 70


def test_a_revoked_key_is_refused_and_another_is_not() -> None:
    store = funded(100)

    assert wallet.revoke(store, ["key_1", "key_1"]) == ["key_1", "key_1"]

    assert refused_without_a_trace(store, hold_request("r1", 1)) == "key_revoked"
    assert hold(store, hold_request("r2", 1, key_id="key_2")).refused is None


def test_revoking_a_key_leaves_its_open_holds_to_be_settled() -> None:
    store = funded(100)
    hold(store, hold_request("r1", 60))

    wallet.revoke(store, ["key_1"])

    assert settle(store, record("r1", 30))
    assert available(store) == 70


@pytest.mark.parametrize("cost", [0, 59, 60])
def test_settling_takes_the_hold_away_and_leaves_the_charge(cost: int) -> None:
    store = funded(100)
    hold(store, hold_request("r1", 60))

    assert settle(store, record("r1", cost))

    assert (held(store), available(store)) == (0, 100 - cost)
    assert store.records() == [record("r1", cost)]


def test_settling_twice_charges_once() -> None:
    store = funded(100)
    hold(store, hold_request("r1", 60))
    settle(store, record("r1", 30))
    before = store.dump()

    assert not settle(store, record("r1", 30))
    assert store.dump() == before


def test_what_was_never_held_cannot_be_settled() -> None:
    store = funded(100)
    before = store.dump()

    assert not settle(store, record("r1", 30))
    assert store.dump() == before


def test_a_grant_is_added_once() -> None:
    store = funded(100)
    before = store.dump()

    assert wallet.grant(store, [grant_of("initial", 100)]) == ["initial"]
    assert store.dump() == before


@pytest.mark.parametrize("other", [grant_of("initial", 101), grant_of("initial", 100, "trial")])
def test_a_grant_of_the_same_id_and_other_content_is_refused_with_all_that_came_with_it(other: object) -> None:
    store = funded(100)
    before = store.dump()

    with pytest.raises(GrantConflict):
        wallet.grant(store, [grant_of("new", 5), other])  # type: ignore[list-item]

    assert store.dump() == before


def test_one_call_that_grants_one_id_twice_grants_it_once() -> None:
    store = MemoryStore()

    assert wallet.grant(store, [grant_of("g", 5), grant_of("g", 5)]) == ["g", "g"]
    assert available(store) == 5


def test_a_reversal_can_take_the_wallet_below_zero_and_a_top_up_brings_it_back() -> None:
    store = funded(100)
    hold(store, hold_request("r1", 100))
    settle(store, record("r1", 80))

    wallet.grant(store, [grant_of("back", -100, "reversal")])

    assert available(store) == -80
    assert refused_without_a_trace(store, hold_request("r2", 1)) == "insufficient_balance"
    wallet.grant(store, [grant_of("more", 81, "top_up")])
    assert hold(store, hold_request("r3", 1)).refused is None


@pytest.mark.parametrize(("running", "refused"), [(1, None), (2, "rate_limit_exceeded")])
def test_only_so_many_requests_of_a_key_run_at_once(running: int, refused: str | None) -> None:
    store, limits = funded(100), KeyLimits(concurrent_requests=2)
    for number in range(running):
        hold(store, hold_request(f"r{number}", 1, limits=limits))
    hold(store, hold_request("of another key", 1, key_id="key_2", limits=limits))

    reply = hold(store, hold_request("next", 1, limits=limits))

    assert reply.refused == refused
    assert reply.limit == (refused and "concurrent_requests")


def test_a_settled_request_makes_room_for_another() -> None:
    store, limits = funded(100), KeyLimits(concurrent_requests=1)
    hold(store, hold_request("r1", 1, limits=limits))
    assert refused_without_a_trace(store, hold_request("r2", 1, limits=limits)) == "rate_limit_exceeded"

    settle(store, record("r1", 1))

    assert hold(store, hold_request("r2", 1, limits=limits)).refused is None


@pytest.mark.parametrize(("later_ms", "refused"), [(MINUTE_MS - 1, "rate_limit_exceeded"), (MINUTE_MS, None)])
def test_requests_per_minute_count_the_last_minute_and_no_more(later_ms: int, refused: str | None) -> None:
    store, limits = funded(100), KeyLimits(requests_per_minute=2)
    first = hold(store, hold_request("r1", 1, limits=limits))
    second = hold(store, hold_request("r2", 1, limits=limits, now_ms=NOW_MS + 100))

    third = hold(store, hold_request("r3", 1, limits=limits, now_ms=NOW_MS + later_ms))

    assert first.requests is not None
    assert second.requests is not None
    assert (first.requests.remaining, second.requests.remaining) == (1, 0)
    assert third.refused == refused
    assert third.retry_after_ms == (1 if refused else None)


def test_the_reset_is_when_the_oldest_request_leaves_the_window() -> None:
    store, limits = funded(100), KeyLimits(requests_per_minute=5)
    hold(store, hold_request("r1", 1, limits=limits))

    reply = hold(store, hold_request("r2", 1, limits=limits, now_ms=NOW_MS + 1_500))

    assert reply.requests is not None
    assert (reply.requests.limit, reply.requests.remaining, reply.requests.reset_ms) == (5, 3, MINUTE_MS - 1_500)


def test_the_reset_is_never_later_than_the_window_is_long() -> None:
    store, limits = funded(100), KeyLimits(requests_per_minute=1)
    hold(store, hold_request("began later", 1, limits=limits, now_ms=NOW_MS + 5))

    reply = hold(store, hold_request("was slower", 1, limits=limits))

    assert (reply.refused, reply.retry_after_ms) == ("rate_limit_exceeded", MINUTE_MS)


@pytest.mark.parametrize(("tokens", "refused"), [(99, None), (100, "rate_limit_exceeded")])
def test_tokens_per_minute_are_estimated_until_they_are_known(tokens: int, refused: str | None) -> None:
    store, limits = funded(100), KeyLimits(tokens_per_minute=100)
    hold(store, hold_request("r1", 1, limits=limits, tokens=tokens))

    reply = hold(store, hold_request("r2", 1, limits=limits, tokens=1))

    assert reply.refused == refused
    assert reply.limit == (refused and "tokens_per_minute")


def test_the_true_tokens_take_the_estimate_s_place() -> None:
    store, limits = funded(100), KeyLimits(tokens_per_minute=100)
    hold(store, hold_request("r1", 1, limits=limits, tokens=1_000))
    settle(store, record("r1", 1, usage=usage(60, 39)))

    reply = hold(store, hold_request("r2", 1, limits=limits, tokens=1))

    assert reply.tokens is not None
    assert (reply.refused, reply.tokens.remaining) == (None, 0)


def test_a_key_without_limits_is_told_of_none() -> None:
    reply = hold(funded(100), hold_request("r1", 1))

    assert (reply.requests, reply.tokens) == (None, None)


def capped(cap: int, period: SpendCapPeriod) -> KeyLimits:
    return KeyLimits(spend_cap_nano_usd=NanoUsd(cap), spend_cap_period=period)


@pytest.mark.parametrize("period", ["day", "month", "total"])
def test_a_spend_cap_counts_what_is_held_and_what_was_spent(period: SpendCapPeriod) -> None:
    store, limits = funded(1_000), capped(100, period)
    hold(store, hold_request("r1", 30, limits=limits))
    settle(store, record("r1", 20))
    hold(store, hold_request("r2", 50, limits=limits))

    assert refused_without_a_trace(store, hold_request("r3", 31, limits=limits)) == "spend_cap_reached"
    assert hold(store, hold_request("r4", 100, least=30, limits=limits)).granted_nano_usd == 30
    assert hold(store, hold_request("r5", 500, key_id="key_2")).refused is None


@pytest.mark.parametrize(
    ("period", "spent_at", "now", "refused"),
    [
        ("day", "2026-11-24T00:00:00", "2026-11-24T23:59:59", "spend_cap_reached"),
        ("day", "2026-11-24T23:59:59", "2026-11-25T00:00:00", None),
        ("month", "2026-11-01T00:00:00", "2026-11-30T23:59:59", "spend_cap_reached"),
        ("month", "2026-11-30T23:59:59", "2026-12-01T00:00:00", None),
        ("month", "2025-11-24T12:00:00", "2026-11-24T12:00:00", None),
        ("total", "2026-11-24T12:00:00", "2036-11-24T12:00:00", "spend_cap_reached"),
    ],
)
def test_a_spend_cap_begins_anew_with_its_period_in_utc(
    period: SpendCapPeriod, spent_at: str, now: str, refused: str | None
) -> None:
    store, limits = funded(1_000), capped(100, period)
    hold(store, hold_request("r1", 100, limits=limits, now_ms=at(spent_at)))
    settle(store, record("r1", 100), now_ms=at(spent_at))

    assert hold(store, hold_request("r2", 1, limits=limits, now_ms=at(now))).refused == refused


def test_a_cap_that_was_lowered_below_what_is_spent_refuses_even_a_free_request() -> None:
    store = funded(1_000)
    hold(store, hold_request("r1", 100))
    settle(store, record("r1", 100))

    request = hold_request("r2", 0, limits=capped(99, "total"))

    assert refused_without_a_trace(store, request) == "spend_cap_reached"


def test_too_little_balance_is_told_before_a_cap() -> None:
    store = funded(10)

    assert refused_without_a_trace(store, hold_request("r1", 11, limits=capped(5, "day"))) == "insufficient_balance"


def test_what_a_key_has_spent_is_told_for_each_period() -> None:
    store = funded(1_000)
    for name, cost, when in (
        ("r1", 5, "2026-10-31T12:00:00"),
        ("r2", 7, "2026-11-23T12:00:00"),
        ("r3", 9, "2026-11-24T11:00:00"),
    ):
        hold(store, hold_request(name, cost, now_ms=at(when)))
        settle(store, record(name, cost), now_ms=at(when))

    now_ms = at("2026-11-24T12:00:00")
    periods: tuple[SpendCapPeriod, ...] = ("day", "month", "total")
    assert [wallet_spend.spent(store, "key_1", period, now_ms=now_ms) for period in periods] == [9, 16, 21]
    assert [wallet_spend.spent(store, "key_1", period, now_ms=now_ms + DAY_MS) for period in periods] == [0, 16, 21]


def test_charges_count_for_their_own_day_and_month_in_whatever_order_they_are_acknowledged() -> None:
    store = funded(1_000)
    days = {"r1": "2026-10-31T23:59:59", "r2": "2026-11-23T12:00:00", "r3": "2026-11-24T11:00:00"}
    for cost, (name, when) in zip((5, 7, 9), days.items(), strict=True):
        hold(store, hold_request(name, cost, now_ms=at(when)))
        settle(store, record(name, cost), now_ms=at(when))

    for name in ("r2", "r3", "r1"):
        wallet_delivery.acknowledge(store, [name])

        spent = [
            wallet_spend.spent(store, "key_1", period, now_ms=at(days["r3"])) for period in get_args(SpendCapPeriod)
        ]
        assert spent == [9, 16, 21]
    assert wallet.state(store, ACCOUNT).settled_nano_usd == 21


def test_what_an_earlier_version_held_can_be_settled() -> None:
    store = funded(100)
    store.execute(
        """CREATE TABLE holds (request_id TEXT PRIMARY KEY, account_id TEXT NOT NULL, key_id TEXT NOT NULL,
           amount INTEGER NOT NULL, created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, idempotency_key TEXT)"""
    )
    store.execute("INSERT INTO holds VALUES ('r1', ?, 'key_1', 60, ?, ?, NULL)", ACCOUNT, NOW_MS, NOW_MS + 1)

    create_tables(store)
    create_tables(store)

    assert (held(store), available(store)) == (60, 40)
    assert settle(store, record("r1", 30))
    assert (held(store), available(store)) == (0, 70)


def test_an_idempotency_key_that_is_being_answered_is_refused() -> None:
    store = funded(100)
    hold(store, hold_request("r1", 1, idempotency_key="k"))

    reply = hold(store, hold_request("r2", 1, idempotency_key="k"))

    assert (reply.refused, reply.first_request_id, reply.first_cost_nano_usd) == ("duplicate_request", "r1", None)
    assert refused_without_a_trace(store, hold_request("r3", 1, idempotency_key="k")) == "duplicate_request"


@pytest.mark.parametrize(
    ("state", "refused"),
    [("complete", "duplicate_request"), ("partial", "duplicate_request"), ("failed", None), ("abandoned", None)],
)
def test_an_idempotency_key_is_used_up_by_an_answer_and_not_by_a_failure(
    state: UsageState, refused: str | None
) -> None:
    store = funded(100)
    hold(store, hold_request("r1", 9, idempotency_key="k"))
    settle(store, record("r1", 7, state=state))

    reply = hold(store, hold_request("r2", 1, idempotency_key="k"))

    assert reply.refused == refused
    assert reply.first_cost_nano_usd == (7 if refused else None)
    assert reply.first_request_id == (refused and "r1")


def test_an_idempotency_key_belongs_to_one_api_key() -> None:
    store = funded(100)
    hold(store, hold_request("r1", 1, idempotency_key="k"))

    assert hold(store, hold_request("r2", 1, key_id="key_2", idempotency_key="k")).refused is None


@pytest.mark.parametrize(("later_ms", "refused"), [(0, "duplicate_request"), (1, None)])
def test_an_idempotency_key_is_kept_for_a_day(later_ms: int, refused: str | None) -> None:
    store = funded(100)
    hold(store, hold_request("r1", 1, idempotency_key="k"))
    settle(store, record("r1", 1))

    wallet.prune(store, now_ms=NOW_MS + IDEMPOTENCY_KEPT_MS + later_ms)

    assert hold(store, hold_request("r2", 1, idempotency_key="k")).refused == refused


@pytest.mark.parametrize(("later_ms", "released"), [(599_999, 0), (600_000, 1)])
def test_a_hold_that_was_never_settled_is_released_at_nothing_and_reported(later_ms: int, released: int) -> None:
    store = funded(100)
    hold(store, hold_request("r1", 60))

    assert wallet.release_expired(store, now_ms=NOW_MS + later_ms) == released

    assert available(store) == 40 + 60 * released
    assert [(item.state, item.cost_nano_usd, item.account_id) for item in store.records()] == [
        ("abandoned", 0, ACCOUNT)
    ] * released


def test_what_settles_after_its_hold_was_released_changes_nothing() -> None:
    store = funded(100)
    hold(store, hold_request("r1", 60))
    wallet.release_expired(store, now_ms=NOW_MS + 600_000)

    assert not settle(store, record("r1", 60))
    assert available(store) == 100


def test_a_record_is_sent_until_it_is_acknowledged() -> None:
    store = funded(100)
    hold(store, hold_request("r1", 60))
    settle(store, record("r1", 30))

    def due(now_ms: int) -> int:
        wallet_delivery.put_off(store, now_ms=now_ms)
        return len(wallet_delivery.due_records(store, now_ms=now_ms))

    assert [due(NOW_MS - 1), due(NOW_MS), due(NOW_MS), due(NOW_MS + RESEND_AFTER_MS - 1)] == [0, 1, 0, 0]
    assert due(NOW_MS + RESEND_AFTER_MS) == 1
    assert [due(NOW_MS + 2 * RESEND_AFTER_MS - 1), due(NOW_MS + 2 * RESEND_AFTER_MS)] == [0, 1]
    wallet_delivery.acknowledge(store, ["r1", "unknown"])
    assert due(NOW_MS + DAY_MS) == 0
    assert wallet.state(store, ACCOUNT).unacknowledged_records == 0
    assert available(store) == 70


def test_what_settles_while_others_are_sent_waits_for_the_next_alarm() -> None:
    store = funded(100)
    for name, now_ms in (("r1", NOW_MS - 1), ("r2", NOW_MS + 1)):
        hold(store, hold_request(name, 1))
        settle(store, record(name, 1), now_ms=now_ms)

    assert [list(wallet_delivery.due_records(store, now_ms=NOW_MS)) for _ in range(2)] == [["r1"], []]
    assert list(wallet_delivery.due_records(store, now_ms=NOW_MS + 1)) == ["r2"]


def test_what_settles_after_others_were_sent_is_sent_next_whatever_the_clock_says() -> None:
    store = funded(100)
    for name, now_ms in (("r2", NOW_MS), ("r1", NOW_MS), ("r0", NOW_MS - 5)):
        hold(store, hold_request(name, 1))
        settle(store, record(name, 1), now_ms=now_ms)

        assert list(wallet_delivery.due_records(store, now_ms=NOW_MS)) == [name]


def test_a_wallet_that_has_just_begun_sends_what_is_not_acknowledged() -> None:
    store = funded(100)
    hold(store, hold_request("r1", 60))
    settle(store, record("r1", 30))
    wallet_delivery.due_records(store, now_ms=NOW_MS)

    store.memory = Memory()

    assert wallet.next_alarm_ms(store) == NOW_MS
    assert list(wallet_delivery.due_records(store, now_ms=NOW_MS)) == ["r1"]


def test_records_are_sent_in_batches_the_oldest_first() -> None:
    store = funded(1_000)
    for number in range(BATCH_RECORDS + 1):
        hold(store, hold_request(f"r{number}", 1))
        settle(store, record(f"r{number}", 1), now_ms=NOW_MS - number)

    first, second = (wallet_delivery.due_records(store, now_ms=NOW_MS) for _ in range(2))

    assert (len(first), len(second)) == (BATCH_RECORDS, 1)
    assert '"request_id":"r0"' in second["r0"]


def test_an_alarm_releases_what_expired_puts_off_what_is_late_and_forgets_what_is_old() -> None:
    store = funded(100)
    wallet.use_nonce(store, "nonce", now_ms=NOW_MS)
    hold(store, hold_request("late", 1))
    settle(store, record("late", 1))
    hold(store, hold_request("expired", 1))

    wallet.tidy(store, now_ms=NOW_MS + DAY_MS)

    left = store.dump()
    assert [(row[0], row[-1]) for row in left["outbox"]] == [("late", NOW_MS + DAY_MS)]
    assert [(row[0], row[-2]) for row in left["requests"]] == [("expired", NOW_MS + DAY_MS)]
    assert left["nonces"] == []


def test_a_replay_sends_every_record_again_at_once() -> None:
    store = funded(100)
    hold(store, hold_request("r1", 60))
    settle(store, record("r1", 30))
    wallet_delivery.due_records(store, now_ms=NOW_MS)

    assert wallet_delivery.replay(store, now_ms=NOW_MS + 1) == 1
    assert len(wallet_delivery.due_records(store, now_ms=NOW_MS + 1)) == 1


def test_the_alarm_is_for_the_next_record_or_the_next_hold_that_expires() -> None:
    store = funded(100)
    assert wallet.next_alarm_ms(store) is None

    hold(store, hold_request("r1", 1))
    hold(store, hold_request("r2", 1, lasts_ms=MINUTE_MS))
    assert wallet.next_alarm_ms(store) == NOW_MS + MINUTE_MS

    settle(store, record("r1", 1))
    assert wallet.next_alarm_ms(store) == NOW_MS

    wallet_delivery.due_records(store, now_ms=NOW_MS)
    wallet_delivery.acknowledge(store, ["r1"])
    assert wallet.next_alarm_ms(store) == NOW_MS + MINUTE_MS


@pytest.mark.parametrize(("later_ms", "good"), [(NONCES_KEPT_MS, False), (NONCES_KEPT_MS + 1, True)])
def test_a_nonce_is_good_once_for_as_long_as_signatures_are(later_ms: int, good: bool) -> None:
    store = MemoryStore()

    assert wallet.use_nonce(store, "nonce", now_ms=NOW_MS)
    assert not wallet.use_nonce(store, "nonce", now_ms=NOW_MS)

    wallet.prune(store, now_ms=NOW_MS + later_ms)
    assert wallet.use_nonce(store, "nonce", now_ms=NOW_MS + later_ms) == good


def test_the_state_is_the_sums() -> None:
    store = funded(100)
    hold(store, hold_request("r1", 60))
    hold(store, hold_request("r2", 10))
    settle(store, record("r1", 30))

    state = wallet.state(store, ACCOUNT)

    assert (state.granted_nano_usd, state.settled_nano_usd, state.held_nano_usd) == (100, 30, 10)
    assert (state.balance_nano_usd, state.available_nano_usd) == (70, 60)
    assert (state.open_holds, state.unacknowledged_records) == (1, 1)
