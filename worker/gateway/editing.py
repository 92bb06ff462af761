"""Edit the events of a stream on its way to the caller, where they may not pass as they are.

Two things call for it: a provider whose chunks need repair, and a usage chunk that the caller asked for (one, at the
end, in OpenAI's form, with the cost) or did not ask for (none). An event that needs neither passes byte for byte.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gateway.fields import FieldError, parse_json
from gateway.metering import error_object, usage_object
from gateway.ports import StreamFacts
from gateway.providers.dialect import Dialect
from gateway.records import encode
from gateway.repairs import StreamRepair, choices_of
from gateway.sse import DONE, data_event, parse_event

# What an unrepaired event must not show: usage that is not null, a finish, the end mark, an error, a tool call.
_NOT_PLAIN = re.compile(
    rb'"usage"\s*:\s*\{|"finish_reason"\s*:\s*"|\[DONE\]|"error"\s*:|"code"\s*:\s*"?[1-9A-Z]|event:\s*error'
    rb'|"tool_calls"\s*:\s*[\[{]'
)


class StreamEditor:
    """Edits one stream, event by event; ``ending`` gives the last bytes, once how it ended is known."""

    def __init__(
        self,
        dialect: Dialect,
        *,
        defaults: dict[str, Any],
        ending: Callable[[StreamFacts, dict[str, Any]], bytes],
    ) -> None:
        """``defaults`` are the fields (id, object, created, model) that a chunk gets where it lacks them, as long as no
        chunk before it had them: they are the same in all chunks of a stream.
        """
        self.broken = False
        """The caller got the stream only up to an event that failed or could not be read: the answer is not whole,
        whatever the provider sent afterwards."""
        self._dialect = dialect
        self._defaults = dict(defaults)
        self._ending = ending
        self._repair = StreamRepair(sees_all=dialect.repairs_all)

    def edit(self, event: bytes) -> bytes:
        """What becomes of one whole event; nothing, once the stream is broken."""
        data = parse_event(event).data
        if data is None:
            return event
        if self.broken or data.strip() == DONE:
            return b""
        chunk = _object(data)
        if chunk is None or error_object(chunk) is not None:
            # A broken or failing stream ends here for the caller; ``end`` says why.
            self.broken = True
            return b""
        return event if self._may_pass(event) else self._edit_chunk(chunk)

    def end(self, facts: StreamFacts) -> bytes:
        """The last bytes, once how the provider's stream ended is known."""
        last = b""
        if self._repair.has_tool_calls and facts.done and facts.error is None and facts.finish_reason is None:
            last = finish_event(self._defaults, "tool_calls")
            facts = replace(facts, finish_reason="tool_calls")
        return last + self._ending(facts, self._defaults)

    def _may_pass(self, event: bytes) -> bool:
        """Whether an event needs no change: nearly every one of most streams."""
        is_plain = not self._dialect.repairs_all and _NOT_PLAIN.search(event) is None
        return is_plain and self._dialect.mark_of_chunk in event

    def _edit_chunk(self, chunk: dict[str, Any]) -> bytes:
        for name, value in self._defaults.items():
            if name != "object" and type(chunk.get(name)) is type(value):
                self._defaults[name] = chunk[name]
        if usage_object(chunk) is not None:
            _drop_usage(chunk)
            if not chunk.get("choices"):
                return b""
        self._dialect.repair_chunk(chunk)
        # What came with a failure is said, the failure itself only by ``end``.
        self.broken = not self._repair.repair(chunk)
        chunk.update(self._defaults)
        return data_event(encode(chunk))


def usage_event(defaults: dict[str, Any], usage: dict[str, Any]) -> bytes:
    """OpenAI's usage chunk: no choices, the usage of the whole answer."""
    chunk = {**defaults, "choices": [], "usage": usage}
    return data_event(encode(chunk))


def finish_event(defaults: dict[str, Any], reason: str) -> bytes:
    """The chunk that ends an answer, for a provider that never says so."""
    choice = {"index": 0, "delta": {}, "finish_reason": reason}
    return data_event(encode({**defaults, "choices": [choice]}))


def _drop_usage(chunk: dict[str, Any]) -> None:
    chunk.pop("usage", None)
    for choice in choices_of(chunk):
        choice.pop("usage", None)


def _object(data: str) -> dict[str, Any] | None:
    try:
        value = parse_json(data, "chunk")
    except FieldError:
        return None
    return value if isinstance(value, dict) else None
