"""Ask the Wallet before anything is sent, and tell the caller what it said."""

from collections.abc import Sequence
from dataclasses import field
from typing import assert_never

from gateway.errors import (
    DuplicateRequest,
    InsufficientBalance,
    InvalidApiKey,
    RateLimitExceeded,
    Refusal,
    ServiceUnavailable,
    SpendCapReached,
)
from gateway.frozen import frozen
from gateway.holds import MODEST_OUTPUT_TOKENS, Bound, affordable, bound_of, least_case, worst_case
from gateway.money import NanoUsd, format_usd
from gateway.ports import PlatformError, Ports
from gateway.routing import BYTES_PER_TYPICAL_TOKEN, Call, Candidate, deadline_ms
from gateway.wallet_messages import HoldReply, HoldRequest, RateState

# What a request may still take after its deadline: settling, and clocks that differ.
HOLD_GRACE_MS = 15_000


@frozen
class Grip:
    """A hold that was granted: the candidates that it pays for, ``max_tokens`` to send (None: the provider's own
    bound), and headers that tell of it."""

    candidates: tuple[Candidate, ...]
    max_tokens: int | None
    headers: dict[str, str] = field(default_factory=dict)


async def take_hold(call: Call, candidates: Sequence[Candidate], ports: Ports) -> Grip:
    """Hold the worst case of the call, lowered to what the wallet can pay; raises Refusal where it can pay nobody."""
    bound = bound_of(call, candidates)
    request = _hold_request(call, candidates, bound)
    try:
        text = await ports.wallet(call.key.account_id, "hold", request.to_text())
    except PlatformError as error:
        raise ServiceUnavailable("The wallet does not answer right now; nothing was spent.") from error
    reply = HoldReply.from_text(text)
    if reply.refused is not None:
        raise _refusal(reply, call, request, top_up_url=ports.top_up_url)
    return _grip(call, candidates, bound, request, reply)


def _hold_request(call: Call, candidates: Sequence[Candidate], bound: Bound) -> HoldRequest:
    return HoldRequest(
        request_id=call.request_id,
        account_id=call.key.account_id,
        key_id=call.key.key_id,
        wanted_nano_usd=worst_case(bound, candidates, output_tokens=bound.output_tokens, at_ms=call.started_at_ms),
        least_nano_usd=least_case(bound, candidates, at_ms=call.started_at_ms),
        modest_nano_usd=_modest(call, candidates, bound),
        tokens=call.size_bytes // BYTES_PER_TYPICAL_TOKEN + (bound.output_tokens if call.max_tokens else 0),
        limits=call.key.limits,
        idempotency_key=call.idempotency_key,
        now_ms=call.started_at_ms,
        expires_ms=deadline_ms(call, candidates) + HOLD_GRACE_MS,
    )


def _modest(call: Call, candidates: Sequence[Candidate], bound: Bound) -> NanoUsd | None:
    if call.max_tokens is not None:
        return None
    output_tokens = min(MODEST_OUTPUT_TOKENS, bound.output_tokens)
    return worst_case(bound, candidates, output_tokens=output_tokens, at_ms=call.started_at_ms)


def _grip(call: Call, candidates: Sequence[Candidate], bound: Bound, request: HoldRequest, reply: HoldReply) -> Grip:
    headers = _rate_headers(reply.requests, reply.tokens)
    left, output_tokens = tuple(candidates), bound.output_tokens
    if reply.granted_nano_usd < request.wanted_nano_usd:
        left, output_tokens = affordable(bound, candidates, granted=reply.granted_nano_usd, at_ms=call.started_at_ms)
    is_bounded = call.max_tokens is not None or output_tokens < bound.output_tokens
    max_tokens = output_tokens if is_bounded else None
    if max_tokens is not None and max_tokens != call.max_tokens:
        headers["x-haotokai-max-tokens"] = str(max_tokens)
    return Grip(candidates=left, max_tokens=max_tokens, headers=headers)


def _refusal(reply: HoldReply, call: Call, request: HoldRequest, *, top_up_url: str) -> Refusal:
    headers = _rate_headers(reply.requests, reply.tokens)
    match reply.refused:
        case "insufficient_balance":
            return InsufficientBalance(
                f"The balance cannot pay for this request: {format_usd(reply.available_nano_usd)} USD is available,"
                f" and it may cost {format_usd(request.least_nano_usd)} USD even with a short answer.",
                metadata={
                    "balance_usd": format_usd(reply.available_nano_usd),
                    "needed_usd": format_usd(request.least_nano_usd),
                    "top_up_url": top_up_url,
                },
            )
        case "spend_cap_reached":
            return SpendCapReached(
                "The key's spend cap leaves too little for this request.",
                metadata={"period": call.key.limits.spend_cap_period},
            )
        case "rate_limit_exceeded":
            headers["retry-after"] = str(-(-(reply.retry_after_ms or 1000) // 1000))
            return RateLimitExceeded(
                f"The key's limit of {(reply.limit or 'requests').replace('_', ' ')} is reached.", headers=headers
            )
        case "key_revoked":
            return InvalidApiKey("The API key has been revoked.")
        case "duplicate_request":
            return _duplicate(reply)
        case None:
            raise ValueError("not a refusal")
        case _:
            assert_never(reply.refused)


def _duplicate(reply: HoldReply) -> Refusal:
    metadata: dict[str, str] = {"request_id": reply.first_request_id or ""}
    if reply.first_cost_nano_usd is None:
        return DuplicateRequest("A request with this Idempotency-Key is still being answered.", metadata=metadata)
    metadata["cost_usd"] = format_usd(reply.first_cost_nano_usd)
    return DuplicateRequest(
        "A request with this Idempotency-Key has been answered, and is not charged again. Answers are never stored,"
        " so it cannot be shown once more.",
        metadata=metadata,
    )


def _rate_headers(requests: RateState | None, tokens: RateState | None) -> dict[str, str]:
    """OpenAI's rate-limit headers, as far as the key has limits."""
    headers = {}
    for name, rate in (("requests", requests), ("tokens", tokens)):
        if rate is not None:
            headers[f"x-ratelimit-limit-{name}"] = str(rate.limit)
            headers[f"x-ratelimit-remaining-{name}"] = str(rate.remaining)
            headers[f"x-ratelimit-reset-{name}"] = f"{rate.reset_ms}ms"
    return headers
