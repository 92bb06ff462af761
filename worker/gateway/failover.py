"""Try the candidates of a call, in order, until one has really begun to answer: the commit point.

Nothing is promised to the caller before it: an error in a 200, an error as the first event, an empty answer or silence
all count as failures, and the next target is asked. What a failure means is decided by ``judge``, from its cause alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
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

MAX_ATTEMPTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TryNext:
    """Ask the next candidate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """No other target would answer differently."""


def judge(cause: Cause) -> TryNext | GiveUp:
    """What a failed attempt means. What the request itself caused would fail everywhere; all else is the target's."""
    match cause:
        case Cause.CONTENT_FILTER | Cause.BAD_REQUEST | Cause.CONTEXT_LENGTH:
            return GiveUp()
        case (
            Cause.CONNECT
            | Cause.TIMEOUT
            | Cause.RATE_LIMIT
            | Cause.OVERLOADED
            | Cause.SERVER_ERROR
            | Cause.OUR_KEY
            | Cause.OUR_BALANCE
            | Cause.MODEL_MISSING
            | Cause.EMPTY_ANSWER
            | Cause.CUT_STREAM
            | Cause.MALFORMED
        ):
            return TryNext()
        case _:
            assert_never(cause)


class AllFailed(Exception):
    """Every attempt failed; ``refusal`` is what the caller is told."""

    def __init__(self, refusal: Refusal, attempts: tuple[Attempt, ...]) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal
        self.attempts = attempts


async def forward(call: Call, candidates: Sequence[Candidate], ports: Ports, *, max_tokens: int | None) -> Committed:
    """The first target that commits; raises AllFailed."""
    attempts: list[Attempt] = []
    failure = AttemptFailed(Cause.CONNECT)
    until_ms = deadline_ms(call, candidates)
    for candidate in candidates[:MAX_ATTEMPTS]:
        started_ms = ports.now_ms()
        try:
            committed = await attempt(call, candidate, ports, max_tokens=max_tokens, until_ms=until_ms)
        except AttemptFailed as failed:
            failure = failed
            attempts.append(_attempt_line(candidate, failed.cause, failed.status, ports.now_ms() - started_ms))
            if isinstance(judge(failed.cause), GiveUp):
                break
        else:
            attempts.append(_attempt_line(candidate, "ok", committed.reply.status, ports.now_ms() - started_ms))
            return _with_attempts(committed, attempts)
    raise AllFailed(refusal_for(failure), tuple(attempts))


def refusal_for(failure: AttemptFailed) -> Refusal:
    """What the caller is told of the last failure. Our key and our money at a provider are never the caller's."""
    headers = {} if failure.retry_after is None else {"retry-after": failure.retry_after}
    match failure.cause:
        case Cause.CONTENT_FILTER:
            return ContentFilter(failure.message or "The provider's content filter refused this request.")
        case Cause.CONTEXT_LENGTH:
            return ContextLengthExceeded(failure.message or "The request exceeds the model's context length.")
        case Cause.BAD_REQUEST:
            return InvalidRequest(failure.message or "The provider refused the request's parameters.")
        case Cause.RATE_LIMIT | Cause.OVERLOADED:
            return UpstreamOverloaded("The model is overloaded at its providers; please try again.", headers=headers)
        case Cause.TIMEOUT:
            return UpstreamTimeout("No provider of the model answered in time.")
        case _:
            return UpstreamError("No provider of the model could answer.")


def _attempt_line(candidate: Candidate, outcome: str, status: int, ms: int) -> Attempt:
    return Attempt(
        provider=candidate.provider.name, model=candidate.target.model, outcome=outcome, status=status, ms=ms
    )


def _with_attempts(committed: Committed, attempts: list[Attempt]) -> Committed:
    return Committed(
        candidate=committed.candidate,
        attempts=tuple(attempts),
        first_event_ms=committed.first_event_ms,
        reply=committed.reply,
        document=committed.document,
        head=committed.head,
        rest=committed.rest,
        head_facts=committed.head_facts,
    )
