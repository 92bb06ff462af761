"""Alibaba Qwen on DashScope's compatible mode: a stream brings usage only when asked, in a chunk of its own."""

from collections.abc import Mapping
from typing import Any, ClassVar

from gateway.causes import Cause, Rule
from gateway.ports import Document
from gateway.providers.dialect import Dialect, clean_messages, forbid_forced_choice
from gateway.providers.parameters import (
    COMMON,
    SEED,
    Parameter,
    anything,
    choices,
    formats,
    integer,
    number,
    one_of,
    only,
    stops,
)


class DashScope(Dialect):
    parameters: ClassVar[Mapping[str, Parameter] | None] = {
        **COMMON,
        "temperature": number(0, 2, below=True),
        "top_p": number(0, 1, above=True),
        "top_k": anything(),
        "presence_penalty": number(-2, 2),
        "repetition_penalty": anything(),
        "frequency_penalty": only(0),
        "stop": stops(16),
        "seed": SEED,
        "n": integer(1, 4),
        "parallel_tool_calls": one_of(True, False),
        "response_format": formats("text", "json_object", "json_schema"),
        "tool_choice": choices("auto", "none", named=True),
        "enable_thinking": one_of(True, False),
        "thinking_budget": anything(),
    }
    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cause=Cause.OUR_BALANCE,
            codes=frozenset({"Arrearage", "AllocationQuota.FreeTierOnly", "PrepaidBillOverdue", "PostpaidBillOverdue"}),
        ),
        Rule(cause=Cause.OUR_KEY, codes=frozenset({"invalid_api_key"})),
        Rule(cause=Cause.CONTENT_FILTER, codes=frozenset({"data_inspection_failed", "DataInspectionFailed"})),
        Rule(cause=Cause.RATE_LIMIT, codes=frozenset({"limit_requests", "limit_tokens", "insufficient_quota"})),
        Rule(
            cause=Cause.RATE_LIMIT,
            codes=frozenset(
                {"Throttling", "Throttling.RateQuota", "Throttling.BurstRate", "Throttling.AllocationQuota"}
            ),
        ),
        Rule(cause=Cause.CONTEXT_LENGTH, message="range of input length should be"),
        Rule(cause=Cause.MODEL_MISSING, codes=frozenset({"model_not_found"})),
    )

    def thinks(self, document: Document, inject: Mapping[str, Any]) -> bool:
        asked = document.read("enable_thinking")
        return bool(inject.get("enable_thinking") if asked is None else asked)

    def check_thinking_choice(self, tool_choice: Any) -> None:
        forbid_forced_choice(tool_choice)

    def prepare(self, document: Document) -> None:
        super().prepare(document)
        clean_messages(document)
