"""DeepSeek (api-docs.deepseek.com): OpenAI's wire; usage comes on the last chunk unasked; thinks unless told not to."""

from typing import ClassVar

from gateway.causes import Cause, Rule
from gateway.ports import Document
from gateway.providers.lab import Lab, Switches, switch_off_by_effort, type_of
from gateway.providers.parameters import (
    COMMON,
    PASSES,
    SEED,
    Table,
    above,
    between,
    one_of,
    stops,
    thinking,
    tool_choices,
)

# Its own mapping (api-docs.deepseek.com/guides/thinking_mode).
_EFFORTS = {"minimal": "low", "medium": "high", "xhigh": "high", "ultra": "max"}

_TABLE: Table = {
    **COMMON,
    "seed": SEED,
    # While thinking, it takes temperature and penalties and leaves them without effect, and keeps top_p within 0.95
    # to 1 (guides/thinking_mode).
    "temperature": between(0, 2),
    "top_p": above(0, 1),
    "presence_penalty": between(-2, 2),
    "frequency_penalty": between(-2, 2),
    "logprobs": PASSES,
    "top_logprobs": between(0, 20),
    "stop": stops(16),
    "thinking": thinking("enabled", "disabled"),
    "reasoning_effort": one_of("none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra"),
    "tool_choice": tool_choices("auto", "none", "required", named=True),
    "user_id": PASSES,
}
_THINKING: Table = {**_TABLE, "tool_choice": tool_choices("auto", "none", named=False)}


class DeepSeek(Lab):
    asks_usage: ClassVar[bool] = False
    echoes_reasoning: ClassVar[bool] = True
    rules: ClassVar[tuple[Rule, ...]] = (
        # Its code is nearly always invalid_request_error, whatever happened.
        Rule(cause=Cause.OUR_KEY, codes=frozenset({"authentication_error"})),
        Rule(cause=Cause.OUR_KEY, message="authentication fails"),
        Rule(cause=Cause.OUR_BALANCE, message="insufficient balance"),
        Rule(
            cause=Cause.OVERLOADED,
            codes=frozenset({"service_unavailable_error"}),
        ),
        Rule(cause=Cause.OVERLOADED, message="(service|server) is (too )?busy|overloaded"),
        Rule(cause=Cause.RATE_LIMIT, message="rate limit"),
        Rule(cause=Cause.CONTENT_FILTER, message="content exists risk"),
        Rule(cause=Cause.CONTEXT_LENGTH, message="maximum context length is"),
        Rule(cause=Cause.MODEL_MISSING, message="model not exist|supported api model names are"),
        Rule(cause=Cause.BAD_REQUEST, types=frozenset({"invalid_request_error"}), status=200),
    )

    def parameters(self, model: str, *, thinking: bool) -> Table:
        del model
        return _THINKING if thinking else _TABLE

    def is_thinking(self, model: str, switches: Switches) -> bool:
        del model
        return type_of(switches) != "disabled" and switches.get("reasoning_effort") != "none"

    def rename(self, document: Document) -> None:
        switch_off_by_effort(document, "none")
        if (effort := document.read("reasoning_effort")) in _EFFORTS:
            document.write("reasoning_effort", _EFFORTS[effort])
