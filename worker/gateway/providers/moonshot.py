"""Moonshot Kimi (platform.kimi.ai/docs): usage stands inside the last choice, beside it, or in a chunk of its own."""

from typing import Any, ClassVar

from gateway.causes import Cause, Rule
from gateway.ports import Document
from gateway.providers.dialect import Dialect, replace_developer_role


class Moonshot(Dialect):
    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(cause=Cause.OUR_BALANCE, codes=frozenset({"exceeded_current_quota_error"})),
        Rule(cause=Cause.OVERLOADED, codes=frozenset({"engine_overloaded_error"})),
        Rule(cause=Cause.RATE_LIMIT, codes=frozenset({"rate_limit_reached_error"})),
        Rule(cause=Cause.CONTENT_FILTER, codes=frozenset({"content_filter"})),
        Rule(cause=Cause.MODEL_MISSING, codes=frozenset({"resource_not_found_error"})),
        Rule(cause=Cause.CONTEXT_LENGTH, message="exceeded model token limit|input token length too long"),
    )

    def prepare(self, document: Document) -> None:
        replace_developer_role(document)

    def repair_chunk(self, chunk: dict[str, Any]) -> None:
        chunk.setdefault("object", "chat.completion.chunk")
