"""When a target counts as broken, and when one call may find out whether it still is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from gateway.causes import Cause
from gateway.circuits import (
    FAILURES_TO_OPEN,
    MAX_CIRCUITS,
    MAX_OPEN_MS,
    NOT_ITS_FAULT,
    OPEN_MS,
    OWN_ACCOUNT,
    PROBE_MS,
    Circuits,
)
from gateway.records import DRILL_URL
from gateway.routing import Candidate
from tests.unit.gateway.catalogues import FLAT, PROVIDERS, model, target
from tests.unit.gateway.examples import examples


def candidate(name: str, model_id: str = "m") -> Candidate:
    served = target(name, model_id)
    return Candidate(model=model("deepseek-chat", served), target=served, provider=PROVIDERS[name], price=FLAT)


FIRST, SECOND, THIRD = candidate("deepseek"), candidate("mirror"), candidate("zai")
ALL = (FIRST, SECOND, THIRD)


def is_first(circuits: Circuits, now_ms: int) -> bool:
    return circuits.order([FIRST, SECOND], now_ms=now_ms)[0] == FIRST


def broken(*, times: int = FAILURES_TO_OPEN) -> Circuits:
    circuits = Circuits()
    for _ in range(times):
        circuits.failed(FIRST, Cause.TIMEOUT, now_ms=0)
    return circuits


def test_a_circuit_opens_after_some_failures_in_a_row() -> None:
    assert is_first(broken(times=FAILURES_TO_OPEN - 1), 0)
    assert not is_first(broken(), 0)


def test_a_success_between_them_closes_it() -> None:
    circuits = broken(times=FAILURES_TO_OPEN - 1)

    circuits.succeeded(FIRST)
    circuits.failed(FIRST, Cause.TIMEOUT, now_ms=0)

    assert is_first(circuits, 0)


def test_one_call_probes_when_its_time_has_come_and_the_others_pass_it_by() -> None:
    circuits = broken()

    assert not is_first(circuits, OPEN_MS - 1)
    assert is_first(circuits, OPEN_MS)
    assert not is_first(circuits, OPEN_MS)
    assert is_first(circuits, OPEN_MS + PROBE_MS)


def test_a_probe_that_succeeds_closes_and_one_that_fails_opens_for_longer() -> None:
    circuits = broken()
    circuits.failed(FIRST, Cause.TIMEOUT, now_ms=OPEN_MS)

    assert not is_first(circuits, 3 * OPEN_MS - 1)
    assert is_first(circuits, 3 * OPEN_MS)
    circuits.succeeded(FIRST)
    assert is_first(circuits, 3 * OPEN_MS)


def test_it_never_stays_open_for_more_than_the_limit() -> None:
    circuits, now_ms = broken(), 0

    for _ in range(20):
        now_ms += MAX_OPEN_MS
        circuits.failed(FIRST, Cause.TIMEOUT, now_ms=now_ms)

    assert not is_first(circuits, now_ms + MAX_OPEN_MS - 1)
    assert is_first(circuits, now_ms + MAX_OPEN_MS)


def test_a_failure_of_one_who_had_nobody_else_to_ask_does_not_keep_it_open() -> None:
    circuits = broken(times=50)

    assert is_first(circuits, OPEN_MS)


def test_only_who_would_be_the_first_is_probed() -> None:
    circuits = broken()

    assert circuits.order([SECOND, FIRST, THIRD], now_ms=OPEN_MS) == (SECOND, THIRD, FIRST)
    assert circuits.order([FIRST, SECOND, THIRD], now_ms=OPEN_MS) == (FIRST, SECOND, THIRD)


def test_a_probe_that_says_nothing_about_the_target_lets_the_next_call_probe() -> None:
    circuits = broken()
    assert is_first(circuits, OPEN_MS)

    circuits.failed(FIRST, Cause.BAD_REQUEST, now_ms=OPEN_MS + 1)

    assert is_first(circuits, OPEN_MS + 1)


def test_a_drill_opens_no_circuit() -> None:
    circuits, drill = Circuits(), replace(FIRST, provider=replace(FIRST.provider, base_url=DRILL_URL))

    for _ in range(FAILURES_TO_OPEN):
        circuits.failed(drill, Cause.TIMEOUT, now_ms=0)

    assert circuits.order([drill, SECOND], now_ms=0) == (drill, SECOND)


def test_no_more_circuits_are_kept_than_the_limit() -> None:
    circuits = Circuits()

    for number in range(MAX_CIRCUITS + 1):
        circuits.failed(candidate("deepseek", f"m{number}"), Cause.OUR_KEY, now_ms=0)

    oldest, newest = candidate("deepseek", "m0"), candidate("deepseek", f"m{MAX_CIRCUITS}")
    assert circuits.order([oldest, newest], now_ms=0) == (oldest, newest)
    assert circuits.order([newest, SECOND], now_ms=0) == (SECOND, newest)


@pytest.mark.parametrize("cause", sorted(OWN_ACCOUNT))
def test_our_own_account_opens_it_at_once(cause: Cause) -> None:
    circuits = Circuits()

    circuits.failed(FIRST, cause, now_ms=0)

    assert not is_first(circuits, 0)


@pytest.mark.parametrize("cause", sorted(NOT_ITS_FAULT))
def test_what_the_request_caused_says_nothing_about_the_target(cause: Cause) -> None:
    circuits = Circuits()

    for _ in range(FAILURES_TO_OPEN):
        circuits.failed(FIRST, cause, now_ms=0)

    assert is_first(circuits, 0)


def test_an_open_target_is_asked_behind_all_others_but_never_dropped() -> None:
    circuits = broken()

    assert circuits.order([FIRST, SECOND], now_ms=0) == (SECOND, FIRST)
    assert circuits.order([FIRST], now_ms=0) == (FIRST,)


@dataclass(kw_only=True)
class Expected:
    """One target's circuit, as a list of rules would have it."""

    failures: int = 0
    reopened: int = 0
    open_until_ms: int | None = None
    probed_at_ms: int | None = None


class CircuitMachine(RuleBasedStateMachine):
    """Calls that ask three targets in any order, at any time, and hear anything from them."""

    def __init__(self) -> None:
        super().__init__()
        self.circuits = Circuits()
        self.expected = {candidate: Expected() for candidate in map(name_of, ALL)}
        self.now_ms = 1

    @rule(ms=st.one_of(st.integers(0, 2 * PROBE_MS), st.just(MAX_OPEN_MS)))
    def time_passes(self, ms: int) -> None:
        self.now_ms += ms

    @rule(asked=st.permutations(ALL))
    def a_call_orders_its_targets(self, asked: Sequence[Candidate]) -> None:
        ordered = self.circuits.order(asked, now_ms=self.now_ms)

        ready: list[Candidate] = []
        for one in asked:
            expected = self.expected[name_of(one)]
            if expected.open_until_ms is None:
                ready.append(one)
            elif not ready and self.may_be_probed(expected):
                expected.probed_at_ms = self.now_ms
                ready.append(one)
        assert ordered == (*ready, *(one for one in asked if one not in ready))

    @rule(one=st.sampled_from(ALL), cause=st.sampled_from(Cause))
    def a_target_fails(self, one: Candidate, cause: Cause) -> None:
        self.circuits.failed(one, cause, now_ms=self.now_ms)

        expected = self.expected[name_of(one)]
        if cause in NOT_ITS_FAULT:
            expected.probed_at_ms = None
        elif expected.open_until_ms is None:
            expected.failures += 1
            if cause in OWN_ACCOUNT or expected.failures >= FAILURES_TO_OPEN:
                self.opens(expected)
        elif self.now_ms >= expected.open_until_ms:
            expected.reopened += 1
            self.opens(expected)

    @rule(one=st.sampled_from(ALL))
    def a_target_answers(self, one: Candidate) -> None:
        self.circuits.succeeded(one)

        self.expected[name_of(one)] = Expected()

    def opens(self, expected: Expected) -> None:
        expected.open_until_ms = self.now_ms + min(OPEN_MS * 2**expected.reopened, MAX_OPEN_MS)
        expected.probed_at_ms = None

    def may_be_probed(self, expected: Expected) -> bool:
        is_free = expected.probed_at_ms is None or self.now_ms >= expected.probed_at_ms + PROBE_MS
        return expected.open_until_ms is not None and self.now_ms >= expected.open_until_ms and is_free


def name_of(candidate: Candidate) -> str:
    return candidate.provider.name


CircuitMachine.TestCase.settings = examples(200, stateful_step_count=40)
TestCircuits = CircuitMachine.TestCase
