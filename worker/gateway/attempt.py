"""One attempt at one target: send, and read on until the answer has really begun, or say why it has not."""

from gateway.causes import Cause
from gateway.http import JSON
from gateway.ports import Document, Ports, UpstreamCall, UpstreamFailed, UpstreamReply, UpstreamSilent
from gateway.records import Provider
from gateway.replies import Answer, AttemptFailed, read_beginning, read_document, read_whole, refused
from gateway.routing import Call, Candidate, outgoing

MAX_UNSTREAMED_TOKENS = 256
SLOWEST_MS_PER_TOKEN = 100
"""An answer of at most so many tokens is asked for in one piece, which costs us least, and given so much time for each
of them. Any longer one is streamed to us, because only a stream tells silence from work."""


async def attempt(
    call: Call, candidate: Candidate, ports: Ports, *, key: str | None, max_tokens: int | None, until_ms: int
) -> tuple[Answer, int]:
    """Ask one target with one key (None: there is none): what it answers, and when that began, in ms. Raises
    AttemptFailed."""
    provider = candidate.provider
    if key is None and provider.api_key_env:
        raise AttemptFailed(Cause.OUR_KEY)
    document, is_streamed = _document(call, candidate, max_tokens=max_tokens)
    now_ms = ports.now_ms()
    remaining_ms = min(provider.total_timeout_ms, until_ms - now_ms)
    if remaining_ms <= 0:
        raise AttemptFailed(Cause.TIMEOUT)
    work_ms = 0 if is_streamed else (max_tokens or 0) * SLOWEST_MS_PER_TOKEN
    outbound = _outbound(provider, document, key, is_streamed=is_streamed, work_ms=work_ms, remaining_ms=remaining_ms)
    first_event_until_ms = now_ms + provider.first_event_timeout_ms
    reply = await _send(outbound, ports)
    try:
        if is_streamed:
            return await _read_stream(reply, call, candidate, ports, until_ms=first_event_until_ms)
        return await _read_document(reply, candidate, ports)
    except UpstreamSilent as error:
        raise AttemptFailed(Cause.TIMEOUT, status=reply.status) from error
    except UpstreamFailed as error:
        raise AttemptFailed(Cause.CONNECT, status=reply.status) from error
    except BaseException:  # also where the call is given up
        reply.close()
        raise


def _document(call: Call, candidate: Candidate, *, max_tokens: int | None) -> tuple[Document, bool]:
    """What is sent, and whether it asks for a stream: also where the caller wants none, but the answer may take long
    or must be whole."""
    is_streamed = call.stream or call.whole or max_tokens is None or max_tokens > MAX_UNSTREAMED_TOKENS
    document = outgoing(call, candidate, max_tokens=max_tokens, streamed=is_streamed)
    if is_streamed or not candidate.dialect.thinks(document):
        return document, is_streamed
    return outgoing(call, candidate, max_tokens=max_tokens, streamed=True), True


def _outbound(
    provider: Provider, document: Document, key: str | None, *, is_streamed: bool, work_ms: int, remaining_ms: int
) -> UpstreamCall:
    """``work_ms`` is what a provider may take for an answer that comes in one piece."""
    return UpstreamCall(
        url=f"{provider.base_url.rstrip('/')}/chat/completions",
        headers={
            **({} if key is None else {"authorization": f"Bearer {key}"}),
            "content-type": JSON,
            "accept": "text/event-stream" if is_streamed else JSON,
        },
        document=document,
        headers_timeout_ms=min(provider.first_event_timeout_ms + work_ms, remaining_ms),
        total_timeout_ms=remaining_ms,
    )


async def _send(outbound: UpstreamCall, ports: Ports) -> UpstreamReply:
    try:
        return await ports.send(outbound)
    except UpstreamSilent as error:
        raise AttemptFailed(Cause.TIMEOUT) from error
    except UpstreamFailed as error:
        raise AttemptFailed(Cause.CONNECT) from error


async def _read_document(reply: UpstreamReply, candidate: Candidate, ports: Ports) -> tuple[Answer, int]:
    if reply.status != 200:
        raise await refused(reply, candidate)
    return await read_document(reply, candidate), ports.now_ms()


async def _read_stream(
    reply: UpstreamReply, call: Call, candidate: Candidate, ports: Ports, *, until_ms: int
) -> tuple[Answer, int]:
    """To the commit point: the first content, or the end of an answer that is wanted whole."""
    if reply.status != 200 or (not call.stream and _is_json(reply)):
        return await _read_document(reply, candidate, ports)
    begun = await read_beginning(reply, candidate, ports, until_ms=until_ms)
    first_event_ms = ports.now_ms()
    return (begun if call.stream and not call.whole else await read_whole(begun, candidate)), first_event_ms


def _is_json(reply: UpstreamReply) -> bool:
    """A provider may answer a call for a stream with JSON all the same."""
    return (reply.header("content-type") or "").startswith(JSON)
