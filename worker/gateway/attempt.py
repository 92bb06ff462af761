"""One attempt at one target: send, and read on until the answer has really begun, or say why it has not."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gateway.causes import Cause, ProviderError, classify
from gateway.charging import is_whole
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
from gateway.routing import Call, Candidate, outgoing
from gateway.sse import DONE, EventTooLarge, Splitter, parse_event

MAX_ERROR_BODY_BYTES = 64 * 1024
MAX_HEAD_BYTES = 2**20
MAX_WHOLE_BYTES = 16 * 2**20
MAX_PROVIDER_MESSAGE_CHARS = 500


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
    """A target that has begun to answer: the whole document, or the head of a stream and the reply to read on from.

    ``is_read``: ``head`` is all of the stream, to its end.
    """

    candidate: Candidate
    attempts: tuple[Attempt, ...]
    first_event_ms: int
    reply: UpstreamReply
    document: Document | None = None
    head: bytes = b""
    rest: bytes = b""
    head_facts: StreamFacts
    is_read: bool = False


async def attempt(
    call: Call, candidate: Candidate, ports: Ports, *, key: str | None, max_tokens: int | None, until_ms: int
) -> Committed:
    """Ask one target with one key (None: there is none); raises AttemptFailed."""
    provider = candidate.provider
    if key is None and provider.api_key_env:
        raise AttemptFailed(Cause.OUR_KEY)
    document = outgoing(call, candidate, max_tokens=max_tokens)
    remaining_ms = min(provider.total_timeout_ms, until_ms - ports.now_ms())
    if remaining_ms <= 0:
        raise AttemptFailed(Cause.TIMEOUT)
    reply = await _send(call, candidate, document, key, ports, remaining_ms=remaining_ms)
    try:
        if reply.status != 200:
            raise await _refused(reply, candidate)
        if call.stream:
            committed = await _commit_stream(reply, candidate, ports)
            return await _read_whole(committed) if call.whole else committed
        return await _commit_document(reply, candidate, ports)
    except UpstreamSilent as error:
        raise AttemptFailed(Cause.TIMEOUT, status=reply.status) from error
    except UpstreamFailed as error:
        raise AttemptFailed(Cause.CONNECT, status=reply.status) from error
    except BaseException:  # also where the call is given up
        reply.close()
        raise


async def _send(
    call: Call, candidate: Candidate, document: Document, key: str | None, ports: Ports, *, remaining_ms: int
) -> UpstreamReply:
    provider = candidate.provider
    outbound = UpstreamCall(
        url=f"{provider.base_url.rstrip('/')}/chat/completions",
        headers={
            **({} if key is None else {"authorization": f"Bearer {key}"}),
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


async def _read_whole(committed: Committed) -> Committed:
    """A stream read to its end, for a caller who wants all of the answer or another target's."""
    reply, candidate = committed.reply, committed.candidate
    splitter, meter, body = Splitter(), StreamMeter(), b""
    piece: bytes | None = committed.head
    while piece is not None:
        meter.feed(piece)
        for raw in _feed(splitter, piece, reply.status):
            _has_content(raw)  # raises for an event that cannot be read
        body += piece
        if len(body) > MAX_WHOLE_BYTES:
            raise AttemptFailed(Cause.MALFORMED, status=reply.status)
        piece = await reply.read(timeout_ms=candidate.provider.idle_timeout_ms)
    meter.end()
    facts = meter.facts()
    if facts.error is not None:
        raise _failed_inside_200(facts.error, candidate, reply.status)
    if not is_whole(facts):
        raise AttemptFailed(Cause.CUT_STREAM, status=reply.status)
    return replace(committed, head=body, rest=b"", head_facts=facts, is_read=True)


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
