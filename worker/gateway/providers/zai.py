"""Zhipu GLM on Z.ai (docs.z.ai): a role on every delta, no finish_reason key until the end, numbered error codes."""

from typing import ClassVar

from gateway.causes import Cause, Rule
from gateway.errors import UnsupportedParameter
from gateway.ports import Document
from gateway.providers.lab import Lab, Switches, switch_off_by_effort, type_of
from gateway.providers.parameters import (
    COMMON,
    PASSES,
    SEED,
    Parameter,
    Table,
    between,
    one_of,
    stops,
    thinking,
)

MAX_TOOLS = 128

_OFF = ("none", "minimal")
_WITH_EFFORT = ("glm-5.2", "glm-5.3")
_ALWAYS_THINKING = ("glm-5.3",)
_NEVER_THINKING = ("glm-4-",)

_TABLE: Table = {
    **COMMON,
    "seed": SEED,
    "temperature": between(0, 1),
    "top_p": between(0.01, 1),
    "stop": stops(4),
    "do_sample": PASSES,
    "request_id": PASSES,
    "user_id": PASSES,
    "tool_stream": PASSES,
    # It knows auto alone; none is said by leaving the tools out.
    "tool_choice": Parameter(takes="auto, none", accepts=lambda value: value in ("auto", "none")),
    "thinking": thinking("enabled", "disabled", clear_thinking=(True, False)),
    "reasoning_effort": one_of(*_OFF),
}
_EFFORT: Table = {**_TABLE, "reasoning_effort": one_of(*_OFF, "low", "medium", "high", "xhigh", "max")}
_ALWAYS: Table = {
    **_TABLE,
    "thinking": thinking("enabled", clear_thinking=(True, False)),
    "reasoning_effort": one_of("low", "high", "max"),
}


class Zai(Lab):
    repairs_all: ClassVar[bool] = True
    asks_usage: ClassVar[bool] = False
    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cause=Cause.OUR_KEY,
            codes=frozenset(
                {"1000", "1001", "1002", "1003", "1004", "401"}
                | {"1110", "1111", "1112", "1120", "1121"}  # the account is inactive, unknown or locked
                | {"1220", "434"}  # the account may not use this
            ),
        ),
        Rule(cause=Cause.OUR_KEY, status=434),
        Rule(cause=Cause.OUR_BALANCE, codes=frozenset({"1113", "1309", "1311"})),
        Rule(cause=Cause.RATE_LIMIT, codes=frozenset({"1302", "1303", "1304", "1308", "1310"})),
        Rule(cause=Cause.OVERLOADED, codes=frozenset({"1305", "1312"})),
        Rule(cause=Cause.SERVER_ERROR, codes=frozenset({"500", "1230", "1234"})),
        Rule(cause=Cause.CONTENT_FILTER, codes=frozenset({"1301"})),
        Rule(cause=Cause.CONTEXT_LENGTH, codes=frozenset({"1261"})),
        Rule(cause=Cause.MODEL_MISSING, codes=frozenset({"1211", "1221", "1222"})),
        Rule(cause=Cause.BAD_REQUEST, codes=frozenset({"1210", "1212", "1213", "1214", "1215", "435"})),
    )

    def parameters(self, model: str, *, thinking: bool) -> Table:
        del thinking
        if model.startswith(_ALWAYS_THINKING):
            return _ALWAYS
        return _EFFORT if model.startswith(_WITH_EFFORT) else _TABLE

    def is_thinking(self, model: str, switches: Switches) -> bool:
        if model.startswith(_ALWAYS_THINKING):
            return True
        off = type_of(switches) == "disabled" or switches.get("reasoning_effort") in _OFF
        return not off and not model.startswith(_NEVER_THINKING)

    def check_tools(self, document: Document, model: str) -> None:
        super().check_tools(document, model)
        if len(document.items("tools")) > MAX_TOOLS:
            raise UnsupportedParameter(f"{model} takes at most {MAX_TOOLS} tools.", param="tools")

    def rename(self, document: Document) -> None:
        switch_off_by_effort(document, *_OFF)
        if isinstance(stop := document.read("stop"), str):
            document.write("stop", [stop])
        if document.read("tool_choice") == "none":
            document.remove("tools")
            document.remove("tool_choice")
