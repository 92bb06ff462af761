"""Why an attempt at a target failed, told from the provider's body as well as its status.

"Our wallet there is empty" is 402 at DeepSeek, 429 at Moonshot and GLM, 400 at Qwen: a status alone says little.
Each dialect brings rules for what only its provider says; what remains is told by the status.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Cause(StrEnum):
    """The typed cause of a failed attempt; it stands in ``x-haotokai-attempts`` and in receipts."""

    CONNECT = "connect_error"
    TIMEOUT = "timeout"
    RATE_LIMIT = "rate_limit"
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    OUR_KEY = "provider_key"
    OUR_BALANCE = "provider_balance"
    CONTEXT_LENGTH = "context_length"
    CONTENT_FILTER = "content_filter"
    MODEL_MISSING = "model_missing"
    BAD_REQUEST = "bad_request"
    EMPTY_ANSWER = "empty_answer"
    CUT_STREAM = "cut_stream"
    MALFORMED = "malformed_answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderError:
    """A provider's error in one form; ``code`` and ``type`` are texts, empty where absent."""

    status: int
    code: str
    type: str
    message: str

    @classmethod
    def from_object(cls, status: int, error: Mapping[str, Any]) -> "ProviderError":
        return cls(
            status=status,
            code=_text(error.get("code")),
            type=_text(error.get("type")),
            message=_text(error.get("message")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """``cause`` where all that is given fits: the codes or types name it, the pattern is found in the message."""

    cause: Cause
    codes: frozenset[str] = frozenset()
    message: str | None = None
    status: int | None = None

    def fits(self, error: ProviderError) -> bool:
        if self.status is not None and error.status != self.status:
            return False
        if self.codes and error.code not in self.codes and error.type not in self.codes:
            return False
        return self.message is None or re.search(self.message, error.message, re.IGNORECASE) is not None


def classify(error: ProviderError, rules: tuple[Rule, ...]) -> Cause:
    """The cause of a provider's error: the first rule that fits, else what its status says."""
    for rule in rules:
        if rule.fits(error):
            return rule.cause
    return _by_status(error.status)


_STATUS_CAUSES = {
    401: Cause.OUR_KEY,
    402: Cause.OUR_BALANCE,
    403: Cause.OUR_KEY,
    404: Cause.MODEL_MISSING,
    408: Cause.TIMEOUT,
    429: Cause.RATE_LIMIT,
    503: Cause.OVERLOADED,
    504: Cause.TIMEOUT,
    529: Cause.OVERLOADED,
}


def _by_status(status: int) -> Cause:
    if status in _STATUS_CAUSES:
        return _STATUS_CAUSES[status]
    # 409 and 425 speak of timing, not of the request; a 200 with an unknown error is the provider's fault.
    if status in (409, 425) or status >= 500 or status < 400:
        return Cause.SERVER_ERROR
    return Cause.BAD_REQUEST


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)
