"""Which targets one isolate has found broken: a circuit breaker for each provider's model.

Closed, it asks the target in its turn. After some failures in a row that were the target's own it opens, and the target
comes behind all others for a while. Then one call may probe it; success closes it, failure opens it for twice as long.
An open target is never dropped: where nobody else answers it is asked after all, and its success closes it as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.causes import Cause
from gateway.routing import Candidate

FAILURES_TO_OPEN = 3
OPEN_MS = 10_000
MAX_OPEN_MS = 300_000
PROBE_MS = 30_000
"""How long a probe may take before another call may probe."""

MAX_CIRCUITS = 1_000

OWN_ACCOUNT = frozenset({Cause.OUR_KEY, Cause.OUR_BALANCE})
# What the request itself caused says nothing about the target.
NOT_ITS_FAULT = frozenset({Cause.BAD_REQUEST, Cause.CONTENT_FILTER, Cause.CONTEXT_LENGTH})


@dataclass(slots=True, kw_only=True)
class Circuit:
    """``open_until_ms`` is 0 while it is closed; from then on it is half-open, and ``probe_until_ms`` is when the probe
    that is under way counts as lost. ``open_ms`` is how long it opened the last time."""

    failures: int = 0
    open_ms: int = 0
    open_until_ms: int = 0
    probe_until_ms: int = 0

    @property
    def is_closed(self) -> bool:
        return self.open_until_ms == 0

    def may_be_probed(self, now_ms: int) -> bool:
        return now_ms >= self.open_until_ms and now_ms >= self.probe_until_ms

    def open(self, now_ms: int) -> None:
        self.open_ms = min(max(OPEN_MS, self.open_ms * 2), MAX_OPEN_MS)
        self.open_until_ms = now_ms + self.open_ms
        self.probe_until_ms = 0


class Circuits:
    """The circuits of one isolate, of targets that failed last. Times come in as arguments."""

    def __init__(self) -> None:
        self._circuits: dict[tuple[str, str], Circuit] = {}

    def order(self, candidates: Sequence[Candidate], *, now_ms: int) -> tuple[Candidate, ...]:
        """The candidates, those whose circuit is not closed behind the others. Who would be the first but for that may
        be probed when its time has come, by this call alone, which is expected to ask it."""
        if not self._circuits:
            return tuple(candidates)
        ready: list[Candidate] = []
        avoided: list[Candidate] = []
        for candidate in candidates:
            circuit = self._circuits.get(_name(candidate))
            if circuit is None or circuit.is_closed:
                ready.append(candidate)
            elif not ready and circuit.may_be_probed(now_ms):
                circuit.probe_until_ms = now_ms + PROBE_MS
                ready.append(candidate)
            else:
                avoided.append(candidate)
        return (*ready, *avoided)

    def failed(self, candidate: Candidate, cause: Cause, *, now_ms: int) -> None:
        if candidate.provider.is_drill:
            return
        circuit = self._circuit(_name(candidate))
        if cause in NOT_ITS_FAULT:
            circuit.probe_until_ms = 0  # the next call may find out
        elif circuit.is_closed:
            circuit.failures += 1
            if circuit.failures >= FAILURES_TO_OPEN or cause in OWN_ACCOUNT:
                circuit.open(now_ms)
        elif now_ms >= circuit.open_until_ms:
            circuit.open(now_ms)

    def succeeded(self, candidate: Candidate) -> None:
        self._circuits.pop(_name(candidate), None)

    def _circuit(self, name: tuple[str, str]) -> Circuit:
        if name not in self._circuits and len(self._circuits) >= MAX_CIRCUITS:
            del self._circuits[next(iter(self._circuits))]
        return self._circuits.setdefault(name, Circuit())


def _name(candidate: Candidate) -> tuple[str, str]:
    return candidate.provider.name, candidate.target.model
