"""Edit a stream on its way to the caller, where its events may not pass as they are.

Two things call for it: a provider whose chunks need repair, and a usage chunk that the caller asked for (one, at the
end, in OpenAI's form, with the cost) or did not ask for (none). An event that needs neither passes byte for byte.
"""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gateway.fields import FieldError, parse_json
from gateway.metering import error_object, usage_object
from gateway.ports import StreamFacts
from gateway.providers.dialect import Dialect
from gateway.repairs import StreamRepair, choices_of
from gateway.sse import DONE, EventTooLarge, Splitter, data_event, parse_event

# What an unrepaired event must not show: usage that is not null, a finish, the end mark, an error, a tool call.
_NOT_PLAIN = re.compile(
    rb'"usage"\s*:\s*\{|"finish_reason"\s*:\s*"|\[DONE\]|"error"\s*:|"code"\s*:\s*"?[1-9A-Z]|event:\s*error'
    rb'|"tool_calls"\s*:\s*[\[{]'
)


class StreamEditor:
    """The Edit port for one stream; ``ending`` gives the last bytes, once how it ended is known."""

    def __init__(
        self,
        dialect: Dialect,
        *,
        defaults: dict[str, Any],
        ending: Callable[[StreamFacts, dict[str, Any]], bytes],
    ) -> None:
        """``defaults`` are the fields (id, object, created, model) that a chunk gets where it lacks them."""
        self.broken = False
        """The caller got the stream only up to an event that failed or could not be read: the answer is not whole,
        whatever the provider sent afterwards."""
        self._dialect = dialect
        self._defaults = defaults
        self._ending = ending
        self._splitter = Splitter()
        self._repair = StreamRepair(sees_all=dialect.repairs_all)

    def feed(self, chunk: bytes) -> bytes:
        if self.broken:
            return b""
        if self._is_plain(chunk):
            return chunk
        try:
            return b"".join(map(self._edit, self._splitter.feed(chunk)))
        except EventTooLarge:
            self.broken = True
            return b""

    def _is_plain(self, chunk: bytes) -> bool:
        """Whether a piece is whole events none of which needs a change: nearly every one of most streams."""
        return not self._splitter.rest and chunk.endswith(b"\n\n") and self._may_pass(chunk)

    def _may_pass(self, events: bytes) -> bool:
        if self._dialect.repairs_all or _NOT_PLAIN.search(events) is not None:
            return False
        mark = self._dialect.mark_of_chunk
        return not mark or events.count(mark) == events.count(b"data:")

    def end(self, facts: StreamFacts) -> bytes:
        unfinished, self._splitter.rest = self._splitter.rest, b""
        last = self._finish(unfinished)
        if self.broken and facts.error is None:
            facts = replace(facts, error={"message": "an event could not be read"})
        if self._repair.has_tool_calls and facts.done and facts.error is None and facts.finish_reason is None:
            last += finish_event(self._defaults, "tool_calls")
            facts = replace(facts, finish_reason="tool_calls")
        return last + self._ending(facts, self._defaults)

    def _finish(self, unfinished: bytes) -> bytes:
        """The event that the end of the stream left without its blank line, where it is whole all the same."""
        data = parse_event(unfinished).data
        if data is None or _object(data) is None:
            return b""
        return self._edit(unfinished.rstrip(b"\r\n") + b"\n\n")

    def _edit(self, raw: bytes) -> bytes:
        if self.broken:
            return b""
        if self._may_pass(raw):
            return raw
        data = parse_event(raw).data
        if data is None:
            return raw
        if data.strip() == DONE:
            return b""
        return self._edit_data(data)

    def _edit_data(self, data: str) -> bytes:
        chunk = _object(data)
        if chunk is None or error_object(chunk) is not None:
            # A broken or failing stream ends here for the caller; ``end`` says why.
            self.broken = True
            return b""
        if usage_object(chunk) is not None:
            _drop_usage(chunk)
            if not chunk.get("choices"):
                return b""
        self._dialect.repair_chunk(chunk)
        # What came with a failure is said, the failure itself only by ``end``.
        self.broken = not self._repair.repair(chunk)
        for name, value in self._defaults.items():
            if type(chunk.get(name)) is not type(value):
                chunk[name] = value
        return data_event(json.dumps(chunk, separators=(",", ":"), ensure_ascii=False))


def usage_event(defaults: dict[str, Any], usage: dict[str, Any]) -> bytes:
    """OpenAI's usage chunk: no choices, the usage of the whole answer."""
    chunk = {**defaults, "choices": [], "usage": usage}
    return data_event(json.dumps(chunk, separators=(",", ":")))


def finish_event(defaults: dict[str, Any], reason: str) -> bytes:
    """The chunk that ends an answer, for a provider that never says so."""
    choice = {"index": 0, "delta": {}, "finish_reason": reason}
    return data_event(json.dumps({**defaults, "choices": [choice]}, separators=(",", ":")))


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
