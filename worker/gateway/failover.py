"""Try the candidates of a call, in order, until one has really begun to answer: the commit point.

Nothing is promised to the caller before it: an error in a 200, an error as the first event, an empty answer or silence
all count as failures, and the next target is asked. What a failure means is decided by ``judge``, from its cause, its
status and its Retry-After alone.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from gateway.attempt import AttemptFailed, Committed, attempt
from gateway.causes import Cause
from gateway.errors import (
    ContentFilter,
    ContextLengthExceeded,
    InvalidRequest,
    Refusal,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamTimeout,
)
from gateway.ports import Ports
from gateway.records import Attempt
from gateway.routing import Call, Candidate, deadline_ms

MAX_ATTEMPTS = 12
AGAIN_AFTER_MS = 250
"""The pause before a target that answered 500 is asked once more: most are gone by then."""

SHORT_RETRY_MS = 2_000
"""The longest Retry-After that is waited for, and only where nobody else is left to ask."""

KEY_LIMITED_MS = 10_000
MAX_KEY_LIMITED_MS = 60_000
KEY_REFUSED_MS = 300_000
"""How long an API key of ours rests: one that is limited by default and at most, one that is refused or unpaid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TryNext:
    """Ask the next candidate, of those that take more than ``context_length`` tokens."""

    context_length: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TryAgain:
    """Ask the same target once more."""

    after_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TryNextKey:
    """Ask the same target with another key, where there is one that does not rest; this one rests."""

    rest_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """No other target would answer differently."""


Decision = TryNext | TryAgain | TryNextKey | GiveUp


def judge(failed: AttemptFailed, candidate: Candidate, *, is_second: bool, is_last: bool) -> Decision:
    """What a failed attempt means. ``is_second``: this target was asked again already; ``is_last``: nobody else is
    left. What the request itself caused would fail everywhere; all else is the target's."""
    match failed.cause:
        case Cause.CONTENT_FILTER | Cause.BAD_REQUEST:
            return GiveUp()
        case Cause.CONTEXT_LENGTH:
            return TryNext(context_length=candidate.context_length)
        case Cause.OUR_KEY | Cause.OUR_BALANCE:
            return TryNextKey(rest_ms=KEY_REFUSED_MS)
        case Cause.RATE_LIMIT | Cause.OVERLOADED:
            return _judge_busy(failed, may_wait=is_last and not is_second)
        case Cause.SERVER_ERROR if failed.status == 500 and not is_second:
            return TryAgain(after_ms=AGAIN_AFTER_MS)
        case (
            Cause.CONNECT
            | Cause.TIMEOUT
            | Cause.SERVER_ERROR
            | Cause.MODEL_MISSING
            | Cause.EMPTY_ANSWER
            | Cause.CUT_STREAM
            | Cause.MALFORMED
        ):
            return TryNext()
        case _:
            assert_never(failed.cause)


def _judge_busy(failed: AttemptFailed, *, may_wait: bool) -> Decision:
    after_ms = retry_after_ms(failed.retry_after)
    if may_wait and after_ms is not None and after_ms <= SHORT_RETRY_MS:
        return TryAgain(after_ms=after_ms)
    if failed.cause is Cause.OVERLOADED:
        return TryNext()
    return TryNextKey(rest_ms=min(KEY_LIMITED_MS if after_ms is None else after_ms, MAX_KEY_LIMITED_MS))


def retry_after_ms(text: str | None) -> int | None:
    """A Retry-After in seconds, whole or not; None for a date and for what is no number."""
    return int(float(text) * 1000) if text is not None and re.fullmatch(r"[0-9]{1,6}(\.[0-9]+)?", text) else None


class AllFailed(Exception):
    """Every attempt failed; ``refusal`` is what the caller is told."""

    def __init__(self, refusal: Refusal, attempts: tuple[Attempt, ...]) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal
        self.attempts = attempts


async def forward(call: Call, candidates: Sequence[Candidate], ports: Ports, *, max_tokens: int | None) -> Committed:
    """The first target that commits; raises AllFailed."""
    search = _Search(call, ports, max_tokens=max_tokens, until_ms=deadline_ms(call, candidates))
    left = list(ports.circuits.order(candidates, now_ms=ports.now_ms()))
    while left and not search.is_over:
        candidate = left.pop(0)
        committed = await search.ask(candidate, is_last=not left)
        if committed is not None:
            return replace(committed, attempts=tuple(search.attempts))
        left = [other for other in left if other.context_length > search.least_context]
    raise AllFailed(refusal_for(search.failures), tuple(search.attempts))


class _Search:
    """The attempts of one call so far, and what they say about whom to ask next."""

    def __init__(self, call: Call, ports: Ports, *, max_tokens: int | None, until_ms: int) -> None:
        self.attempts: list[Attempt] = []
        self.failures: list[AttemptFailed] = []
        self.least_context = 0
        self._call = call
        self._ports = ports
        self._max_tokens = max_tokens
        self._until_ms = until_ms
        self._has_given_up = False

    @property
    def is_over(self) -> bool:
        return self._has_given_up or len(self.attempts) >= MAX_ATTEMPTS

    async def ask(self, candidate: Candidate, *, is_last: bool) -> Committed | None:
        """The answer of one target, asked with each key that does not rest, and once more where that is best."""
        keys = self._keys(candidate)
        is_second = False
        while not self.is_over:
            answer = await self._attempt(candidate, keys[0])
            if isinstance(answer, Committed):
                self._ports.circuits.succeeded(candidate)
                return answer
            decision = judge(answer, candidate, is_second=is_second, is_last=is_last and len(keys) == 1)
            match decision:
                case TryAgain(after_ms=after_ms):
                    is_second = True
                    await self._ports.pause(after_ms)
                case TryNextKey(rest_ms=rest_ms) if len(keys) > 1:
                    self._rest(keys.pop(0), rest_ms)
                case TryNextKey() | TryNext() | GiveUp():
                    self._leave(candidate, answer, decision, keys[0])
                    return None
                case _:
                    assert_never(decision)
        return None

    def _keys(self, candidate: Candidate) -> list[str | None]:
        secret = self._ports.secret(candidate.provider.api_key_env) if candidate.provider.api_key_env else None
        if secret is None:
            return [None]
        return list(self._ports.key_pool.keys(secret, now_ms=self._ports.now_ms()))

    async def _attempt(self, candidate: Candidate, key: str | None) -> Committed | AttemptFailed:
        started_ms = self._ports.now_ms()
        try:
            committed = await attempt(
                self._call, candidate, self._ports, key=key, max_tokens=self._max_tokens, until_ms=self._until_ms
            )
        except AttemptFailed as failed:
            self.failures.append(failed)
            self._note(candidate, failed.cause, failed.status, started_ms)
            return failed
        self._note(candidate, "ok", committed.reply.status, started_ms)
        return committed

    def _note(self, candidate: Candidate, outcome: str, status: int, started_ms: int) -> None:
        self.attempts.append(
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
        if isinstance(decision, TryNext):
            self.least_context = max(self.least_context, decision.context_length)
        self._has_given_up = isinstance(decision, GiveUp)

    def _rest(self, key: str | None, rest_ms: int) -> None:
        if key is not None:
            self._ports.key_pool.rest(key, until_ms=self._ports.now_ms() + rest_ms)


def refusal_for(failures: Sequence[AttemptFailed]) -> Refusal:
    """What the caller is told: what the request itself caused, else the kindest of what the targets said, with the
    least time to wait. Our key and our money at a provider are never the caller's."""
    for failure in failures:
        match failure.cause:
            case Cause.CONTENT_FILTER:
                return ContentFilter(failure.message or "The provider's content filter refused this request.")
            case Cause.CONTEXT_LENGTH:
                return ContextLengthExceeded(failure.message or "The request exceeds the model's context length.")
            case Cause.BAD_REQUEST:
                return InvalidRequest(failure.message or "The provider refused the request's parameters.")
            case _:
                continue
    causes = {failure.cause for failure in failures}
    if causes & {Cause.RATE_LIMIT, Cause.OVERLOADED}:
        return UpstreamOverloaded(
            "The model is overloaded at its providers; please try again.", headers=_retry_after(failures)
        )
    if Cause.TIMEOUT in causes:
        return UpstreamTimeout("No provider of the model answered in time.")
    return UpstreamError("No provider of the model could answer.")


def _retry_after(failures: Sequence[AttemptFailed]) -> dict[str, str]:
    given = [text for failure in failures if (text := failure.retry_after) is not None]
    known = [(ms, text) for text in given if (ms := retry_after_ms(text)) is not None]
    return {"retry-after": min(known)[1]} if known else {"retry-after": given[0]} if given else {}
