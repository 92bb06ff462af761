"""What a section found: figures per peer, and targets that are met or not."""

import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

ROUNDS = 2
"""Of the cases that targets are taken from; the others are measured once."""


class HasRounds(Protocol):
    @property
    def rounds(self) -> int: ...


C = TypeVar("C", bound=HasRounds)


def round_by_round(cases: Sequence[C]) -> Iterator[C]:
    """Each case as often as it has rounds, and all that have one more in each round."""
    for number in range(max(case.rounds for case in cases)):
        yield from (case for case in cases if number < case.rounds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One figure; its unit is the end of ``metric``'s name."""

    case: str
    peer: str
    metric: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """``measured`` against ``limit``, both in ``unit``."""

    name: str
    bound: Literal["at most", "at least"]
    limit: float
    measured: float
    unit: str

    @property
    def met(self) -> bool:
        return self.measured <= self.limit if self.bound == "at most" else self.measured >= self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """All that one section of a run found."""

    name: str
    measurements: tuple[Measurement, ...]
    targets: tuple[Target, ...]


@dataclass(slots=True)
class Rounds:
    """Figures of one or more rounds. In each of them every peer has its turn, so a ratio is taken within a round."""

    _values: dict[tuple[str, str, str], list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, case: str, peer: str, **metrics: float) -> None:
        for metric, value in metrics.items():
            self._values[case, peer, metric].append(value)

    def values(self, case: str, peer: str, metric: str) -> list[float]:
        return self._values[case, peer, metric]

    def ratio(self, case: str, metric: str, peer: str, base: str) -> float:
        """The median of the rounds' ratios."""
        pairs = zip(self._values[case, peer, metric], self._values[case, base, metric], strict=True)
        return statistics.median(value / of_base for value, of_base in pairs)

    def difference(self, case: str, metric: str, peer: str, base: str) -> float:
        """The median of the rounds' differences."""
        pairs = zip(self._values[case, peer, metric], self._values[case, base, metric], strict=True)
        return statistics.median(value - of_base for value, of_base in pairs)

    def has(self, case: str, peer: str) -> bool:
        return any(known[:2] == (case, peer) for known in self._values)

    def measurements(self) -> Iterator[Measurement]:
        for (case, peer, metric), values in self._values.items():
            yield Measurement(case=case, peer=peer, metric=metric, value=statistics.median(values))
