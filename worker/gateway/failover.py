"""Try the candidates of a call, in order, until one has really begun to answer: the commit point.

Nothing is promised to the caller before it: an error in a 200, an error as the first event, an empty answer or silence
all count as failures, and the next target is asked.
"""

from collections.abc import Sequence
from typing import assert_never

from gateway.attempt import attempt
from gateway.errors import Refusal
from gateway.frozen import frozen
from gateway.judging import Decision, GiveUp, TryAgain, TryLarger, TryNext, TryNextKey, judge, refusal_for
from gateway.ports import Ports
from gateway.records import Attempt
from gateway.replies import Answer, AttemptFailed
from gateway.routing import Call, Candidate, deadline_ms

MAX_ATTEMPTS = 12


@frozen
class Committed:
    """A target that has begun to answer, what it has said, how it was asked, and all that was tried up to it."""

    candidate: Candidate
    attempts: tuple[Attempt, ...]
    max_tokens: int | None
    first_event_ms: int
    answer: Answer


class AllFailed(Exception):
    """Every attempt failed; ``refusal`` is what the caller is told."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal


async def forward(
    call: Call, candidates: Sequence[Candidate], ports: Ports, *, attempts: list[Attempt], max_tokens: int | None
) -> Committed:
    """The first target that commits; raises AllFailed. ``attempts`` grows by each that was made."""
    until_ms = deadline_ms(call, candidates)
    search = _Search(call, ports, attempts=attempts, max_tokens=max_tokens, until_ms=until_ms)
    left = list(ports.circuits.order(candidates, now_ms=ports.now_ms()))
    while left and not search.is_over:
        candidate = left.pop(0)
        committed = await search.ask(candidate, is_last=not left)
        if committed is not None:
            return committed
        left = [other for other in left if other.context_length > search.least_context]
    raise AllFailed(refusal_for(search.failures))


class _Search:
    """The attempts of one call so far, and what they say about whom to ask next."""

    def __init__(
        self, call: Call, ports: Ports, *, attempts: list[Attempt], max_tokens: int | None, until_ms: int
    ) -> None:
        self.failures: list[tuple[Candidate, AttemptFailed]] = []
        self.least_context = 0
        self._call = call
        self._attempts = attempts
        self._ports = ports
        self._max_tokens = max_tokens
        self._until_ms = until_ms
        self._has_given_up = False

    @property
    def is_over(self) -> bool:
        is_late = self._ports.now_ms() >= self._until_ms
        return self._has_given_up or is_late or len(self._attempts) >= MAX_ATTEMPTS

    async def ask(self, candidate: Candidate, *, is_last: bool) -> Committed | None:
        """The answer of one target, asked with each key that does not rest, and once more where that is best."""
        keys = self._keys(candidate)
        is_second = False
        while not self.is_over:
            answer = await self._attempt(candidate, keys[0])
            if isinstance(answer, Committed):
                return answer
            decision = judge(answer, candidate, is_second=is_second, is_last=is_last and len(keys) == 1)
            match decision:
                case TryAgain(after_ms=after_ms):
                    is_second = True
                    await self._ports.pause(after_ms)
                case TryNextKey(rest_ms=rest_ms) if len(keys) > 1:
                    self._rest(keys.pop(0), rest_ms)
                case TryNextKey() | TryNext() | TryLarger() | GiveUp():
                    self._leave(candidate, answer, decision, keys[0])
                    return None
                case _:
                    assert_never(decision)
        return None

    def _keys(self, candidate: Candidate) -> list[str | None]:
        secret = self._ports.secret(candidate.provider.api_key_env) if candidate.provider.api_key_env else None
        if secret is None:
            return [None]
        return list(self._ports.key_pool.keys(secret, now_ms=self._ports.now_ms())) or [None]

    async def _attempt(self, candidate: Candidate, key: str | None) -> Committed | AttemptFailed:
        started_ms = self._ports.now_ms()
        try:
            answer, first_event_ms = await attempt(
                self._call, candidate, self._ports, key=key, max_tokens=self._max_tokens, until_ms=self._until_ms
            )
        except AttemptFailed as failed:
            self.failures.append((candidate, failed))
            self._note(candidate, failed.cause, failed.status, started_ms)
            return failed
        self._note(candidate, "ok", 200, started_ms)
        return Committed(
            candidate=candidate,
            attempts=tuple(self._attempts),
            max_tokens=self._max_tokens,
            first_event_ms=first_event_ms,
            answer=answer,
        )

    def _note(self, candidate: Candidate, outcome: str, status: int, started_ms: int) -> None:
        self._attempts.append(
            Attempt(
                provider=candidate.provider.name,
                model=candidate.target.model,
                outcome=outcome,
                status=status,
                ms=self._ports.now_ms() - started_ms,
            )
        )

    def _leave(self, candidate: Candidate, failed: AttemptFailed, decision: Decision, key: str | None) -> None:
        """No more of this target in this call."""
        self._ports.circuits.failed(candidate, failed.cause, now_ms=self._ports.now_ms())
        if isinstance(decision, TryNextKey):
            self._rest(key, decision.rest_ms)
        if isinstance(decision, TryLarger):
            self.least_context = max(self.least_context, decision.context_length)
        self._has_given_up = isinstance(decision, GiveUp)

    def _rest(self, key: str | None, rest_ms: int) -> None:
        if key is not None:
            self._ports.key_pool.rest(key, until_ms=self._ports.now_ms() + rest_ms)
