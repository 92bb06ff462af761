"""What a request costs, by how it went; and that no charge exceeds the hold that was taken for it."""

from collections.abc import Mapping
from typing import Any

import pytest

from gateway.charging import FAILED, charge_for, is_whole
from gateway.ports import StreamFacts
from gateway.records import NO_USAGE, Usage
from tests.unit.gateway.catalogues import FLAT, NOW_MS, TIERED
from tests.unit.gateway.shapes import DEEPSEEK_TOKENS, DEEPSEEK_USAGE, usage

COUNTED = usage(30, 7)
ERROR = {"message": "m"}


@pytest.mark.parametrize(
    ("facts", "whole"),
    [
        (StreamFacts(done=True), True),
        (StreamFacts(finish_reason="stop"), True),
        (StreamFacts(done=True, finish_reason="stop"), True),
        (StreamFacts(), False),
        (StreamFacts(usage=DEEPSEEK_TOKENS), False),
        (StreamFacts(done=True, error=ERROR), False),
        (StreamFacts(finish_reason="stop", error=ERROR), False),
        (StreamFacts(finish_reason="stop", silent=True), False),
    ],
)
def test_an_answer_is_whole_where_the_provider_ended_it_without_an_error_or_a_silence(
    facts: StreamFacts, whole: bool
) -> None:
    assert is_whole(facts) is whole


@pytest.mark.parametrize("whole", [True, False], ids=["complete", "partial"])
@pytest.mark.parametrize(
    ("reported", "content_bytes", "billed", "estimated"),
    [
        (DEEPSEEK_TOKENS, 100, DEEPSEEK_USAGE, False),
        (DEEPSEEK_TOKENS, 0, DEEPSEEK_USAGE, False),
        ({"prompt_tokens": 0, "completion_tokens": 0}, 100, NO_USAGE, False),
        ({"completion_tokens": 4}, 100, COUNTED, True),
        (None, 100, COUNTED, True),
        (None, 1, COUNTED, True),
        (None, 0, NO_USAGE, True),
    ],
)
def test_reported_usage_is_billed_else_content_is_counted_and_nothing_costs_nothing(
    reported: Mapping[str, Any] | None, content_bytes: int, billed: Usage, estimated: bool, whole: bool
) -> None:
    facts = StreamFacts(usage=reported, content_bytes=content_bytes, done=whole)

    charge = charge_for(facts, FLAT, estimate=lambda: COUNTED, started_at_ms=NOW_MS)

    rates = FLAT.tiers[0].rates
    uncached = billed.prompt_tokens - billed.cached_tokens
    pico = uncached * rates.input + billed.cached_tokens * rates.cached_input + billed.completion_tokens * rates.output
    assert (charge.usage, charge.estimated, charge.price_row) == (billed, estimated, "flat")
    assert charge.cost_nano_usd == pico // 1_000
    assert charge.state == ("complete" if whole else "partial")


def test_the_tier_of_the_reported_prompt_prices_the_whole_request() -> None:
    def cost(prompt: int) -> int:
        facts = StreamFacts(usage={"prompt_tokens": prompt, "completion_tokens": 1}, done=True)
        return charge_for(facts, TIERED, estimate=lambda: NO_USAGE, started_at_ms=NOW_MS).cost_nano_usd

    assert (cost(32), cost(33)) == (32 * 1_200 + 6_000, 33 * 2_400 + 12_000)


def test_a_failed_request_costs_nothing_and_names_no_price() -> None:
    assert (FAILED.state, FAILED.cost_nano_usd, FAILED.price_row, FAILED.usage) == ("failed", 0, None, NO_USAGE)
