"""Moonshot Kimi (platform.kimi.ai/docs): usage stands inside the last choice, beside it, or in a chunk of its own."""

from collections.abc import Mapping
from typing import Any, ClassVar

from gateway.causes import Cause, Rule
from gateway.errors import UnsupportedParameter
from gateway.ports import Document
from gateway.providers.dialect import Dialect, clean_messages, forbid_forced_choice, is_enabled
from gateway.providers.parameters import COMMON, SEED, Parameter, anything, choices, formats, one_of, only, stops
from gateway.records import Target

# Pinned by the lab (platform.kimi.ai/docs, K2.6): any other value is an error there.
_THINKING_TEMPERATURE, _PLAIN_TEMPERATURE = 1, 0.6


class Moonshot(Dialect):
    parameters: ClassVar[Mapping[str, Parameter] | None] = {
        **COMMON,
        "top_p": only(0.95),
        "frequency_penalty": only(0),
        "presence_penalty": only(0),
        "temperature": only(_THINKING_TEMPERATURE, _PLAIN_TEMPERATURE),
        "stop": stops(5, longest_bytes=32),
        "seed": SEED,
        "response_format": formats("text", "json_object", "json_schema"),
        "tool_choice": choices("auto", "none", named=True),
        "thinking": anything(),
        "reasoning_effort": one_of("low", "high", "max"),
    }
    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(cause=Cause.OUR_BALANCE, codes=frozenset({"exceeded_current_quota_error"})),
        Rule(cause=Cause.OVERLOADED, codes=frozenset({"engine_overloaded_error"})),
        Rule(cause=Cause.RATE_LIMIT, codes=frozenset({"rate_limit_reached_error"})),
        Rule(cause=Cause.CONTENT_FILTER, codes=frozenset({"content_filter"})),
        Rule(cause=Cause.MODEL_MISSING, codes=frozenset({"resource_not_found_error"})),
        Rule(cause=Cause.CONTEXT_LENGTH, message="exceeded model token limit|input token length too long"),
    )

    def check(self, document: Document, names: frozenset[str], target: Target) -> None:
        super().check(document, names, target)
        if "temperature" in names and (temperature := document.read("temperature")) is not None:
            pinned = _THINKING_TEMPERATURE if self.thinks(document, target.inject) else _PLAIN_TEMPERATURE
            if temperature != pinned:
                raise UnsupportedParameter(f"'temperature' can only be {pinned} for this model.", param="temperature")

    def thinks(self, document: Document, inject: Mapping[str, Any]) -> bool:
        return is_enabled(document.read("thinking") or inject.get("thinking"), by_default=True)

    def check_thinking_choice(self, tool_choice: Any) -> None:
        forbid_forced_choice(tool_choice)

    def prepare(self, document: Document) -> None:
        super().prepare(document)
        clean_messages(document)

    def repair_chunk(self, chunk: dict[str, Any]) -> None:
        chunk.setdefault("object", "chat.completion.chunk")
