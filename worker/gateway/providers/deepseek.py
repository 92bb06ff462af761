"""DeepSeek (api-docs.deepseek.com): OpenAI's wire; usage comes on the last chunk unasked."""

from collections.abc import Mapping
from typing import Any, ClassVar

from gateway.causes import Cause, Rule
from gateway.ports import Document
from gateway.providers.dialect import Dialect, clean_messages, forbid_forced_choice, is_enabled
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
    stops,
)


class DeepSeek(Dialect):
    asks_usage: ClassVar[bool] = False
    parameters: ClassVar[Mapping[str, Parameter] | None] = {
        **COMMON,
        "temperature": number(0, 2),
        "top_p": number(0, 1, above=True),
        "frequency_penalty": number(-2, 2),
        "presence_penalty": number(-2, 2),
        "stop": stops(16),
        "seed": SEED,
        "logprobs": one_of(True, False),
        "top_logprobs": integer(0, 20),
        "response_format": formats("text", "json_object"),
        "tool_choice": choices("auto", "none", "required", named=True),
        "thinking": anything(),
        "reasoning_effort": one_of("none", "minimal", "low", "medium", "high", "xhigh", "max"),
    }
    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(cause=Cause.OUR_BALANCE, message="insufficient balance"),
        Rule(cause=Cause.CONTENT_FILTER, message="content exists risk"),
        Rule(cause=Cause.CONTEXT_LENGTH, message="maximum context length is"),
        Rule(cause=Cause.MODEL_MISSING, message="model not exist|supported api model names are"),
    )

    def thinks(self, document: Document, inject: Mapping[str, Any]) -> bool:
        return is_enabled(document.read("thinking") or inject.get("thinking"), by_default=True)

    def check_thinking_choice(self, tool_choice: Any) -> None:
        forbid_forced_choice(tool_choice)

    def prepare(self, document: Document) -> None:
        super().prepare(document)
        clean_messages(document)
