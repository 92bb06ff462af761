"""What a request costs, decided once and purely from how it went.

The rules printed for customers: usage that the provider reported is billed. Error texts, failed attempts and answers
that never reached the commit point cost nothing. Where content came but no usage, the content is counted and the
record says ``estimated``.
"""

from collections.abc import Callable

from gateway.causes import FAILED_FINISHES
from gateway.frozen import frozen
from gateway.metering import usage_of
from gateway.money import NanoUsd
from gateway.ports import StreamFacts
from gateway.pricing import charge
from gateway.records import NO_USAGE, PriceRow, Usage, UsageState


@frozen
class Charge:
    """What the record says: how the request ended, what it used, what it costs, by which price row."""

    state: UsageState
    usage: Usage
    estimated: bool
    cost_nano_usd: NanoUsd
    price_row: str | None


FAILED = Charge(state="failed", usage=NO_USAGE, estimated=False, cost_nano_usd=NanoUsd(0), price_row=None)


def is_whole(facts: StreamFacts) -> bool:
    """Whether the provider ended the answer itself: with its end mark, or at least with a finish reason."""
    if facts.error is not None or facts.silent or facts.finish_reason in FAILED_FINISHES:
        return False
    return facts.done or facts.finish_reason is not None


def charge_for(facts: StreamFacts, row: PriceRow, *, estimate: Callable[[], Usage], started_at_ms: int) -> Charge:
    """The charge of an answer that reached the commit point; ``estimate`` counts where no usage was reported."""
    state: UsageState = "complete" if is_whole(facts) else "partial"
    usage = usage_of(facts.usage)
    estimated = usage is None
    if usage is None:
        if facts.content_bytes == 0:
            return Charge(state=state, usage=NO_USAGE, estimated=True, cost_nano_usd=NanoUsd(0), price_row=row.id)
        usage = estimate()
    cost = charge(row, usage, at_ms=started_at_ms)
    return Charge(state=state, usage=usage, estimated=estimated, cost_nano_usd=cost, price_row=row.id)
