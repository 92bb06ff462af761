"""Pass an answer on, whole or as a stream, and settle it when it has ended."""

import json
from dataclasses import replace
from typing import Any

from gateway.attempt import Committed
from gateway.charging import Charge, charge_for, is_whole
from gateway.editing import StreamEditor, finish_event, usage_event
from gateway.errors import Refusal, UpstreamError, UpstreamTimeout, envelope
from gateway.holds import bound_of
from gateway.http import EVENT_STREAM, JSON, Response
from gateway.metering import BYTES_PER_ESTIMATED_TOKEN, estimated_usage, merge, openai_usage
from gateway.money import format_usd
from gateway.ports import Document, Ports, Relay, StreamFacts
from gateway.records import Usage
from gateway.routing import Call
from gateway.settling import settle, trace
from gateway.sse import DONE_EVENT, data_event


def answer(call: Call, committed: Committed, ports: Ports) -> Response:
    """The response for the caller; its settling goes on behind it. ``call.max_tokens`` is what was held for."""
    headers = trace(committed.attempts, committed.candidate)
    if committed.document is not None:
        return _whole(call, committed, committed.document, headers, ports)
    headers |= {"content-type": EVENT_STREAM, "cache-control": "no-cache", "x-accel-buffering": "no"}
    if committed.is_read:
        return _whole_stream(call, committed, headers, ports)
    relay = _relay(call, committed)
    ports.background(_settle_stream(call, committed, relay, ports))
    return Response(body=relay.body, headers=headers)


def _whole(call: Call, committed: Committed, document: Document, headers: dict[str, str], ports: Ports) -> Response:
    committed.candidate.dialect.repair_answer(document)
    for name, value in _defaults(call, committed, "chat.completion").items():
        if document.read(name) is None:
            document.write(name, value)
    charge = _charge(call, committed, committed.head_facts)
    ports.background(_settle(call, committed, charge, ports))
    headers |= {"content-type": JSON, "x-haotokai-cost-usd": format_usd(charge.cost_nano_usd)}
    return Response(body=document.as_body(), headers=headers)


def _whole_stream(call: Call, committed: Committed, headers: dict[str, str], ports: Ports) -> Response:
    """A stream that was read to its end, as one piece."""
    facts = committed.head_facts
    edit = _editor(call, committed, StreamFacts())
    body = edit.feed(committed.head) + edit.end(facts)
    ports.background(_settle(call, committed, _charge(call, committed, facts), ports))
    return Response(body=body.decode(errors="replace"), headers=headers)


def _relay(call: Call, committed: Committed) -> Relay:
    """The native way where the provider's events may pass as they are, else the edited one."""
    idle_timeout_ms = committed.candidate.provider.idle_timeout_ms
    dialect = committed.candidate.dialect
    if dialect.native_stream and not dialect.asks_usage and not call.include_usage:
        return committed.reply.relay_native(
            committed.head,
            rest=committed.rest,
            idle_timeout_ms=idle_timeout_ms,
            end=lambda facts: _native_ending(merge(committed.head_facts, facts)),
        )

    edit = _editor(call, committed, committed.head_facts)
    return committed.reply.relay_edited(committed.head, rest=committed.rest, edit=edit, idle_timeout_ms=idle_timeout_ms)


def _editor(call: Call, committed: Committed, head_facts: StreamFacts) -> StreamEditor:
    """``head_facts`` is what was seen before the editor began to be told."""

    def ending(facts: StreamFacts, defaults: dict[str, Any]) -> bytes:
        return _edited_ending(call, committed, merge(head_facts, facts), defaults)

    defaults = _defaults(call, committed, "chat.completion.chunk")
    return StreamEditor(committed.candidate.dialect, defaults=defaults, ending=ending)


async def _settle_stream(call: Call, committed: Committed, relay: Relay, ports: Ports) -> None:
    charge = _charge(call, committed, merge(committed.head_facts, await relay.facts()))
    await _settle(call, committed, charge, ports)


async def _settle(call: Call, committed: Committed, charge: Charge, ports: Ports) -> None:
    await settle(
        call,
        charge,
        ports,
        attempts=committed.attempts,
        candidate=committed.candidate,
        first_event_ms=committed.first_event_ms,
    )


def _native_ending(facts: StreamFacts) -> bytes:
    # The caller has every byte that came, perhaps half an event: the blank line keeps it apart from what follows.
    if not is_whole(facts):
        return b"\n\n" + _error_event(facts)
    return b"" if facts.done else b"\n\n" + DONE_EVENT


def _edited_ending(call: Call, committed: Committed, facts: StreamFacts, defaults: dict[str, Any]) -> bytes:
    if not is_whole(facts):
        return _error_event(facts)
    ending = b"" if facts.finish_reason is not None else finish_event(defaults, "stop")
    if call.include_usage:
        charge = _charge(call, committed, facts)
        usage = {**openai_usage(charge.usage), "cost": float(format_usd(charge.cost_nano_usd))}
        ending += usage_event(defaults, usage)
    return ending + DONE_EVENT


def _error_event(facts: StreamFacts) -> bytes:
    """A stream that broke after the commit point ends in an error, never in a clean end mark."""
    refusal: Refusal
    if facts.silent:
        refusal = UpstreamTimeout("The provider stopped sending in the middle of the answer.")
    elif facts.error is not None:
        refusal = UpstreamError("The provider failed in the middle of the answer.")
    else:
        refusal = UpstreamError("The provider's stream was cut in the middle of the answer.")
    return data_event(json.dumps(envelope(refusal), separators=(",", ":")))


def _charge(call: Call, committed: Committed, facts: StreamFacts) -> Charge:
    return charge_for(
        facts,
        committed.candidate.price,
        estimate=lambda: _estimate(call, committed, facts),
        started_at_ms=call.started_at_ms,
    )


def _estimate(call: Call, committed: Committed, facts: StreamFacts) -> Usage:
    """The usage counted here, within the bound that was held: bytes are no exact measure of tokens."""
    bound = bound_of(call, (committed.candidate,))
    counted = estimated_usage(
        input_tokens=-(-call.size_bytes // BYTES_PER_ESTIMATED_TOKEN), content_bytes=facts.content_bytes
    )
    return replace(
        counted,
        prompt_tokens=min(counted.prompt_tokens, bound.input_tokens),
        completion_tokens=min(counted.completion_tokens, bound.output_tokens * bound.choices),
    )


def _defaults(call: Call, committed: Committed, kind: str) -> dict[str, Any]:
    """The fields that OpenAI's clients rely on, for a provider that leaves them out."""
    return {
        "id": f"chatcmpl-{call.request_id.removeprefix('req_')}",
        "object": kind,
        "created": call.started_at_ms // 1000,
        "model": committed.candidate.target.model,
    }
