"""Try the candidates of a call, in order, until one has really begun to answer: the commit point.

Nothing is promised to the caller before it: an error in a 200, an error as the first event, an empty answer or silence
all count as failures, and the next target is asked. What a failure means is decided by ``judge``, from its cause alone.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from gateway.causes import Cause, ProviderError, classify
from gateway.errors import (
    ContentFilter,
    ContextLengthExceeded,
    InvalidRequest,
    Refusal,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamTimeout,
)
from gateway.fields import FieldError, Fields
from gateway.metering import StreamMeter, error_object, usage_object
from gateway.ports import (
    Document,
    NotJson,
    Ports,
    StreamFacts,
    UpstreamCall,
    UpstreamFailed,
    UpstreamReply,
    UpstreamSilent,
)
from gateway.records import Attempt
from gateway.routing import Call, Candidate, deadline_ms, outgoing
from gateway.sse import DONE, EventTooLarge, Splitter, parse_event

MAX_ATTEMPTS = 8
MAX_ERROR_BODY_BYTES = 64 * 1024
MAX_HEAD_BYTES = 2**20
MAX_PROVIDER_MESSAGE_CHARS = 500


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


class AttemptFailed(Exception):
    """One target did not answer; ``message`` is the provider's own text, for causes that the caller can mend."""

    def __init__(self, cause: Cause, *, status: int = 0, message: str = "", retry_after: str | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.status = status
        self.message = message[:MAX_PROVIDER_MESSAGE_CHARS]
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """A target that has begun to answer: the whole document, or the head of a stream and the reply to read on from."""

    candidate: Candidate
    attempts: tuple[Attempt, ...]
    first_event_ms: int
    reply: UpstreamReply
    document: Document | None = None
    head: bytes = b""
    rest: bytes = b""
    head_facts: StreamFacts


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
            committed = await _attempt(call, candidate, ports, max_tokens=max_tokens, until_ms=until_ms)
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


async def _attempt(
    call: Call, candidate: Candidate, ports: Ports, *, max_tokens: int | None, until_ms: int
) -> Committed:
    provider = candidate.provider
    document = outgoing(call, candidate, max_tokens=max_tokens)
    key = ports.secret(provider.api_key_env)
    if key is None:
        raise AttemptFailed(Cause.OUR_KEY)
    remaining_ms = min(provider.total_timeout_ms, until_ms - ports.now_ms())
    if remaining_ms <= 0:
        raise AttemptFailed(Cause.TIMEOUT)
    reply = await _send(call, candidate, document, key, ports, remaining_ms=remaining_ms)
    try:
        if reply.status != 200:
            raise await _refused(reply, candidate)
        if call.stream:
            return await _commit_stream(reply, candidate, ports)
        return await _commit_document(reply, candidate, ports)
    except UpstreamSilent as error:
        raise AttemptFailed(Cause.TIMEOUT, status=reply.status) from error
    except UpstreamFailed as error:
        raise AttemptFailed(Cause.CONNECT, status=reply.status) from error
    except AttemptFailed:
        reply.close()
        raise


async def _send(
    call: Call, candidate: Candidate, document: Document, key: str, ports: Ports, *, remaining_ms: int
) -> UpstreamReply:
    provider = candidate.provider
    outbound = UpstreamCall(
        url=f"{provider.base_url.rstrip('/')}/chat/completions",
        headers={
            "authorization": f"Bearer {key}",
            "content-type": "application/json",
            "accept": "text/event-stream" if call.stream else "application/json",
        },
        document=document,
        headers_timeout_ms=min(provider.first_event_timeout_ms, remaining_ms) if call.stream else remaining_ms,
        total_timeout_ms=remaining_ms,
    )
    try:
        return await ports.send(outbound)
    except UpstreamSilent as error:
        raise AttemptFailed(Cause.TIMEOUT) from error
    except UpstreamFailed as error:
        raise AttemptFailed(Cause.CONNECT) from error


async def _refused(reply: UpstreamReply, candidate: Candidate) -> AttemptFailed:
    text = await reply.text(limit_bytes=MAX_ERROR_BODY_BYTES)
    error = _provider_error(reply.status, text)
    return AttemptFailed(
        classify(error, candidate.dialect.rules),
        status=reply.status,
        message=error.message,
        retry_after=reply.header("retry-after") or reply.header("msh-cooldown-seconds"),
    )


def _provider_error(status: int, text: str) -> ProviderError:
    try:
        body: dict[str, Any] = Fields.parse(text, "error").values
    except FieldError:
        return ProviderError(status=status, code="", type="", message="")
    return ProviderError.from_object(status, error_object(body) or body)


async def _commit_document(reply: UpstreamReply, candidate: Candidate, ports: Ports) -> Committed:
    try:
        document = await reply.document()
    except NotJson as error:
        raise AttemptFailed(Cause.MALFORMED, status=reply.status) from error
    facts = _document_facts(document)
    if facts.error is not None:
        raise _failed_inside_200(facts.error, candidate, reply.status)
    if not any(_is_answer(choice.read("message")) for choice in document.items("choices")):
        raise AttemptFailed(Cause.EMPTY_ANSWER, status=reply.status)
    return Committed(
        candidate=candidate,
        attempts=(),
        first_event_ms=ports.now_ms(),
        reply=reply,
        document=document,
        head_facts=facts,
    )


def _document_facts(document: Document) -> StreamFacts:
    choices = document.items("choices")
    body = {name: document.read(name) for name in ("error", "code", "message", "msg", "usage")}
    error = None if choices and not body["error"] else error_object(body)
    usage = usage_object({"usage": body["usage"], "choices": [{"usage": choice.read("usage")} for choice in choices]})
    content_bytes = _content_bytes(choices) if usage is None else 0
    return StreamFacts(usage=usage, finish_reason="stop", done=True, error=error, content_bytes=content_bytes)


def _content_bytes(choices: Sequence[Document]) -> int:
    """The size of what the answer says, tool calls included, for a provider that reports no usage."""
    messages = (choice.read("message") for choice in choices)
    return sum(
        len(json.dumps(message[name], ensure_ascii=False).encode(errors="replace"))
        for message in messages
        if isinstance(message, dict)
        for name in ("content", "reasoning_content", "tool_calls")
        if message.get(name)
    )


def _is_answer(message: Any) -> bool:
    if not isinstance(message, dict):
        return False
    return any(message.get(name) for name in ("content", "reasoning_content", "tool_calls", "refusal"))


async def _commit_stream(reply: UpstreamReply, candidate: Candidate, ports: Ports) -> Committed:
    splitter, meter, head = Splitter(), StreamMeter(), b""
    deadline_ms = ports.now_ms() + candidate.provider.first_event_timeout_ms
    while True:
        piece = await reply.read(timeout_ms=max(1, deadline_ms - ports.now_ms()))
        if piece is None:
            meter.end()
            raise _ended_early(meter.facts(), head, candidate, reply.status)
        head += piece
        meter.feed(piece)
        facts = meter.facts()
        if facts.error is not None:
            raise _failed_inside_200(facts.error, candidate, reply.status)
        if any(map(_has_content, _feed(splitter, piece, reply.status))):
            return Committed(
                candidate=candidate,
                attempts=(),
                first_event_ms=ports.now_ms(),
                reply=reply,
                head=head,
                rest=splitter.rest,
                head_facts=facts,
            )
        if facts.done or len(head) > MAX_HEAD_BYTES:
            raise AttemptFailed(Cause.EMPTY_ANSWER, status=reply.status)


def _feed(splitter: Splitter, piece: bytes, status: int) -> list[bytes]:
    try:
        return splitter.feed(piece)
    except EventTooLarge as error:
        raise AttemptFailed(Cause.MALFORMED, status=status) from error


def _has_content(raw: bytes) -> bool:
    """Whether an event gives the caller something: content, reasoning, a tool call. A role alone does not."""
    data = parse_event(raw).data
    if data is None or data.strip() == DONE:
        return False
    try:
        chunk = Fields.parse(data, "chunk").values
    except FieldError as error:
        raise AttemptFailed(Cause.MALFORMED, status=200) from error
    choices = chunk.get("choices")
    return any(
        isinstance(choice, dict) and _is_answer(choice.get("delta"))
        for choice in (choices if isinstance(choices, list) else ())
    )


def _ended_early(facts: StreamFacts, head: bytes, candidate: Candidate, status: int) -> AttemptFailed:
    error = facts.error or _error_document(head)
    if error is not None:
        return _failed_inside_200(error, candidate, status)
    cause = Cause.EMPTY_ANSWER if facts.done or facts.finish_reason is not None else Cause.CUT_STREAM
    return AttemptFailed(cause, status=status)


def _error_document(head: bytes) -> Mapping[str, Any] | None:
    """The error of a provider that answers a call for a stream with one JSON object in place of events."""
    try:
        return error_object(Fields.parse(head, "answer").values)
    except FieldError:
        return None


def _failed_inside_200(error: Any, candidate: Candidate, status: int) -> AttemptFailed:
    provider_error = ProviderError.from_object(status, error)
    cause = classify(provider_error, candidate.dialect.rules)
    return AttemptFailed(cause, status=status, message=provider_error.message)


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
