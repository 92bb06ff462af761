"""What the five labs' dialects have in common: a table of parameters, switches of thinking, clean messages."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from gateway.errors import InvalidRequest, UnsupportedParameter
from gateway.ports import Document
from gateway.providers.dialect import Dialect
from gateway.providers.messages import clean, unexplained_tool_call
from gateway.providers.parameters import Table, check, leave_out
from gateway.records import Target
from gateway.repairs import repair_answer

SWITCHES = ("thinking", "reasoning_effort", "enable_thinking")
"""Whether, and how hard, a model thinks. They are one: a caller who names one of them replaces all that the target
injects, so that ``deepseek-chat`` with ``reasoning_effort`` thinks."""

Switches = Mapping[str, Any]


class Lab(Dialect, ABC):
    """``echoes_reasoning``: while thinking, tool calls must come back with the reasoning that led to them.
    ``empty_content`` is the content of a message of tool calls alone."""

    takes_reasoning: ClassVar[bool] = True
    echoes_reasoning: ClassVar[bool] = False
    empty_content: ClassVar[str | None] = ""

    @abstractmethod
    def parameters(self, model: str, *, thinking: bool) -> Table:
        """What the provider's ``model`` does with each parameter."""

    def is_thinking(self, model: str, switches: Switches) -> bool:
        """Whether the model thinks with these switches, which may hold anything."""
        del model, switches
        return False

    def check(self, document: Document, names: frozenset[str], target: Target) -> None:
        switches = document.given(SWITCHES) or target.inject
        _refuse_contradiction(switches)
        thinking = self.is_thinking(target.model, switches)
        check(document, names, self.parameters(target.model, thinking=thinking), model=target.model)
        if "tools" in names:
            self.check_tools(document, target.model)
            if thinking and self.echoes_reasoning:
                _refuse_unexplained(document, target.model)

    def check_tools(self, document: Document, model: str) -> None:
        """Raises as ``check`` does, for the tools."""
        del model
        if not document.items("tools") and document.read("tools"):
            raise InvalidRequest("'tools' must be a list of tools.", param="tools")

    def inject(self, document: Document, values: Mapping[str, Any]) -> None:
        switched = values and document.given(SWITCHES)
        for name, value in values.items():
            if document.read(name) is None and not (switched and name in SWITCHES):
                document.write(name, value)

    def thinks(self, document: Document) -> bool:
        return self.is_thinking(document.read("model"), document.given(SWITCHES))

    def prepare(self, document: Document) -> None:
        self.rename(document)
        names = frozenset(document.names())
        if "tools" in names and not document.items("tools"):
            for name in ("tools", "tool_choice", "parallel_tool_calls"):
                document.remove(name)
        leave_out(document, names, self.parameters(document.read("model"), thinking=self.thinks(document)))
        clean(document, takes_reasoning=self.takes_reasoning, empty_content=self.empty_content)

    def rename(self, document: Document) -> None:
        """Say the same in the provider's words."""

    def repair_answer(self, answer: Document) -> None:
        repair_answer(answer)


def type_of(switches: Switches) -> Any:
    """The type of a switch ``thinking``."""
    switch = switches.get("thinking")
    return switch.get("type") if isinstance(switch, dict) else None


def switch_off_by_effort(document: Document, *words: str) -> None:
    """An effort of none is thinking switched off, for a provider that says it so."""
    if document.read("reasoning_effort") in words:
        document.remove("reasoning_effort")
        document.write("thinking", {"type": "disabled"})


def _refuse_contradiction(switches: Switches) -> None:
    effort = switches.get("reasoning_effort")
    if effort is None:
        return
    off = type_of(switches) == "disabled" or switches.get("enable_thinking") is False
    on = type_of(switches) == "enabled" or switches.get("enable_thinking") is True
    if (off and effort != "none") or (on and effort == "none"):
        raise InvalidRequest("'reasoning_effort' contradicts the other switch of thinking.", param="reasoning_effort")


def _refuse_unexplained(document: Document, model: str) -> None:
    index = unexplained_tool_call(document)
    if index is not None:
        name = f"messages[{index}].reasoning_content"
        raise UnsupportedParameter(
            f"'{name}' is missing: while thinking, {model} needs the reasoning that led to its tool calls sent back.",
            param=name,
        )
