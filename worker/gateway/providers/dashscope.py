"""Alibaba's DashScope in its OpenAI-compatible mode, for Qwen and for models of others: a stream brings usage only
when asked, in a chunk of its own."""

from typing import ClassVar

from gateway.causes import Cause, Rule
from gateway.errors import UnsupportedParameter
from gateway.ports import Document
from gateway.providers.lab import Lab, Switches
from gateway.providers.parameters import (
    COMMON,
    PASSES,
    SEED,
    Table,
    above,
    below,
    between,
    formats,
    one_of,
    only,
    stops,
    tool_choices,
)

MAX_STOPS = 16
MAX_THINKING_TOKENS = 2**20

# Qwen's commercial models think when told to; these think unless told not to.
_THINKING_BY_DEFAULT = ("glm-", "kimi-k2")
_ALWAYS_THINKING = ("kimi-k3",)
_WITHOUT_THINKING = ("qwen2.5-",)
_WITH_SCHEMA = ("qwen3.8-max",)
_WITH_SEVERAL_ANSWERS = ("qwen-plus",)

_TABLE: Table = {
    **COMMON,
    "temperature": below(0, 2),
    "top_p": above(0, 1),
    "top_k": between(0, 1000),
    "presence_penalty": between(-2, 2),
    "repetition_penalty": above(0, 2),
    "seed": SEED,
    "stop": stops(MAX_STOPS),
    "parallel_tool_calls": PASSES,
    "tool_choice": tool_choices("auto", "none", named=True),
    "enable_search": only(False),
    "enable_thinking": PASSES,
    "thinking_budget": between(1, MAX_THINKING_TOKENS),
    "reasoning_effort": one_of("none"),
}
_THINKING: Table = {**_TABLE, "tool_choice": tool_choices("auto", "none", named=False)}
_PLAIN: Table = {
    **{name: parameter for name, parameter in _TABLE.items() if name != "thinking_budget"},
    "enable_thinking": only(False),
}
_ALWAYS: Table = {
    **{name: parameter for name, parameter in _THINKING.items() if name != "reasoning_effort"},
    "enable_thinking": only(True),
}
_SCHEMA: Table = {"response_format": formats("text", "json_object", "json_schema")}
_SEVERAL: Table = {"n": between(1, 4)}


class DashScope(Lab):
    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cause=Cause.OUR_BALANCE,
            codes=frozenset({"Arrearage", "AllocationQuota.FreeTierOnly", "PrepaidBillOverdue", "PostpaidBillOverdue"}),
        ),
        Rule(
            cause=Cause.OUR_KEY,
            codes=frozenset(
                {
                    "invalid_api_key",
                    "InvalidApiKey",
                    "AccessDenied",
                    "AccessDenied.Unpurchased",
                    "Model.AccessDenied",
                    "Workspace.AccessDenied",
                }
            ),
        ),
        Rule(cause=Cause.CONTENT_FILTER, codes=frozenset({"data_inspection_failed", "DataInspectionFailed"})),
        Rule(cause=Cause.RATE_LIMIT, codes=frozenset({"limit_requests", "limit_tokens", "insufficient_quota"})),
        Rule(
            cause=Cause.RATE_LIMIT,
            codes=frozenset(
                {"Throttling", "Throttling.RateQuota", "Throttling.BurstRate", "Throttling.AllocationQuota"}
            ),
        ),
        Rule(cause=Cause.OVERLOADED, codes=frozenset({"ServiceUnavailable", "ModelServingError"})),
        Rule(cause=Cause.TIMEOUT, codes=frozenset({"RequestTimeOut", "InternalError.Timeout"})),
        Rule(cause=Cause.CONTEXT_LENGTH, message="range of input length should be"),
        Rule(cause=Cause.MODEL_MISSING, codes=frozenset({"model_not_found", "ModelNotFound"})),
        Rule(cause=Cause.BAD_REQUEST, codes=frozenset({"invalid_parameter_error", "InvalidParameter"})),
    )

    def parameters(self, model: str, *, thinking: bool) -> Table:
        if model.startswith(_WITHOUT_THINKING):
            return _PLAIN
        if model.startswith(_ALWAYS_THINKING):
            return _ALWAYS
        if thinking:
            return {**_THINKING, **_SCHEMA} if model.startswith(_WITH_SCHEMA) else _THINKING
        if model.startswith(_WITH_SEVERAL_ANSWERS):
            return {**_TABLE, **_SEVERAL}
        return {**_TABLE, **_SCHEMA} if model.startswith(_WITH_SCHEMA) else _TABLE

    def is_thinking(self, model: str, switches: Switches) -> bool:
        if model.startswith(_ALWAYS_THINKING):
            return True
        if model.startswith(_WITHOUT_THINKING) or switches.get("reasoning_effort") == "none":
            return False
        enabled = switches.get("enable_thinking")
        return model.startswith(_THINKING_BY_DEFAULT) if enabled is None else enabled is True

    def check_tools(self, document: Document, model: str) -> None:
        super().check_tools(document, model)
        if (document.read("n") or 1) > 1:
            raise UnsupportedParameter(f"'n' must be 1 with tools for {model}.", param="n")

    def rename(self, document: Document) -> None:
        if document.read("reasoning_effort") == "none":
            document.remove("reasoning_effort")
            document.write("enable_thinking", False)

    def prepare(self, document: Document) -> None:
        super().prepare(document)
        is_qwen = str(document.read("model")).startswith("qwen")
        if is_qwen and document.items("tools") and document.read("parallel_tool_calls") is None:
            # OpenAI's default, which its pages describe as something to ask for.
            document.write("parallel_tool_calls", True)
