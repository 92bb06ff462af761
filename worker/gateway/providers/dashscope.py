"""Alibaba Qwen on DashScope's compatible mode: a stream brings usage only when asked, in a chunk of its own."""

from typing import ClassVar

from gateway.causes import Cause, Rule
from gateway.ports import Document
from gateway.providers.dialect import Dialect, replace_developer_role


class DashScope(Dialect):
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

    def prepare(self, document: Document) -> None:
        replace_developer_role(document)
