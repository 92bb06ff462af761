"""Settle a request: its record to the Wallet, once, off the path of the answer; and the trace that the caller sees."""

from collections.abc import Sequence
from dataclasses import replace

from gateway.causes import Cause
from gateway.charging import Charge
from gateway.ports import PlatformError, Ports
from gateway.records import Attempt, UsageRecord, encode_ascii
from gateway.routing import Call, Candidate
from gateway.wallet_messages import Settlement

SETTLE_TRIES = 3


async def settle(
    call: Call,
    charge: Charge,
    ports: Ports,
    *,
    attempts: Sequence[Attempt] = (),
    candidate: Candidate | None = None,
    first_event_ms: int | None = None,
    lingers: bool = True,
) -> None:
    """Tell the Wallet what the request used. ``first_event_ms`` is a time. Never raises: a hold that cannot be
    settled is released by the Wallet itself, at $0, and reported there. ``lingers``: nobody waits for it."""
    record = UsageRecord(
        request_id=call.request_id,
        account_id=call.key.account_id,
        key_id=call.key.key_id,
        model=call.model,
        served_model=None if candidate is None else candidate.model.id,
        provider=None if candidate is None else candidate.provider.name,
        usage=charge.usage,
        cost_nano_usd=charge.cost_nano_usd,
        price_row=charge.price_row,
        state=charge.state,
        estimated=charge.estimated,
        stream=call.stream,
        attempts=tuple(attempts),
        started_at_ms=call.started_at_ms,
        first_event_ms=None if first_event_ms is None else first_event_ms - call.started_at_ms,
        total_ms=ports.now_ms() - call.started_at_ms,
    )
    line = Settlement.of(record, is_rated=call.key.limits.has_rate).to_line()
    for _ in range(SETTLE_TRIES):
        try:
            await ports.settle(call.key.account_id, line, lingers=lingers)
        except PlatformError:
            continue
        return
    ports.log("settle_failed", request_id=call.request_id, cost_nano_usd=charge.cost_nano_usd)


def trace(attempts: Sequence[Attempt], candidate: Candidate | None) -> dict[str, str]:
    """The headers that say what was tried, and who answered."""
    headers = {"x-haotokai-attempts": encode_ascii(public_attempts(attempts))}
    if candidate is not None:
        headers["x-haotokai-provider"] = candidate.provider.name
        headers["x-haotokai-model"] = candidate.model.id
    return headers


def public_attempts(attempts: Sequence[Attempt]) -> list[Attempt]:
    """The attempts as the caller may see them: our key and our money at a provider are not the caller's business."""
    return [
        replace(attempt, outcome="unavailable", status=0)
        if attempt.outcome in (Cause.OUR_KEY, Cause.OUR_BALANCE)
        else attempt
        for attempt in attempts
    ]
