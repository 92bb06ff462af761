"""The rules by which a target is judged: pure, over tallies of what was seen."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane import alerts
from control_plane.alerts import Alert
from control_plane.provider_health import (
    EVIDENCE_SLICES,
    FAULTS,
    MEASURED_MIN,
    RECENT_SLICES,
    REQUESTS_MIN,
    Published,
    Report,
    Tally,
    differs,
    judge,
    report,
    tally,
)
from gateway.causes import Cause
from gateway.records import Attempt, Health, TargetHealth, Usage, UsageRecord
from tests.unit.control_plane.books import FREE_RECORD, NOW_MS, RECORD

TARGET = ("moonshot", "kimi-k2.6")
NOT_ITS_FAULT = {Cause.BAD_REQUEST, Cause.CONTENT_FILTER, Cause.CONTEXT_LENGTH}


def seen(ok: int = 0, faults: int = 0, **outcomes: int) -> Tally:
    """A slice of time in which the target answered and failed so often."""
    return Tally(outcomes=Counter(ok=ok, overloaded=faults) + Counter(outcomes))


def told(health: Health, **medians: int | None) -> TargetHealth:
    values: dict[str, int | None] = {"first_event_ms": None, "tokens_per_second": None, **medians}
    return TargetHealth(provider=TARGET[0], model=TARGET[1], health=health, **values)


def streamed(*, first_event_ms: int, attempt_ms: int, total_ms: int, tokens: int = 200) -> UsageRecord:
    usage = Usage(prompt_tokens=0, cached_tokens=0, completion_tokens=tokens, reasoning_tokens=0)
    attempt = replace(RECORD.attempts[0], ms=attempt_ms)
    return replace(RECORD, usage=usage, attempts=(attempt,), first_event_ms=first_event_ms, total_ms=total_ms)


def test_every_cause_of_a_failed_attempt_is_either_the_providers_fault_or_not() -> None:
    assert {str(cause) for cause in Cause} == FAULTS | {str(cause) for cause in NOT_ITS_FAULT}


def test_a_target_that_nobody_asked_is_not_known() -> None:
    assert judge([], None) is None
    assert judge([seen()] * EVIDENCE_SLICES, None) is None


def test_a_target_is_judged_from_its_fifth_request_on() -> None:
    assert judge([seen(faults=REQUESTS_MIN - 1)], None) is None
    assert judge([seen(faults=REQUESTS_MIN)], None) == "down"


@pytest.mark.parametrize("outcome", ["bad_request", "content_filter", "context_length", "something_new"])
def test_what_the_request_itself_caused_does_not_count(outcome: str) -> None:
    assert judge([seen(ok=10, **{outcome: 100})], None) == "healthy"
    assert judge([seen(**{outcome: 100})], None) is None


@pytest.mark.parametrize("outcome", sorted(FAULTS))
def test_each_fault_of_a_provider_counts(outcome: str) -> None:
    assert judge([seen(**{outcome: 10})], None) == "down"


@pytest.mark.parametrize(
    ("faults", "before", "health"),
    [
        (19, None, "healthy"),
        (20, None, "degraded"),
        (79, None, "degraded"),
        (80, None, "down"),
        (10, "degraded", "degraded"),
        (9, "degraded", "healthy"),
        (50, "down", "down"),
        (49, "down", "degraded"),
        (9, "down", "healthy"),
    ],
)
def test_a_state_is_entered_at_a_larger_share_of_failures_than_it_is_left_at(
    faults: int, before: Health | None, health: Health
) -> None:
    assert judge([seen(ok=100 - faults, faults=faults)], before) == health


def test_fewer_than_three_failures_do_not_degrade_a_target() -> None:
    assert judge([seen(ok=5, faults=2)], None) == "healthy"
    assert judge([seen(ok=5, faults=3)], None) == "degraded"


def test_a_busy_target_is_judged_by_the_last_minute_alone() -> None:
    broken_now = [seen(faults=100)] * RECENT_SLICES + [seen(ok=100)] * EVIDENCE_SLICES
    well_again = [seen(ok=100)] * RECENT_SLICES + [seen(faults=100)] * EVIDENCE_SLICES

    assert judge(broken_now, "healthy") == "down"
    assert judge(well_again, "down") == "healthy"


def test_a_quiet_target_is_judged_by_as_much_of_five_minutes_as_it_takes() -> None:
    quiet = [seen()] * (EVIDENCE_SLICES - 2)

    assert judge([seen(faults=1), *quiet, seen(faults=9)], None) == "down"
    assert judge([seen(faults=1), *quiet, seen(), seen(faults=9)], None) is None


def test_a_target_that_is_down_and_not_asked_any_more_stays_down_until_its_failures_are_five_minutes_old() -> None:
    outage = [seen(faults=20)] * RECENT_SLICES + [seen(ok=100)] * 5

    silent = [judge([seen()] * slices + outage, "down") for slices in range(EVIDENCE_SLICES + 1)]

    assert silent == ["down"] * EVIDENCE_SLICES + [None]


@pytest.mark.parametrize("before", [None, "healthy", "degraded", "down"])
def test_three_answers_in_a_row_end_an_outage_and_fewer_do_not(before: Health | None) -> None:
    outage = [seen(faults=100)]

    assert judge([seen(ok=2), *outage], before) == "down"
    assert judge([seen(ok=2), seen(ok=1), *outage], before) == "degraded"


@given(
    slices=st.lists(st.builds(seen, ok=st.integers(0, 50), faults=st.integers(0, 50)), max_size=40),
    before=st.sampled_from([None, "healthy", "degraded", "down"]),
)
def test_judging_the_same_again_changes_nothing(slices: Sequence[Tally], before: Health | None) -> None:
    once = judge(slices, before)

    assert judge(slices, once) == once


def test_every_attempt_of_a_request_is_counted_at_its_own_target() -> None:
    elsewhere = Attempt(provider="dashscope", model="kimi", outcome="timeout", status=0, ms=15_000)
    record = replace(RECORD, attempts=(elsewhere, elsewhere, RECORD.attempts[0]))

    tallies = tally([record, RECORD], ended_after_ms=0)

    assert tallies["dashscope", "kimi"].outcomes == {"timeout": 2}
    assert tallies[TARGET].outcomes == {"ok": 2}


def test_a_request_that_is_reported_long_after_its_end_says_nothing_about_now() -> None:
    ended_at_ms = RECORD.started_at_ms + RECORD.total_ms

    assert tally([RECORD], ended_after_ms=ended_at_ms) == {}
    assert tally([RECORD], ended_after_ms=ended_at_ms - 1) != {}


def test_the_time_to_the_first_event_is_the_targets_own() -> None:
    after_a_failover = streamed(first_event_ms=5_400, attempt_ms=400, total_ms=7_400)
    held_back_until_it_was_whole = streamed(first_event_ms=300, attempt_ms=2_300, total_ms=2_400)

    found = tally([after_a_failover, held_back_until_it_was_whole], ended_after_ms=0)[TARGET]

    assert found.first_event_ms == [400, 300]


def test_speed_is_measured_in_streams_that_are_long_enough() -> None:
    measured = streamed(first_event_ms=500, attempt_ms=500, total_ms=2_500)
    short = streamed(first_event_ms=500, attempt_ms=500, total_ms=1_499)
    terse = streamed(first_event_ms=500, attempt_ms=500, total_ms=2_500, tokens=19)
    estimated = replace(measured, estimated=True)
    whole = replace(measured, stream=False)

    found = tally([measured, short, terse, estimated, whole], ended_after_ms=0)[TARGET]

    assert found.tokens_per_second == [100]


def test_a_failed_request_has_no_times() -> None:
    found = tally([replace(FREE_RECORD, attempts=(replace(RECORD.attempts[0], outcome="timeout"),))], ended_after_ms=0)

    assert found[TARGET] == Tally(outcomes=Counter(timeout=1))


def test_a_report_has_medians_once_there_are_enough_values() -> None:
    few = Tally(outcomes=Counter(ok=MEASURED_MIN - 1), first_event_ms=[9] * (MEASURED_MIN - 1))
    enough = Tally(outcomes=Counter(ok=5), first_event_ms=[5, 1, 900, 2, 3], tokens_per_second=[10, 20, 30, 40, 50])

    assert report(TARGET, [few], None).first_event_ms is None
    assert report(TARGET, [enough], None) == Report(
        target=TARGET,
        health="healthy",
        since_ms=None,
        outcomes={"ok": 5},
        first_event_ms=3,
        tokens_per_second=30,
    )


def test_a_report_says_since_when_the_edge_has_been_told_the_same() -> None:
    before = Published(health=told("down"), since_ms=NOW_MS)

    assert report(TARGET, [seen(faults=9)], before).since_ms == NOW_MS
    assert report(TARGET, [seen(ok=9)], before).since_ms is None


@pytest.mark.parametrize(
    ("before", "now", "is_news"),
    [
        (None, None, False),
        (None, told("healthy"), False),
        (None, told("degraded"), True),
        (None, told("healthy", first_event_ms=300), True),
        (told("down"), None, True),
        (told("healthy", first_event_ms=300), None, False),
        (told("healthy", first_event_ms=300), told("healthy"), False),
        (told("healthy", first_event_ms=300), told("healthy", first_event_ms=390), False),
        (told("healthy", first_event_ms=300), told("healthy", first_event_ms=391), True),
        (told("healthy", first_event_ms=300), told("healthy", first_event_ms=209), True),
        (told("healthy", tokens_per_second=10), told("healthy", tokens_per_second=14), True),
        (told("healthy"), told("healthy", tokens_per_second=14), True),
    ],
)
def test_the_edge_hears_of_another_state_and_of_a_median_that_has_moved(
    before: TargetHealth | None, now: TargetHealth | None, is_news: bool
) -> None:
    assert differs(before, now) is is_news


def test_a_provider_that_refuses_our_key_or_finds_no_money_of_ours_is_one_alert_each() -> None:
    refused = report(TARGET, [seen(ok=90, provider_key=2, provider_balance=1)], None)
    also = report(("moonshot", "kimi-k2-thinking"), [seen(ok=90, provider_key=3)], None)

    found = alerts.of_providers([refused, also])

    assert found == [
        Alert(
            kind="provider_key",
            provider="moonshot",
            detail="5 requests in the last 10 minutes failed: the provider refused our key",
        ),
        Alert(
            kind="provider_balance",
            provider="moonshot",
            detail="1 requests in the last 10 minutes failed: there is no money of ours at the provider",
        ),
    ]


def test_a_target_that_is_down_is_an_alert() -> None:
    found = alerts.of_providers([report(TARGET, [seen(ok=1, faults=9)], None)])

    assert [(alert.kind, alert.provider, alert.model) for alert in found] == [("provider_down", *TARGET)]
    assert found[0].detail == "asked after all others; in the last 10 minutes: 1 ok, 9 overloaded"
