"""What a failed attempt means: whom to ask next, and in the end what the caller is told. All of it is pure."""

import re
from collections.abc import Sequence
from typing import assert_never

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
from gateway.frozen import frozen
from gateway.replies import AttemptFailed
from gateway.routing import Candidate

AGAIN_AFTER_MS = 250
"""The pause before the same target is asked once more: most passing faults are gone by then."""

SHORT_RETRY_MS = 2_000
"""The longest Retry-After that is waited for, and only where nobody else is left to ask."""

KEY_LIMITED_MS = 10_000
MAX_KEY_LIMITED_MS = 60_000
KEY_REFUSED_MS = 300_000
"""How long an API key of ours rests: one that is limited by default and at most, one that is refused or unpaid."""


@frozen
class TryNext:
    """Ask the next candidate."""


@frozen
class TryLarger:
    """Ask the next candidate of those that take more than ``context_length`` tokens."""

    context_length: int


@frozen
class TryNextKey:
    """Ask the same target with another key, where there is one that does not rest; this one rests."""

    rest_ms: int


@frozen
class TryAgain:
    """Ask the same target once more."""

    after_ms: int


@frozen
class GiveUp:
    """No other target would answer differently."""


Decision = TryNext | TryLarger | TryNextKey | TryAgain | GiveUp


def judge(failed: AttemptFailed, candidate: Candidate, *, is_second: bool, is_last: bool) -> Decision:
    """What a failed attempt means, from its cause, its status and its Retry-After alone.

    ``is_second``: this target was asked again already; ``is_last``: nobody else is left, and no other key.
    """
    match failed.cause:
        case Cause.CONTENT_FILTER | Cause.BAD_REQUEST:
            return GiveUp()
        case Cause.CONTEXT_LENGTH:
            return TryLarger(context_length=candidate.context_length)
        case Cause.OUR_KEY | Cause.OUR_BALANCE:
            return TryNextKey(rest_ms=KEY_REFUSED_MS)
        case Cause.RATE_LIMIT | Cause.OVERLOADED:
            return _judge_busy(failed, may_wait=is_last and not is_second)
        case Cause.MODEL_MISSING:
            return TryNext()
        case (
            Cause.CONNECT | Cause.TIMEOUT | Cause.SERVER_ERROR | Cause.EMPTY_ANSWER | Cause.CUT_STREAM | Cause.MALFORMED
        ):
            passes = is_last or (failed.cause is Cause.SERVER_ERROR and failed.status == 500)
            return TryAgain(after_ms=AGAIN_AFTER_MS) if passes and not is_second else TryNext()
        case _:
            assert_never(failed.cause)


def _judge_busy(failed: AttemptFailed, *, may_wait: bool) -> Decision:
    after_ms = retry_after_ms(failed.retry_after)
    if may_wait and after_ms is not None and after_ms <= SHORT_RETRY_MS:
        return TryAgain(after_ms=after_ms)
    if failed.cause is Cause.RATE_LIMIT:
        return TryNextKey(rest_ms=min(KEY_LIMITED_MS if after_ms is None else after_ms, MAX_KEY_LIMITED_MS))
    return TryAgain(after_ms=AGAIN_AFTER_MS) if may_wait and failed.retry_after is None else TryNext()


def retry_after_ms(text: str | None) -> int | None:
    """A Retry-After in seconds, whole or not; None for a date and for what is no number."""
    return int(float(text) * 1000) if text is not None and re.fullmatch(r"[0-9]{1,6}(\.[0-9]+)?", text) else None


Failures = Sequence[tuple[Candidate, AttemptFailed]]


def refusal_for(failures: Failures) -> Refusal:
    """What the caller is told, where all failed: what the request itself caused, for that can be mended; else the
    kindest of what the targets said, with the least time to wait, for one of them may answer then. Our key and our
    money at a provider are never the caller's."""
    if (refusal := _caused_by_the_request(failures)) is not None:
        return refusal
    causes = {failed.cause for _, failed in failures}
    if causes & {Cause.RATE_LIMIT, Cause.OVERLOADED}:
        return UpstreamOverloaded(
            "The model is overloaded at its providers; please try again.", headers=_retry_after(failures)
        )
    if Cause.TIMEOUT in causes:
        return UpstreamTimeout("No provider of the model answered in time.")
    return UpstreamError("No provider of the model could answer.")


def _caused_by_the_request(failures: Failures) -> Refusal | None:
    for candidate, failed in failures:
        match failed.cause:
            case Cause.CONTENT_FILTER:
                return ContentFilter(failed.message or "The provider's content filter refused this request.")
            case Cause.BAD_REQUEST:
                return InvalidRequest(failed.message or "The provider refused the request's parameters.")
            case Cause.CONTEXT_LENGTH if not _is_larger_left(candidate, failures):
                return ContextLengthExceeded(failed.message or "The request exceeds the model's context length.")
            case _:
                continue
    return None


def _is_larger_left(candidate: Candidate, failures: Failures) -> bool:
    """Whether a target that takes more than this one failed for another reason: it may take the request later."""
    return any(
        other.context_length > candidate.context_length and failed.cause is not Cause.CONTEXT_LENGTH
        for other, failed in failures
    )


def _retry_after(failures: Failures) -> dict[str, str]:
    given = [text for _, failed in failures if (text := failed.retry_after) is not None]
    known = [(ms, text) for text in given if (ms := retry_after_ms(text)) is not None]
    return {"retry-after": min(known)[1]} if known else {"retry-after": given[0]} if given else {}
