"""Everything that a caller can be refused for: a small tree, each with its status, code and OpenAI's type.

A Refusal is raised where it is decided and rendered in one place, ``envelope``. The text of a refusal is for the
caller: it never holds a key, a prompt or anything that a provider said about our account there.
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class Refusal(Exception):
    """A request is answered with an error. ``param`` names the offending field, ``metadata`` adds facts."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    type: ClassVar[str] = "server_error"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.metadata = dict(metadata or {})
        self.headers = dict(headers or {})


class InvalidRequest(Refusal):
    status, code, type = 400, "invalid_request", "invalid_request_error"


class UnsupportedParameter(InvalidRequest):
    code = "unsupported_parameter"


class ContextLengthExceeded(InvalidRequest):
    code = "context_length_exceeded"


class ContentFilter(InvalidRequest):
    code = "content_filter"


class InvalidApiKey(Refusal):
    status, code, type = 401, "invalid_api_key", "authentication_error"


class InvalidSignature(Refusal):
    """An internal call is unsigned, stale, forged or replayed."""

    status, code, type = 401, "invalid_signature", "authentication_error"


class InsufficientBalance(Refusal):
    status, code, type = 402, "insufficient_balance", "insufficient_quota"


class SpendCapReached(Refusal):
    status, code, type = 402, "spend_cap_reached", "insufficient_quota"


class ModelNotAllowed(Refusal):
    status, code, type = 403, "model_not_allowed", "permission_error"


class NotFound(Refusal):
    status, code, type = 404, "not_found", "invalid_request_error"


class ModelNotFound(NotFound):
    code = "model_not_found"


class MethodNotAllowed(Refusal):
    status, code, type = 405, "method_not_allowed", "invalid_request_error"


class DuplicateRequest(Refusal):
    status, code, type = 409, "duplicate_request", "invalid_request_error"


class Conflict(Refusal):
    """An id is already there with other content."""

    status, code, type = 409, "conflict", "invalid_request_error"


class RequestTooLarge(Refusal):
    status, code, type = 413, "request_too_large", "invalid_request_error"


class UnsupportedMediaType(Refusal):
    status, code, type = 415, "unsupported_media_type", "invalid_request_error"


class RateLimitExceeded(Refusal):
    status, code, type = 429, "rate_limit_exceeded", "rate_limit_error"


class InternalError(Refusal):
    """Our own fault; the log has the cause under the request id."""


class ServiceUnavailable(Refusal):
    """A part of the gateway that a request needs does not answer: nothing was spent, try again."""

    status, code = 503, "service_unavailable"


class UpstreamError(Refusal):
    status, code, type = 502, "upstream_error", "upstream_error"


class UpstreamOverloaded(Refusal):
    status, code, type = 503, "upstream_overloaded", "upstream_error"


class UpstreamTimeout(Refusal):
    status, code, type = 504, "upstream_timeout", "upstream_error"


def envelope(refusal: Refusal) -> dict[str, Any]:
    """OpenAI's error object, plus ``metadata`` where there is any."""
    error: dict[str, Any] = {
        "message": refusal.message,
        "type": refusal.type,
        "code": refusal.code,
        "param": refusal.param,
    }
    if refusal.metadata:
        error["metadata"] = refusal.metadata
    return {"error": error}


def where(error: BaseException) -> str:
    """The innermost line of a traceback, as module:line; never its text, which may hold a caller's data."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return "?"
    return f"{traceback.tb_frame.f_globals.get('__name__', '?')}:{traceback.tb_lineno}"
