"""iFlytek Spark (xfyun.cn HTTP API): no object, model or finish_reason; an error is a code inside a 200."""

from typing import Any, ClassVar

from gateway.causes import Cause, Rule
from gateway.errors import UnsupportedParameter
from gateway.ports import Document
from gateway.providers.lab import Lab, Switches, type_of
from gateway.providers.parameters import COMMON, Table, above, between, thinking, tool_choices

_OWN_FIELDS = ("code", "message", "sid")
_WITH_TOOLS = ("generalv3.5", "max-32k", "4.0Ultra", "spark-x")
_WITHOUT_SEARCH = ("lite",)
_THINKING = ("spark-x",)
_NO_SEARCH = {"type": "web_search", "web_search": {"enable": False}}

_TABLE: Table = {
    **COMMON,
    "temperature": between(0, 2),
    "top_p": above(0, 1),
    "top_k": between(1, 6),
    "presence_penalty": between(0, 2),
    "frequency_penalty": between(0, 1),
    "tool_choice": tool_choices("auto", "none", "required", named=True),
}
_TABLE_OF_X: Table = {**_TABLE, "thinking": thinking("enabled", "disabled", "auto")}


class Spark(Lab):
    repairs_all: ClassVar[bool] = True
    asks_usage: ClassVar[bool] = False
    takes_reasoning: ClassVar[bool] = False
    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(cause=Cause.OUR_KEY, codes=frozenset({"11200", "10015", "10016"})),
        Rule(cause=Cause.OUR_KEY, message="^invalid user"),
        Rule(cause=Cause.RATE_LIMIT, codes=frozenset({"10007", "11201", "11202", "11203"})),
        Rule(cause=Cause.OVERLOADED, codes=frozenset({"10008", "10110"})),
        Rule(cause=Cause.CONTENT_FILTER, codes=frozenset({"10013", "10014", "10019"})),
        Rule(cause=Cause.CONTEXT_LENGTH, codes=frozenset({"10907"})),
        Rule(cause=Cause.MODEL_MISSING, codes=frozenset({"10005"}), message="param model"),
        Rule(cause=Cause.BAD_REQUEST, codes=frozenset({"10005", "10163"})),
    )

    def parameters(self, model: str, *, thinking: bool) -> Table:
        del thinking
        return _TABLE_OF_X if model.startswith(_THINKING) else _TABLE

    def is_thinking(self, model: str, switches: Switches) -> bool:
        return model.startswith(_THINKING) and type_of(switches) != "disabled"

    def check_tools(self, document: Document, model: str) -> None:
        super().check_tools(document, model)
        if document.items("tools") and not model.startswith(_WITH_TOOLS):
            raise UnsupportedParameter(f"'tools' is not supported by {model}.", param="tools")

    def prepare(self, document: Document) -> None:
        super().prepare(document)
        tools = document.read("tools")
        if tools is not None:
            # Without the switch, tool_calls is an object in place of a list.
            document.write("tool_calls_switch", True)
        if document.read("model") not in _WITHOUT_SEARCH:
            # It searches the web unless told not to, and what it finds is billed.
            document.write("tools", [*(tools or ()), _NO_SEARCH])

    def repair_chunk(self, chunk: dict[str, Any]) -> None:
        for name in _OWN_FIELDS:
            chunk.pop(name, None)

    def repair_answer(self, answer: Document) -> None:
        for name in _OWN_FIELDS:
            answer.remove(name)
        super().repair_answer(answer)
