"""Edit a stream on its way to the caller, where its events may not pass as they are.

Two things call for it: a provider whose chunks need repair, and a usage chunk that the caller asked for (one, at the
end, in OpenAI's form, with the cost) or did not ask for (none). An event that needs neither passes byte for byte.
"""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gateway.metering import error_object, usage_object
from gateway.ports import StreamFacts
from gateway.providers.dialect import Dialect, choices_of
from gateway.sse import DONE, EventTooLarge, Splitter, data_event, parse_event

# What an unrepaired event must not show: usage that is not null, the end mark, an error, a tool call.
_NOT_PLAIN = re.compile(
    rb'"usage"\s*:\s*\{|\[DONE\]|"error"\s*:|"code"\s*:\s*"?[1-9A-Z]|event:\s*error|"tool_calls"\s*:\s*\['
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
        self._dialect = dialect
        self._defaults = defaults
        self._ending = ending
        self._splitter = Splitter()
        self._stopped = False
        self._tool_calls = 0

    def feed(self, chunk: bytes) -> bytes:
        if self._stopped:
            return b""
        if self._is_plain(chunk):
            return chunk
        try:
            return b"".join(map(self._edit, self._splitter.feed(chunk)))
        except EventTooLarge:
            self._stopped = True
            return b""

    def _is_plain(self, chunk: bytes) -> bool:
        """Whether a piece is whole events none of which needs a change: nearly every one of most streams."""
        whole = not self._splitter.rest and chunk.endswith(b"\n\n")
        return whole and self._dialect.native_stream and _NOT_PLAIN.search(chunk) is None

    def end(self, facts: StreamFacts) -> bytes:
        unfinished, self._splitter.rest = self._splitter.rest, b""
        last = self._finish(unfinished)
        if self._stopped and facts.error is None:
            # The caller got nothing of what followed, so what the provider sent after it cannot make the answer whole.
            facts = replace(facts, error={"message": "an event could not be read"})
        if self._tool_calls and facts.done and facts.error is None and facts.finish_reason is None:
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
        if self._stopped:
            return b""
        if self._dialect.native_stream and _NOT_PLAIN.search(raw) is None:
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
            self._stopped = True
            return b""
        if usage_object(chunk) is not None:
            _drop_usage(chunk)
            if not chunk.get("choices"):
                return b""
        self._dialect.repair_chunk(chunk)
        self._number_tool_calls(chunk)
        for name, value in self._defaults.items():
            if chunk.get(name) is None:
                chunk[name] = value
        return data_event(json.dumps(chunk, separators=(",", ":"), ensure_ascii=False))

    def _number_tool_calls(self, chunk: dict[str, Any]) -> None:
        """OpenAI's clients join the parts of a call by its index: a part that has none, and no id, goes on with the
        call that began last."""
        for choice in choices_of(chunk):
            delta = choice.get("delta")
            calls = delta.get("tool_calls") if isinstance(delta, dict) else None
            for call in calls if isinstance(calls, list) else ():
                if isinstance(call, dict):
                    self._tool_calls += bool(call.get("id"))
                    call.setdefault("index", max(0, self._tool_calls - 1))


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
        value = json.loads(data)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
