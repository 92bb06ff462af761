"""Read a provider's reply: its answer, whole or as far as it has really begun, or why it is none."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.assembling import AnswerTooLarge, Assembly
from gateway.causes import FAILED_FINISHES, Cause, ProviderError, cause_of_finish, classify
from gateway.charging import is_whole
from gateway.editing import StreamEditor
from gateway.fields import FieldError, Fields
from gateway.frozen import frozen
from gateway.guarding import UNREADABLE, Guard
from gateway.metering import StreamMeter, error_object, usage_object
from gateway.ports import Document, NotJson, Ports, StreamFacts, UpstreamReply
from gateway.routing import Candidate
from gateway.sse import DONE, EventTooLarge, Splitter, parse_event

MAX_ERROR_BODY_BYTES = 64 * 1024
MAX_HEAD_BYTES = 2**20
MAX_PROVIDER_MESSAGE_CHARS = 500


class AttemptFailed(Exception):
    """One target did not answer; ``message`` is the provider's own text, for causes that the caller can mend."""

    def __init__(self, cause: Cause, *, status: int = 0, message: str = "", retry_after: str | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.status = status
        self.message = message[:MAX_PROVIDER_MESSAGE_CHARS]
        self.retry_after = retry_after


@frozen
class Begun:
    """A stream whose answer has begun: what was read of it, and the reply to read on from."""

    reply: UpstreamReply
    head: bytes


@frozen
class Whole:
    """A JSON answer."""

    document: Document
    facts: StreamFacts


@frozen
class Assembled:
    """An answer that was put together from a stream: the fields of a chat completion, without usage."""

    fields: dict[str, Any]
    facts: StreamFacts


Answer = Begun | Whole | Assembled


async def refused(reply: UpstreamReply, candidate: Candidate) -> AttemptFailed:
    """Why a reply that is no success is none."""
    text = await reply.text(limit_bytes=MAX_ERROR_BODY_BYTES)
    error = _provider_error(reply.status, text)
    return AttemptFailed(
        classify(error, candidate.dialect.rules),
        status=reply.status,
        message=error.public_message,
        retry_after=reply.header("retry-after") or reply.header("msh-cooldown-seconds"),
    )


def _provider_error(status: int, text: str) -> ProviderError:
    try:
        body: dict[str, Any] = Fields.parse(text, "error").values
    except FieldError:
        return ProviderError(status=status, code="", type="", message="")
    return ProviderError.from_object(status, error_object(body) or body)


async def read_document(reply: UpstreamReply, candidate: Candidate) -> Whole:
    """A JSON answer; raises AttemptFailed."""
    try:
        document = await reply.document()
    except NotJson as error:
        raise AttemptFailed(Cause.MALFORMED, status=reply.status) from error
    choices = document.items("choices")
    facts = _document_facts(document, choices)
    if facts.error is not None:
        raise _failed_inside_200(facts.error, candidate, reply.status)
    if not any(_is_answer(choice.read("message")) for choice in choices):
        raise AttemptFailed(cause_of_finish(facts.finish_reason) or Cause.EMPTY_ANSWER, status=reply.status)
    if not is_whole(facts):
        raise AttemptFailed(cause_of_cut(facts), status=reply.status)
    return Whole(document=document, facts=facts)


def cause_of_cut(facts: StreamFacts) -> Cause:
    """Why an answer that had begun did not end well, where no error says so."""
    if facts.silent:
        return Cause.TIMEOUT
    failed = facts.finish_reason in FAILED_FINISHES
    return (cause_of_finish(facts.finish_reason) if failed else None) or Cause.CUT_STREAM


def _document_facts(document: Document, choices: Sequence[Document]) -> StreamFacts:
    body = document.given(("error", "code", "message", "msg", "usage"))
    error = None if choices and not body.get("error") else error_object(body)
    usage = usage_object({"usage": body.get("usage"), "choices": [choice.given(("usage",)) for choice in choices]})
    is_counted = usage is not None and type(usage.get("prompt_tokens")) is int
    content_bytes = 0 if is_counted else _content_bytes(choices)
    reasons = (choice.read("finish_reason") for choice in choices)
    reason = next((reason for reason in reasons if isinstance(reason, str)), None)
    return StreamFacts(usage=usage, finish_reason=reason, done=True, error=error, content_bytes=content_bytes)


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


async def read_beginning(reply: UpstreamReply, candidate: Candidate, ports: Ports, *, until_ms: int) -> Begun:
    """A stream until its first content, which must have come by then; raises AttemptFailed."""
    splitter, meter, head = Splitter(), StreamMeter(), b""
    while True:
        piece = await reply.read(timeout_ms=max(1, until_ms - ports.now_ms()))
        if piece is None:
            meter.end()
            raise _ended_early(meter.facts(), head, candidate, reply.status)
        head += piece
        meter.feed(piece)
        facts = meter.facts()
        if facts.error is not None:
            raise _failed_inside_200(facts.error, candidate, reply.status)
        if any(map(_has_content, _feed(splitter, piece, reply.status))):
            return Begun(reply=reply, head=head)
        if facts.done or len(head) > MAX_HEAD_BYTES:
            raise AttemptFailed(cause_of_finish(facts.finish_reason) or Cause.EMPTY_ANSWER, status=reply.status)


async def read_whole(begun: Begun, candidate: Candidate) -> Assembled:
    """The whole answer of a stream that has begun; a stream that does not end well is a failed attempt.

    Raises AttemptFailed.
    """
    status = begun.reply.status
    guard, assembly = Guard(StreamEditor(candidate.dialect, defaults={}, ending=lambda *_: b"")), Assembly()
    piece: bytes | None = begun.head
    try:
        while piece is not None and not guard.is_over:
            assembly.feed(guard.feed(piece))
            piece = await begun.reply.gather(idle_timeout_ms=candidate.provider.idle_timeout_ms)
        assembly.feed(guard.end(silent=False))
    except AnswerTooLarge as error:
        raise AttemptFailed(Cause.MALFORMED, status=status) from error
    begun.reply.close()
    facts = guard.facts()
    if facts.error is UNREADABLE:
        raise AttemptFailed(Cause.MALFORMED, status=status)
    if facts.error is not None:
        raise _failed_inside_200(facts.error, candidate, status)
    if not is_whole(facts):
        raise AttemptFailed(cause_of_cut(facts), status=status)
    return Assembled(fields=assembly.answer(), facts=facts)


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
    has_ended = facts.done or facts.finish_reason is not None
    cause = cause_of_finish(facts.finish_reason) or (Cause.EMPTY_ANSWER if has_ended else Cause.CUT_STREAM)
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
    return AttemptFailed(cause, status=status, message=provider_error.public_message)
