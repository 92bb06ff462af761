import pytest

from bench.results import Rounds, Target


def test_a_ratio_is_taken_within_each_round() -> None:
    """The machine was twice as slow in the second round, and four times in the third."""
    rounds = Rounds()
    for slowness in (1.0, 2.0, 4.0):
        rounds.add("case", "ours", cpu_ms=6.0 * slowness)
        rounds.add("case", "theirs", cpu_ms=2.0 * slowness)

    assert rounds.ratio("case", "cpu_ms", "ours", "theirs") == 3.0
    assert [(item.peer, item.value) for item in rounds.measurements()] == [("ours", 12.0), ("theirs", 4.0)]


def test_rounds_of_different_number_have_no_ratio() -> None:
    rounds = Rounds()
    rounds.add("case", "ours", cpu_ms=1.0)

    with pytest.raises(ValueError, match="shorter"):
        rounds.ratio("case", "cpu_ms", "ours", "theirs")


@pytest.mark.parametrize(("measured", "met"), [(2.99, True), (3.0, True), (3.01, False)])
def test_what_must_be_at_most_its_limit_may_be_equal(measured: float, met: bool) -> None:
    target = Target(name="t", bound="at most", limit=3.0, measured=measured, unit="times")

    assert target.met is met


@pytest.mark.parametrize(("measured", "met"), [(4999, False), (5000, True)])
def test_what_must_be_at_least_its_limit_may_be_equal(measured: float, met: bool) -> None:
    target = Target(name="t", bound="at least", limit=5000, measured=measured, unit="a second")

    assert target.met is met
