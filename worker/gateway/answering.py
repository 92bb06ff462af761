"""Pass an answer on, whole or as a stream, and settle it when it has ended."""

from dataclasses import replace
from typing import Any, assert_never

from gateway.assembling import chunks_of
from gateway.causes import Cause, ProviderError, classify
from gateway.charging import Charge, charge_for, is_whole
from gateway.editing import StreamEditor, finish_event, usage_event
from gateway.errors import ContentFilter, Refusal, UpstreamError, UpstreamTimeout, envelope
from gateway.failover import Committed
from gateway.guarding import Guard
from gateway.holds import bound_of
from gateway.http import EVENT_STREAM, JSON, Response, json_response
from gateway.metering import BYTES_PER_ESTIMATED_TOKEN, completed_usage, estimated_usage, openai_usage
from gateway.money import format_usd
from gateway.ports import Ports, Relay, StreamFacts
from gateway.records import Usage, encode
from gateway.replies import Assembled, Begun, Whole, cause_of_cut
from gateway.routing import Call
from gateway.settling import settle, trace
from gateway.sse import DONE_EVENT, data_event

STREAM_HEADERS = {"content-type": EVENT_STREAM, "cache-control": "no-cache", "x-accel-buffering": "no"}


def answer(call: Call, committed: Committed, ports: Ports) -> Response:
    """The response for the caller; its settling goes on behind it."""
    said = committed.answer
    match said:
        case Begun():
            response = _begun(call, committed, said, ports)
        case Whole():
            charge = _charge(call, committed, said.facts)
            response = _document(call, committed, said, charge)
            _end_whole(call, committed, charge, ports)
        case Assembled():
            charge = _charge(call, committed, said.facts)
            response = _assembled(call, committed, said, charge)
            _end_whole(call, committed, charge, ports)
        case _:
            assert_never(said)
    response.headers.update(trace(committed.attempts, committed.candidate))
    return response


def _begun(call: Call, committed: Committed, begun: Begun, ports: Ports) -> Response:
    guard = Guard(_editor(call, committed))
    relay = begun.reply.relay(begun.head, edit=guard, idle_timeout_ms=committed.candidate.provider.idle_timeout_ms)
    ports.background(_end_stream(call, committed, relay, guard, ports))
    return Response(body=relay.body, headers=dict(STREAM_HEADERS))


def _document(call: Call, committed: Committed, said: Whole, charge: Charge) -> Response:
    document = said.document
    committed.candidate.dialect.repair_answer(document)
    defaults = _defaults(call, committed, "chat.completion")
    given = document.given(("usage", *defaults))
    if (usage := _usage(charge, said.facts)) != given.get("usage"):
        document.write("usage", usage)
    for name, value in defaults.items():
        if name not in given:
            document.write(name, value)
    headers = {"content-type": JSON, "x-haotokai-cost-usd": format_usd(charge.cost_nano_usd)}
    return Response(body=document.as_body(), headers=headers)


def _assembled(call: Call, committed: Committed, said: Assembled, charge: Charge) -> Response:
    """An answer that was put together here: as one JSON document, or as a stream that comes all at once."""
    defaults = _defaults(call, committed, "chat.completion")
    fields = said.fields | {
        name: value for name, value in defaults.items() if type(said.fields.get(name)) is not type(value)
    }
    if call.stream:
        wire = b"".join(data_event(encode(chunk)) for chunk in chunks_of(fields))
        if call.include_usage:
            wire += usage_event({**fields, "object": "chat.completion.chunk"}, _usage_with_cost(charge))
        return Response(body=(wire + DONE_EVENT).decode(), headers=dict(STREAM_HEADERS))
    return json_response(
        {**fields, "usage": _usage(charge, said.facts)},
        headers={"x-haotokai-cost-usd": format_usd(charge.cost_nano_usd)},
    )


def _end_whole(call: Call, committed: Committed, charge: Charge, ports: Ports) -> None:
    ports.circuits.succeeded(committed.candidate)
    ports.background(_settle(call, committed, charge, ports))


async def _end_stream(call: Call, committed: Committed, relay: Relay, guard: Guard, ports: Ports) -> None:
    was_delivered = False
    try:
        was_delivered = await relay.run()
    finally:  # what was read is charged, even if a fault of ours broke it off
        facts = guard.facts()
        await _settle(call, committed, _charge(call, committed, facts), ports)
    if is_whole(facts):
        ports.circuits.succeeded(committed.candidate)
    elif was_delivered:  # what was drained behind a caller who left may have been given up here
        ports.circuits.failed(committed.candidate, _cause(committed, facts), now_ms=ports.now_ms())


async def _settle(call: Call, committed: Committed, charge: Charge, ports: Ports) -> None:
    await settle(
        call,
        charge,
        ports,
        attempts=committed.attempts,
        candidate=committed.candidate,
        first_event_ms=committed.first_event_ms,
    )


def _editor(call: Call, committed: Committed) -> StreamEditor:
    return StreamEditor(
        committed.candidate.dialect,
        defaults=_defaults(call, committed, "chat.completion.chunk"),
        ending=lambda facts, defaults: _ending(call, committed, facts, defaults),
    )


def _ending(call: Call, committed: Committed, facts: StreamFacts, defaults: dict[str, Any]) -> bytes:
    if not is_whole(facts):
        return error_event(_refusal(committed, facts))
    ending = b"" if facts.finish_reason is not None else finish_event(defaults, "stop")
    if call.include_usage:
        ending += usage_event(defaults, _usage_with_cost(_charge(call, committed, facts)))
    return ending + DONE_EVENT


def error_event(refusal: Refusal) -> bytes:
    """The last event of a stream that cannot end well: an error, and never an end mark."""
    return data_event(encode(envelope(refusal)))


def _refusal(committed: Committed, facts: StreamFacts) -> Refusal:
    """Why a stream broke off after its content had begun."""
    match _cause(committed, facts):
        case Cause.TIMEOUT:
            return UpstreamTimeout("The provider stopped sending in the middle of the answer.")
        case Cause.CONTENT_FILTER:
            return ContentFilter("The provider's content filter stopped the answer.")
        case Cause.CUT_STREAM:
            return UpstreamError("The provider's stream was cut in the middle of the answer.")
        case _:
            return UpstreamError("The provider failed in the middle of the answer.")


def _cause(committed: Committed, facts: StreamFacts) -> Cause:
    if facts.error is None or facts.silent:
        return cause_of_cut(facts)
    return classify(ProviderError.from_object(200, facts.error), committed.candidate.dialect.rules)


def _usage(charge: Charge, facts: StreamFacts) -> dict[str, Any]:
    """What is charged for, and what else the provider says of it."""
    if facts.usage is None or charge.estimated:
        return openai_usage(charge.usage)
    return completed_usage(facts.usage, charge.usage)


def _usage_with_cost(charge: Charge) -> dict[str, Any]:
    return {**openai_usage(charge.usage), "cost": float(format_usd(charge.cost_nano_usd))}


def _charge(call: Call, committed: Committed, facts: StreamFacts) -> Charge:
    return charge_for(
        facts,
        committed.candidate.price,
        estimate=lambda: _estimate(call, committed, facts),
        started_at_ms=call.started_at_ms,
    )


def _estimate(call: Call, committed: Committed, facts: StreamFacts) -> Usage:
    """The usage counted here, within the bound that was held: bytes are no exact measure of tokens."""
    bound = bound_of(replace(call, max_tokens=committed.max_tokens), (committed.candidate,))
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
