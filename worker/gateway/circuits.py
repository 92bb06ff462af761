"""Which targets one isolate has found broken: a circuit breaker for each provider's model.

Closed, it asks the target as the catalogue orders. After some failures in a row that were the target's own it opens,
and the target comes behind all others for a while. Then one call may probe it; success closes it, failure opens it for
twice as long. An open target is never dropped: where nothing else answers, it is asked after all.
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
    """``open_until_ms`` is 0 while it is closed; ``open_ms`` is how long it opened the last time."""

    failures: int = 0
    open_ms: int = 0
    open_until_ms: int = 0


class Circuits:
    """The circuits of one isolate. Times come in as arguments."""

    def __init__(self) -> None:
        self._circuits: dict[tuple[str, str], Circuit] = {}

    def order(self, candidates: Sequence[Candidate], *, now_ms: int) -> tuple[Candidate, ...]:
        """The candidates, those with an open circuit behind the others. One whose time has come is let through once:
        whoever orders it is expected to ask it."""
        if not self._circuits:
            return tuple(candidates)
        return tuple(sorted(candidates, key=lambda candidate: self._is_avoided(candidate, now_ms)))

    def failed(self, candidate: Candidate, cause: Cause, *, now_ms: int) -> None:
        if cause in NOT_ITS_FAULT:
            return
        if len(self._circuits) >= MAX_CIRCUITS:
            self._circuits.clear()
        circuit = self._circuits.setdefault(_name(candidate), Circuit())
        circuit.failures += 1
        if circuit.open_until_ms or circuit.failures >= FAILURES_TO_OPEN or cause in OWN_ACCOUNT:
            circuit.open_ms = min(max(OPEN_MS, circuit.open_ms * 2), MAX_OPEN_MS)
            circuit.open_until_ms = now_ms + circuit.open_ms

    def succeeded(self, candidate: Candidate) -> None:
        self._circuits.pop(_name(candidate), None)

    def _is_avoided(self, candidate: Candidate, now_ms: int) -> bool:
        circuit = self._circuits.get(_name(candidate))
        if circuit is None or not circuit.open_until_ms:
            return False
        if now_ms < circuit.open_until_ms:
            return True
        circuit.open_until_ms = now_ms + PROBE_MS
        return False


def _name(candidate: Candidate) -> tuple[str, str]:
    return candidate.provider.name, candidate.target.model
