"""What a failed attempt means, case by case, and what the caller is told when all have failed."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.causes import Cause
from gateway.judging import (
    AGAIN_AFTER_MS,
    KEY_LIMITED_MS,
    KEY_REFUSED_MS,
    MAX_KEY_LIMITED_MS,
    SHORT_RETRY_MS,
    Decision,
    GiveUp,
    TryAgain,
    TryLarger,
    TryNext,
    TryNextKey,
    judge,
    refusal_for,
)
from gateway.replies import AttemptFailed
from gateway.routing import Candidate
from tests.unit.gateway.catalogues import FLAT, PROVIDERS, model, target

AGAIN = TryAgain(after_ms=AGAIN_AFTER_MS)
PASSING = [
    Cause.CONNECT,
    Cause.TIMEOUT,
    Cause.SERVER_ERROR,
    Cause.EMPTY_ANSWER,
    Cause.CUT_STREAM,
    Cause.MALFORMED,
]


def candidate(*, context_length: int = 8_000) -> Candidate:
    served = replace(target("mirror", "m"), context_length=context_length)
    return Candidate(model=model("deepseek-chat", served), target=served, provider=PROVIDERS["mirror"], price=FLAT)


def judged(
    cause: Cause, *, is_second: bool = False, is_last: bool = False, status: int = 0, retry_after: str | None = None
) -> Decision:
    failed = AttemptFailed(cause, status=status, retry_after=retry_after)
    return judge(failed, candidate(), is_second=is_second, is_last=is_last)


@pytest.mark.parametrize("is_last", [False, True])
@pytest.mark.parametrize(
    ("cause", "decision"),
    [
        (Cause.CONTENT_FILTER, GiveUp()),
        (Cause.BAD_REQUEST, GiveUp()),
        (Cause.CONTEXT_LENGTH, TryLarger(context_length=8_000)),
        (Cause.MODEL_MISSING, TryNext()),
        (Cause.OUR_KEY, TryNextKey(rest_ms=KEY_REFUSED_MS)),
        (Cause.OUR_BALANCE, TryNextKey(rest_ms=KEY_REFUSED_MS)),
        (Cause.RATE_LIMIT, TryNextKey(rest_ms=KEY_LIMITED_MS)),
    ],
)
def test_what_does_not_pass_is_never_tried_again(cause: Cause, decision: Decision, is_last: bool) -> None:
    assert judged(cause, is_last=is_last) == decision


@pytest.mark.parametrize("cause", [*PASSING, Cause.OVERLOADED])
def test_a_fault_that_may_pass_is_tried_once_more_only_where_nobody_else_is_left(cause: Cause) -> None:
    assert judged(cause) == TryNext()
    assert judged(cause, is_last=True) == AGAIN
    assert judged(cause, is_last=True, is_second=True) == TryNext()


def test_a_500_is_tried_once_more_wherever_it_comes() -> None:
    assert judged(Cause.SERVER_ERROR, status=500) == AGAIN
    assert judged(Cause.SERVER_ERROR, status=500, is_second=True) == TryNext()
    assert judged(Cause.SERVER_ERROR, status=502) == TryNext()


@pytest.mark.parametrize("cause", [Cause.RATE_LIMIT, Cause.OVERLOADED])
def test_a_short_retry_after_is_waited_for_only_where_nobody_else_is_left(cause: Cause) -> None:
    assert judged(cause, is_last=True, retry_after="2") == TryAgain(after_ms=SHORT_RETRY_MS)
    assert not isinstance(judged(cause, is_last=True, retry_after="2.1"), TryAgain)
    assert not isinstance(judged(cause, is_last=True, is_second=True, retry_after="2"), TryAgain)
    assert not isinstance(judged(cause, retry_after="1"), TryAgain)


@pytest.mark.parametrize(("seconds", "rest_ms"), [("30", 30_000), ("60", 60_000), ("61", MAX_KEY_LIMITED_MS)])
def test_a_limited_key_rests_as_long_as_the_provider_says_within_a_bound(seconds: str, rest_ms: int) -> None:
    assert judged(Cause.RATE_LIMIT, retry_after=seconds) == TryNextKey(rest_ms=rest_ms)


def told(*failures: tuple[Cause, dict[str, Any]] | Cause) -> tuple[int, str, str | None]:
    """Status, code and Retry-After."""
    each = [failure if isinstance(failure, tuple) else (failure, {}) for failure in failures]
    refusal = refusal_for(
        [
            (candidate(context_length=more.pop("context_length", 8_000)), AttemptFailed(cause, **more))
            for cause, more in each
        ]
    )
    return refusal.status, refusal.code, refusal.headers.get("retry-after")


OVERLOADED = (503, "upstream_overloaded", None)
TIMEOUT = (504, "upstream_timeout", None)
FAILED = (502, "upstream_error", None)


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        ([Cause.RATE_LIMIT, Cause.RATE_LIMIT], OVERLOADED),
        ([Cause.OVERLOADED, Cause.CONNECT], OVERLOADED),
        ([Cause.CONNECT, Cause.RATE_LIMIT, Cause.TIMEOUT], OVERLOADED),
        ([Cause.CONNECT, Cause.TIMEOUT, Cause.CONNECT], TIMEOUT),
        ([Cause.OUR_KEY], FAILED),
        ([Cause.OUR_BALANCE, Cause.MODEL_MISSING], FAILED),
        ([Cause.EMPTY_ANSWER, Cause.CUT_STREAM, Cause.MALFORMED, Cause.SERVER_ERROR, Cause.CONNECT], FAILED),
        ([Cause.TIMEOUT, Cause.CONTENT_FILTER], (400, "content_filter", None)),
        ([Cause.RATE_LIMIT, Cause.BAD_REQUEST], (400, "invalid_request", None)),
        ([Cause.RATE_LIMIT, Cause.CONTEXT_LENGTH], (400, "context_length_exceeded", None)),
    ],
)
def test_the_failure_that_helps_the_caller_most_is_told(
    failures: list[Cause], expected: tuple[int, str, str | None]
) -> None:
    assert told(*failures) == expected


def test_a_request_is_not_called_too_long_while_a_larger_target_may_still_take_it() -> None:
    too_long = (Cause.CONTEXT_LENGTH, {"context_length": 8_000})

    assert told(too_long, (Cause.OVERLOADED, {"context_length": 9_000})) == OVERLOADED
    assert told(too_long, (Cause.CONTEXT_LENGTH, {"context_length": 9_000}))[1] == "context_length_exceeded"


@pytest.mark.parametrize(
    ("given", "least"),
    [
        (["30", "9"], "9"),
        (["30", None], "30"),
        (["Wed, 25 Nov 2026 10:00:00 GMT", "7"], "7"),
        (["Wed, 25 Nov 2026 10:00:00 GMT"], "Wed, 25 Nov 2026 10:00:00 GMT"),
        ([None], None),
    ],
)
def test_the_least_time_to_wait_is_told(given: list[str | None], least: str | None) -> None:
    failures = [(Cause.RATE_LIMIT, {"retry_after": seconds}) for seconds in given]

    assert told(*failures)[2] == least
