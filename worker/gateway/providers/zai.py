"""Zhipu GLM on Z.ai (docs.z.ai): a role on every delta, no finish_reason key until the end, numbered error codes."""

from collections.abc import Mapping
from typing import Any, ClassVar

from gateway.causes import Cause, Rule
from gateway.ports import Document
from gateway.providers.dialect import Dialect, choices_of, clean_messages
from gateway.providers.parameters import (
    COMMON,
    SEED,
    Parameter,
    anything,
    choices,
    formats,
    number,
    one_of,
    only,
    stops,
)

_FINISH_REASONS = {"sensitive": "content_filter", "model_context_window_exceeded": "length"}


class Zai(Dialect):
    native_stream: ClassVar[bool] = False
    asks_usage: ClassVar[bool] = False
    parameters: ClassVar[Mapping[str, Parameter] | None] = {
        **COMMON,
        "temperature": number(0, 1),
        "top_p": number(0.01, 1),
        "frequency_penalty": only(0),
        "presence_penalty": only(0),
        "stop": stops(4),
        "seed": SEED,
        "response_format": formats("text", "json_object"),
        "tool_choice": choices("auto", named=False),
        "thinking": anything(),
        "reasoning_effort": one_of("none", "minimal", "low", "medium", "high", "xhigh", "max"),
        "do_sample": one_of(True, False),
        "tool_stream": one_of(True, False),
    }
    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(cause=Cause.OUR_KEY, codes=frozenset({"1000", "1001", "1002", "1003", "1004", "401"})),
        Rule(cause=Cause.OUR_BALANCE, codes=frozenset({"1113"})),
        Rule(cause=Cause.RATE_LIMIT, codes=frozenset({"1302", "1303", "1304", "1308", "1310"})),
        Rule(cause=Cause.OVERLOADED, codes=frozenset({"1305", "1312"})),
        Rule(cause=Cause.CONTENT_FILTER, codes=frozenset({"1301"})),
        Rule(cause=Cause.CONTEXT_LENGTH, codes=frozenset({"1261"})),
        Rule(cause=Cause.MODEL_MISSING, codes=frozenset({"1211"})),
        Rule(cause=Cause.BAD_REQUEST, codes=frozenset({"1210", "1213", "1214"})),
    )

    def prepare(self, document: Document) -> None:
        super().prepare(document)
        clean_messages(document)
        if isinstance(stop := document.read("stop"), str):
            document.write("stop", [stop])

    def repair_chunk(self, chunk: dict[str, Any]) -> None:
        chunk.setdefault("object", "chat.completion.chunk")
        for choice in choices_of(chunk):
            choice["finish_reason"] = _openai_reason(choice.get("finish_reason"))

    def repair_answer(self, answer: Document) -> bool:
        for choice in answer.items("choices"):
            choice.write("finish_reason", _openai_reason(choice.read("finish_reason")))
        if answer.read("object") is None:
            answer.write("object", "chat.completion")
        return True


def _openai_reason(reason: Any) -> Any:
    return _FINISH_REASONS.get(reason, reason) if isinstance(reason, str) else reason
