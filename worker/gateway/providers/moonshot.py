"""Moonshot Kimi (platform.kimi.ai/docs): usage stands inside the last choice, beside it, or in a chunk of its own."""

from typing import Any, ClassVar

from gateway.causes import Cause, Rule
from gateway.ports import Document
from gateway.providers.lab import Lab, Switches, switch_off_by_effort, type_of
from gateway.providers.parameters import (
    COMMON,
    SEED,
    Table,
    formats,
    one_of,
    only,
    stops,
    thinking,
    tool_choices,
)

_K3 = "kimi-k3"
_ALWAYS_THINKING = (_K3, "kimi-k2.7")

_PINNED: Table = {
    **COMMON,
    "seed": SEED,
    "temperature": only(1),
    "top_p": only(0.95),
    "response_format": formats("text", "json_object", "json_schema"),
    "stop": stops(5, most_bytes=32),
    "tool_choice": tool_choices("auto", "none", named=False),
    "thinking": thinking("enabled", "disabled", keep=("all", None)),
    "reasoning_effort": one_of("none"),
}
_NOT_THINKING: Table = {
    **_PINNED,
    "temperature": only(0.6),
    "tool_choice": tool_choices("auto", "none", named=True),
}
_ALWAYS: Table = {
    **{name: parameter for name, parameter in _PINNED.items() if name != "reasoning_effort"},
    "thinking": thinking("enabled", keep=("all", None)),
}
_EFFORT: Table = {
    **{name: parameter for name, parameter in _PINNED.items() if name != "thinking"},
    "tool_choice": tool_choices("auto", "none", "required", named=False),
    "reasoning_effort": one_of("low", "high", "max"),
}


class Moonshot(Lab):
    mark_of_chunk: ClassVar[bytes] = b'"object":"chat.completion.chunk"'
    echoes_reasoning: ClassVar[bool] = True
    empty_content: ClassVar[str | None] = None
    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(cause=Cause.OUR_BALANCE, codes=frozenset({"exceeded_current_quota_error"})),
        Rule(cause=Cause.OUR_BALANCE, message="insufficient balance|recharge your account"),
        Rule(cause=Cause.OUR_KEY, codes=frozenset({"invalid_authentication_error", "incorrect_api_key_error"})),
        Rule(cause=Cause.OVERLOADED, codes=frozenset({"engine_overloaded_error"})),
        Rule(cause=Cause.RATE_LIMIT, codes=frozenset({"rate_limit_reached_error"})),
        Rule(cause=Cause.CONTENT_FILTER, codes=frozenset({"content_filter"})),
        Rule(cause=Cause.MODEL_MISSING, codes=frozenset({"resource_not_found_error"})),
        Rule(cause=Cause.CONTEXT_LENGTH, message="exceeded model token limit|input token length too long"),
        Rule(cause=Cause.BAD_REQUEST, types=frozenset({"invalid_request_error"}), status=200),
    )

    def parameters(self, model: str, *, thinking: bool) -> Table:
        if model.startswith(_K3):
            return _EFFORT
        if model.startswith(_ALWAYS_THINKING):
            return _ALWAYS
        return _PINNED if thinking else _NOT_THINKING

    def is_thinking(self, model: str, switches: Switches) -> bool:
        if model.startswith(_ALWAYS_THINKING):
            return True
        return type_of(switches) != "disabled" and switches.get("reasoning_effort") != "none"

    def rename(self, document: Document) -> None:
        switch_off_by_effort(document, "none")
        wanted = document.read("response_format")
        schema = _schema_of(wanted)
        if schema is not None and "$schema" in schema:
            # It only names the dialect of JSON Schema, and is refused here.
            del schema["$schema"]
            document.write("response_format", wanted)


def _schema_of(wanted: Any) -> dict[str, Any] | None:
    described = wanted.get("json_schema") if isinstance(wanted, dict) else None
    schema = described.get("schema") if isinstance(described, dict) else None
    return schema if isinstance(schema, dict) else None
