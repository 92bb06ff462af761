"""When a target counts as broken, and when one call may find out whether it still is."""

import pytest

from gateway.causes import Cause
from gateway.circuits import FAILURES_TO_OPEN, MAX_OPEN_MS, NOT_ITS_FAULT, OPEN_MS, OWN_ACCOUNT, PROBE_MS, Circuits
from gateway.routing import Candidate
from tests.unit.gateway.catalogues import FLAT, PROVIDERS, model, target


def candidate(name: str) -> Candidate:
    served = target(name, "m")
    return Candidate(model=model("deepseek-chat", served), target=served, provider=PROVIDERS[name], price=FLAT)


FIRST, SECOND = candidate("deepseek"), candidate("mirror")


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
    circuits = broken(times=50)

    assert not is_first(circuits, MAX_OPEN_MS - 1)
    assert is_first(circuits, MAX_OPEN_MS)


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
