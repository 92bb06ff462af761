from dataclasses import replace

from bench.peers import GATEWAY, PASS_THROUGH, PORTKEY
from bench.results import Rounds
from bench.stream_calls import CASES, SHORT, timing_targets


def rounds_of(*peers: str) -> Rounds:
    rounds = Rounds()
    for number, peer in enumerate(peers, 1):
        seen = {"first_event_p50_ms": 10.0 * number, "event_delay_p99_ms": 2.0 * number, "merged_events_share": 0.0}
        rounds.add(SHORT.name, peer, **seen)
    return rounds


def test_every_case_has_a_name_of_its_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    assert replace(SHORT, interval_ms=20).name != SHORT.name


def test_times_are_compared_with_the_pass_through_worker_as_differences() -> None:
    targets = timing_targets(rounds_of(PASS_THROUGH, GATEWAY), SHORT)

    assert [(target.measured, target.unit, target.met) for target in targets] == [
        (10.0, "ms", True),
        (2.0, "ms", False),
        (0.0, "of all", True),
    ]


def test_portkey_is_a_target_only_where_it_ran() -> None:
    without, with_it = (
        timing_targets(rounds_of(*peers), SHORT)
        for peers in ((PASS_THROUGH, GATEWAY), (PASS_THROUGH, GATEWAY, PORTKEY))
    )

    assert [target.name for target in with_it if target not in without] == [
        "time to the first event, 10 streams at once, 2 ms between events, of Portkey's"
    ]
