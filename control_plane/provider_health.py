"""How the targets do, judged from the attempts of the last minutes: pure rules over what was tallied.

A target (a provider and its own id of a model) is judged by its newest requests: those of the last minute, or as many
of the minutes before as it takes to have enough. ``down`` ends by good answers, or by silence: the edge asks a target
that is down after all others, so after five minutes without a failure nothing speaks against it any more.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median_low
from typing import Final

from gateway.records import Health, TargetHealth, UsageRecord

SLICE_MS: Final = 10_000
WINDOW_SLICES: Final = 60
WINDOW_MS: Final = WINDOW_SLICES * SLICE_MS
RECENT_SLICES: Final = 6
EVIDENCE_SLICES: Final = 30

EVIDENCE_REQUESTS: Final = 20
"""So many are enough to judge by, where the last minute has fewer."""
REQUESTS_MIN: Final = 5
FAULTS_MIN: Final = 3
MEASURED_MIN: Final = 5
"""Fewer than these say nothing: requests about health, failures about degradation, values about a median."""

# A state is entered at a larger share of failures than it is left at, so that it does not flap.
DOWN_FROM_PERCENT, DOWN_UNTIL_PERCENT = 80, 50
DEGRADED_FROM_PERCENT, DEGRADED_UNTIL_PERCENT = 20, 10
RECOVERED_ANSWERS: Final = 3
"""A target that has answered so often since its last failure is not down, whatever was before."""

MEDIAN_CHANGE_PERCENT: Final = 30
GENERATION_MIN_MS: Final = 1_000
GENERATION_MIN_TOKENS: Final = 20
"""Shorter answers say nothing about speed: the end of a stream is noticed up to half a second late."""

OUR_KEY: Final = "provider_key"
OUR_BALANCE: Final = "provider_balance"
OK: Final = "ok"
FAULTS: Final = frozenset(
    {
        "connect_error",
        "timeout",
        "rate_limit",
        "overloaded",
        "server_error",
        OUR_KEY,
        OUR_BALANCE,
        "model_missing",
        "empty_answer",
        "cut_stream",
        "malformed_answer",
    }
)
"""The outcomes that are the provider's fault, or ours there. Whatever else failed was caused by the request."""

Target = tuple[str, str]
"""A provider and its own id of a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What was seen of one target within some time."""

    outcomes: Counter[str] = field(default_factory=Counter)
    first_event_ms: list[int] = field(default_factory=list)
    tokens_per_second: list[int] = field(default_factory=list)

    @property
    def answers(self) -> int:
        return self.outcomes[OK]

    @property
    def faults(self) -> int:
        return sum(self.outcomes[outcome] for outcome in FAULTS & self.outcomes.keys())

    @property
    def requests(self) -> int:
        """Those that say something about the target."""
        return self.answers + self.faults

    def add(self, other: "Tally") -> None:
        self.outcomes.update(other.outcomes)
        self.first_event_ms.extend(other.first_event_ms)
        self.tokens_per_second.extend(other.tokens_per_second)


NOTHING_SEEN: Final = Tally()


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What the edge was told of a target, and since when it is told this health."""

    health: TargetHealth
    since_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How a target does now. ``health`` is None where too little was seen, ``since_ms`` where the edge was not told of
    this health, and ``outcomes`` are of the whole window."""

    target: Target
    health: Health | None
    since_ms: int | None
    outcomes: Mapping[str, int]
    first_event_ms: int | None
    tokens_per_second: int | None

    @property
    def record(self) -> TargetHealth | None:
        """What the edge should be told; nothing where nothing is known."""
        if self.health is None:
            return None
        return TargetHealth(
            provider=self.target[0],
            model=self.target[1],
            health=self.health,
            first_event_ms=self.first_event_ms,
            tokens_per_second=self.tokens_per_second,
        )


def tally(records: Iterable[UsageRecord], *, ended_after_ms: int) -> dict[Target, Tally]:
    """Count the attempts of requests that ended after that time: what is reported late says nothing about now."""
    tallies: dict[Target, Tally] = {}
    for record in records:
        if record.started_at_ms + record.total_ms <= ended_after_ms:
            continue
        for attempt in record.attempts:
            found = tallies.setdefault((attempt.provider, attempt.model), Tally())
            found.outcomes[attempt.outcome] += 1
            if attempt.outcome == OK and record.stream and record.first_event_ms is not None:
                # The request's own time includes attempts before this one, and this one's may include all of an
                # answer that was held back until it was whole.
                found.first_event_ms.append(min(attempt.ms, record.first_event_ms))
                found.tokens_per_second.extend(_speed(record, record.total_ms - record.first_event_ms))
    return tallies


def report(target: Target, slices: Sequence[Tally], before: Published | None) -> Report:
    """Judge one target by its tallies, the newest slice first; ``before`` is what the edge was told last."""
    window = Tally()
    for tallied in slices:
        window.add(tallied)
    health = judge(slices, None if before is None else before.health.health)
    return Report(
        target=target,
        health=health,
        since_ms=before.since_ms if before is not None and before.health.health == health else None,
        outcomes=dict(sorted(window.outcomes.items())),
        first_event_ms=_median(window.first_event_ms),
        tokens_per_second=_median(window.tokens_per_second),
    )


def judge(slices: Sequence[Tally], before: Health | None) -> Health | None:
    """The health by the newest evidence, or None where there is too little."""
    requests, faults = _evidence(slices)
    if requests < REQUESTS_MIN:
        return None
    down_percent = DOWN_UNTIL_PERCENT if before == "down" else DOWN_FROM_PERCENT
    if faults * 100 >= down_percent * requests and not _has_recovered(slices):
        return "down"
    degraded_percent = DEGRADED_FROM_PERCENT if before in (None, "healthy") else DEGRADED_UNTIL_PERCENT
    if faults >= FAULTS_MIN and faults * 100 >= degraded_percent * requests:
        return "degraded"
    return "healthy"


def differs(before: TargetHealth | None, now: TargetHealth | None) -> bool:
    """Whether the edge should hear of it: another state (unknown counts as healthy), or a median that has moved."""
    if _state(before) != _state(now):
        return True
    if now is None:
        return False
    if before is None:
        return not (now.first_event_ms is now.tokens_per_second is None)
    return _moved(before.first_event_ms, now.first_event_ms) or _moved(before.tokens_per_second, now.tokens_per_second)


def _evidence(slices: Sequence[Tally]) -> tuple[int, int]:
    """Requests and faults to judge by."""
    requests = faults = 0
    for age, tallied in enumerate(slices[:EVIDENCE_SLICES]):
        if age >= RECENT_SLICES and requests >= EVIDENCE_REQUESTS:
            break
        requests += tallied.requests
        faults += tallied.faults
    return requests, faults


def _has_recovered(slices: Sequence[Tally]) -> bool:
    answers = 0
    for tallied in slices:
        if tallied.faults:
            break
        answers += tallied.answers
    return answers >= RECOVERED_ANSWERS


def _speed(record: UsageRecord, generation_ms: int) -> list[int]:
    tokens = record.usage.completion_tokens
    if record.estimated or tokens < GENERATION_MIN_TOKENS or generation_ms < GENERATION_MIN_MS:
        return []
    return [tokens * 1000 // generation_ms]


def _median(values: Sequence[int]) -> int | None:
    return median_low(values) if len(values) >= MEASURED_MIN else None


def _state(health: TargetHealth | None) -> Health:
    return "healthy" if health is None else health.health


def _moved(before: int | None, now: int | None) -> bool:
    if now is None:
        return False
    return before is None or abs(now - before) * 100 > MEDIAN_CHANGE_PERCENT * before
