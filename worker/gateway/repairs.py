"""Make what a provider answers what OpenAI's clients expect: finish reasons, roles, tool calls.

A whole answer is repaired at once; of a stream, a StreamRepair remembers what has been said.
"""

import json
from typing import Any

from gateway.causes import FAILED_FINISHES
from gateway.ports import Document

OPENAI_FINISHES = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
_TRANSLATED_FINISHES = {
    "sensitive": "content_filter",
    "model_context_window_exceeded": "length",
    "max_tokens": "length",
}


def openai_finish(reason: Any) -> str | None:
    """A finish reason in OpenAI's words; one that nobody knows is an end like any other."""
    if not isinstance(reason, str) or not reason:
        return None
    return reason if reason in OPENAI_FINISHES else _TRANSLATED_FINISHES.get(reason, "stop")


def choices_of(chunk: dict[str, Any]) -> list[dict[str, Any]]:
    """The choices of a chunk, whatever a provider sends in their place."""
    choices = chunk.get("choices")
    return [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []


def calls_of(said: dict[str, Any]) -> list[dict[str, Any]]:
    """The tool calls of a message or a delta: a list, or the only one in its place (Spark)."""
    calls = said.get("tool_calls")
    return [call for call in (calls if isinstance(calls, list) else [calls]) if isinstance(call, dict)]


def repair_answer(answer: Document) -> None:
    """Repair a whole answer but for its usage, in place."""
    for index, choice in enumerate(answer.items("choices")):
        _repair_choice(choice, index)
    if answer.read("object") != "chat.completion":
        answer.write("object", "chat.completion")


def _repair_choice(choice: Document, index: int) -> None:
    if choice.read("index") is None:
        choice.write("index", index)
    said = choice.read("message")
    message = _repaired_message(said if isinstance(said, dict) else {})
    if message != said:
        choice.write("message", message)
    given = choice.read("finish_reason")
    reason = openai_finish(given) or ("tool_calls" if message.get("tool_calls") else "stop")
    if reason != given:
        choice.write("finish_reason", reason)


def _repaired_message(said: dict[str, Any]) -> dict[str, Any]:
    message = {"role": "assistant", "content": None, **said}
    if calls := calls_of(said):
        message["tool_calls"] = [_repaired_call(call, index) for index, call in enumerate(calls)]
    return message


def _repaired_call(call: dict[str, Any], index: int) -> dict[str, Any]:
    repaired = {"id": _made_id(index), "type": "function"} | {name: value for name, value in call.items() if value}
    if isinstance(function := call.get("function"), dict):
        repaired["function"] = {**function, "arguments": _arguments(function.get("arguments"))}
    return repaired


def _arguments(value: Any) -> str:
    """The arguments of a call are a text; some providers send what it stands for."""
    return value if isinstance(value, str) else json.dumps(value if value is not None else {}, ensure_ascii=False)


def _made_id(index: int) -> str:
    return f"call_{index}"


class StreamRepair:
    """Repairs the chunks of one stream, one after the other. ``sees_all``: every chunk passes here."""

    def __init__(self, *, sees_all: bool) -> None:
        self._sees_all = sees_all
        self._begun: set[int] = set()
        self._calls: dict[int, dict[int, str]] = {}  # by choice and place, the id

    @property
    def has_tool_calls(self) -> bool:
        return bool(self._calls)

    def repair(self, chunk: dict[str, Any]) -> bool:
        """Repair a chunk in place; whether the answer goes on or ends well, as far as it says."""
        goes_well = True
        for position, choice in enumerate(choices_of(chunk)):
            index = choice.get("index")
            if type(index) is not int:
                index = choice["index"] = position
            delta = choice.get("delta")
            if isinstance(delta, dict):
                self._repair_delta(index, delta)
            else:
                choice["delta"] = {}
            reason = choice.get("finish_reason")
            if isinstance(reason, str) and reason in FAILED_FINISHES:
                reason, goes_well = None, False
            choice["finish_reason"] = openai_finish(reason)
        return goes_well

    def _repair_delta(self, index: int, delta: dict[str, Any]) -> None:
        if self._sees_all:
            # The first delta of a choice has its role, and no other.
            delta.pop("role", None)
            if index not in self._begun:
                self._begun.add(index)
                delta["role"] = "assistant"
        if calls := calls_of(delta):
            known = self._calls.setdefault(index, {})
            delta["tool_calls"] = [_repaired_part(call, known) for call in calls]


def _repaired_part(call: dict[str, Any], known: dict[int, str]) -> dict[str, Any]:
    """One part of a tool call, which clients join to others by its index, and whose texts they append to each other:
    what a call is named comes once, in its first part."""
    index = _place(call, known)
    function = call.get("function")
    part: dict[str, Any] = {**call, "index": index}
    if index in known:
        part = {name: value for name, value in part.items() if name not in ("id", "type")}
        if isinstance(function, dict):
            part["function"] = {name: value for name, value in function.items() if name != "name"}
        return part
    known[index] = call.get("id") or _made_id(index)
    part |= {"id": known[index], "type": "function"}
    if isinstance(function, dict):
        part["function"] = {**function, "arguments": function.get("arguments") or ""}
    return part


def _place(call: dict[str, Any], known: dict[int, str]) -> int:
    """Where a part belongs: as it says, else to the call of its id; one that names none goes on with the last."""
    index, call_id = call.get("index"), call.get("id")
    if type(index) is int:
        return index
    if call_id:
        return next((place for place, other in known.items() if other == call_id), len(known))
    function = call.get("function")
    begins = not known or (isinstance(function, dict) and bool(function.get("name")))
    return len(known) if begins else len(known) - 1
