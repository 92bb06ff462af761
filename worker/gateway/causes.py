"""Why an attempt at a target failed, told from the provider's body as well as its status.

"Our wallet there is empty" is 402 at DeepSeek, 429 at Moonshot and GLM, 400 at Qwen: a status alone says little.
Each dialect brings rules for what only its provider says; what remains is told by the status.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from gateway.frozen import frozen

# What a provider says of the account that asked it, which is ours.
_ABOUT_US = re.compile(
    r"\b(account|organi[sz]ation|workspace|billing|balance|quota|recharge|arrears|api[ _-]?key|app[ _-]?id)\b"
    r"|账户|账号|余额|充值|欠费|密钥",
    re.IGNORECASE,
)
# Keys, ids of accounts and calls, and addresses; with the words and brackets around them.
_IDENTIFYING = re.compile(
    r"[(\[]?\b(?:sid|(?:request|trace)[ _-]?id)\s*[:=]\s*[^\s)\]]+[)\]]?"
    r"|<?\b(?:org|ak|sk)-[\w*-]+>?|\b(?:proj|acct|user|ws)-(?=[\w-]*\d)[\w-]{4,}"
    r"|\bLTAI\w+|\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
    r"|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b[0-9a-f]{24,}\b|\*{3,}\w*",
    re.IGNORECASE,
)

FAILED_FINISHES = frozenset({"insufficient_system_resource", "aborted", "network_error", "error"})
"""A provider's own failure in the middle of an answer, said as a finish reason (DeepSeek, GLM)."""


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


@frozen
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

    @property
    def public_message(self) -> str:
        """Its message as far as a caller may see it: empty where it speaks of our account at the provider, and without
        what would identify it, or the call there."""
        if _ABOUT_US.search(self.message):
            return ""
        return " ".join(_IDENTIFYING.sub("", self.message).split())


@frozen
class Rule:
    """``cause`` where all that is given fits: ``codes`` has its code or type, ``types`` its type, and the pattern is
    found in the message."""

    cause: Cause
    codes: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    message: str | None = None
    status: int | None = None

    def fits(self, error: ProviderError) -> bool:
        if self.status is not None and error.status != self.status:
            return False
        if self.codes and error.code not in self.codes and error.type not in self.codes:
            return False
        if self.types and error.type not in self.types:
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


def cause_of_finish(reason: str | None) -> Cause | None:
    """Why an answer that ended with this reason, and said nothing, is none; None where the reason does not tell."""
    if reason in FAILED_FINISHES:
        return Cause.OVERLOADED if reason == "insufficient_system_resource" else Cause.SERVER_ERROR
    if reason in ("content_filter", "sensitive"):
        return Cause.CONTENT_FILTER
    return Cause.CONTEXT_LENGTH if reason == "model_context_window_exceeded" else None


def _by_status(status: int) -> Cause:
    if status in _STATUS_CAUSES:
        return _STATUS_CAUSES[status]
    # 409 and 425 speak of timing, not of the request; a 200 with an unknown error is the provider's fault.
    if status in (409, 425) or status >= 500 or status < 400:
        return Cause.SERVER_ERROR
    return Cause.BAD_REQUEST


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)
