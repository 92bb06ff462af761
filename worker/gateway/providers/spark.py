"""iFlytek Spark (xfyun.cn HTTP API): no object, model or finish_reason; an error is a code inside a 200."""

from collections.abc import Mapping
from typing import Any, ClassVar

from gateway.causes import Cause, Rule
from gateway.ports import Document
from gateway.providers.dialect import Dialect, choices_of, clean_messages
from gateway.providers.parameters import COMMON, Parameter, anything, choices, formats, integer, number

_OWN_FIELDS = ("code", "message", "sid")


class Spark(Dialect):
    native_stream: ClassVar[bool] = False
    asks_usage: ClassVar[bool] = False
    parameters: ClassVar[Mapping[str, Parameter] | None] = {
        **COMMON,
        "temperature": number(0, 2),
        "top_p": number(0, 1, above=True),
        "top_k": integer(1, 6),
        "presence_penalty": number(0, 2),
        "frequency_penalty": number(0, 1),
        "response_format": formats("text", "json_object"),
        "tool_choice": choices("auto", "none", "required", named=True),
        "thinking": anything(),
    }
    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(cause=Cause.OUR_KEY, codes=frozenset({"11200"})),
        Rule(cause=Cause.RATE_LIMIT, codes=frozenset({"11202", "11203"})),
        Rule(cause=Cause.CONTENT_FILTER, codes=frozenset({"10013", "10014"})),
        Rule(cause=Cause.CONTEXT_LENGTH, codes=frozenset({"10907"})),
        Rule(cause=Cause.MODEL_MISSING, codes=frozenset({"10005"}), message="param model"),
        Rule(cause=Cause.BAD_REQUEST, codes=frozenset({"10005"})),
    )

    def prepare(self, document: Document) -> None:
        super().prepare(document)
        clean_messages(document)
        if document.read("tools") is not None:
            # Without the switch, tool_calls is an object in place of a list.
            document.write("tool_calls_switch", True)

    def repair_chunk(self, chunk: dict[str, Any]) -> None:
        for name in _OWN_FIELDS:
            chunk.pop(name, None)
        chunk.setdefault("object", "chat.completion.chunk")
        for choice in choices_of(chunk):
            choice.setdefault("index", 0)
            choice.setdefault("finish_reason", None)

    def repair_answer(self, answer: Document) -> bool:
        for name in _OWN_FIELDS:
            answer.remove(name)
        if answer.read("object") is None:
            answer.write("object", "chat.completion")
        for choice in answer.items("choices"):
            if choice.read("finish_reason") is None:
                message = choice.read("message") or {}
                choice.write("finish_reason", "tool_calls" if message.get("tool_calls") else "stop")
        return True
