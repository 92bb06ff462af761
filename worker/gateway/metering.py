"""Usage, from wherever a provider puts it, and what can be told of a stream without looking at every event."""

import re
from collections.abc import Mapping
from typing import Any

from gateway.fields import FieldError, parse_json
from gateway.ports import StreamFacts
from gateway.records import Usage
from gateway.sse import DONE, last_boundary, parse_event

BYTES_PER_ESTIMATED_TOKEN = 4

# An event that may carry more than content: usage, a finish, an error, the end mark. Quotes inside a JSON text are
# escaped, so what a model writes never looks like this.
_TELLING = re.compile(
    rb'"usage"\s*:\s*\{|"finish_reason"\s*:\s*"|"error"\s*:\s*[{"]|"code"\s*:\s*"?[1-9A-Z]|\[DONE\]|event:\s*error'
)
_CONTENT = re.compile(rb'"(?:content|reasoning_content|arguments)"\s*:\s*"((?:[^"\\]|\\.)*)"')


class StreamMeter:
    """Reads the copy of a stream in pieces of any size; ``facts`` is what it has seen so far."""

    def __init__(self) -> None:
        self._rest = b""
        self._usage: Mapping[str, Any] | None = None
        self._finish_reason: str | None = None
        self._error: Mapping[str, Any] | None = None
        self._done = False
        self.content_bytes = 0
        """The size of the content, as JSON writes it."""

    def feed(self, piece: bytes) -> None:
        buffer = self._rest + piece
        end = last_boundary(buffer)
        self._rest = buffer[end:]
        self._scan(buffer[:end])

    def end(self) -> None:
        """The stream has ended: its last event may lack the blank line."""
        self._scan(self._rest)
        self._rest = b""

    def facts(self, *, silent: bool = False) -> StreamFacts:
        return StreamFacts(
            usage=self._usage,
            finish_reason=self._finish_reason,
            done=self._done,
            error=self._error,
            silent=silent,
            content_bytes=self.content_bytes,
        )

    def _scan(self, events: bytes) -> None:
        self.content_bytes += sum(map(len, _CONTENT.findall(events)))
        position = 0
        while match := _TELLING.search(events, position):
            start = last_boundary(events[: match.start()])
            position = _next_boundary(events, match.end())
            self._note(parse_event(events[start:position]).data)

    def _note(self, data: str | None) -> None:
        if data is None:
            return
        if data.strip() == DONE:
            self._done = True
            return
        try:
            chunk = parse_json(data, "chunk")
        except FieldError:
            return
        if isinstance(chunk, dict):
            self._usage = usage_object(chunk) or self._usage
            self._finish_reason = _finish_reason(chunk) or self._finish_reason
            self._error = error_object(chunk) or self._error


def usage_object(chunk: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """A chunk's or an answer's usage: at the top, or inside a choice (Moonshot)."""
    for holder in (chunk, *_objects(chunk.get("choices"))):
        if isinstance(usage := holder.get("usage"), dict) and usage:
            return usage
    return None


def error_object(chunk: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The error inside an answer that looks like a success: an error object, or a code that is not 0 (Spark, GLM)."""
    if error := chunk.get("error"):
        return error if isinstance(error, dict) else {"message": str(error)}
    code = chunk.get("code")
    if code not in (None, 0, "0", "", 200, "200") and not chunk.get("choices"):
        return {"code": str(code), "message": str(chunk.get("message", chunk.get("msg", "")))}
    return None


def usage_of(raw: Mapping[str, Any] | None) -> Usage | None:
    """The provider's usage in one form, or None where it has no token counts.

    Cached tokens stand in prompt_tokens_details (OpenAI, Qwen, GLM), at the top of usage (Moonshot) or as
    prompt_cache_hit_tokens (DeepSeek).
    """
    if raw is None or (prompt := _count(raw.get("prompt_tokens"))) is None:
        return None
    completion = _count(raw.get("completion_tokens")) or 0
    cached = (
        _detail(raw, "prompt_tokens_details", "cached_tokens")
        or _count(raw.get("cached_tokens"))
        or _count(raw.get("prompt_cache_hit_tokens"))
        or 0
    )
    reasoning = _detail(raw, "completion_tokens_details", "reasoning_tokens") or 0
    return Usage(
        prompt_tokens=prompt,
        cached_tokens=min(cached, prompt),
        completion_tokens=completion,
        reasoning_tokens=min(reasoning, completion),
    )


def estimated_usage(*, input_tokens: int, content_bytes: int) -> Usage:
    """What is billed where the provider never reported usage: the content that came, four bytes to a token."""
    return Usage(
        prompt_tokens=input_tokens,
        cached_tokens=0,
        completion_tokens=-(-content_bytes // BYTES_PER_ESTIMATED_TOKEN),
        reasoning_tokens=0,
    )


def openai_usage(usage: Usage) -> dict[str, Any]:
    """Usage in OpenAI's own form."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def completed_usage(raw: Mapping[str, Any], usage: Usage) -> dict[str, Any]:
    """A provider's usage with every count also where OpenAI's clients look for it; what else it says stays."""
    completed = {**raw}
    if raw.get("completion_tokens") is None:
        completed["completion_tokens"] = usage.completion_tokens
    if raw.get("total_tokens") is None:
        completed["total_tokens"] = usage.prompt_tokens + usage.completion_tokens
    for details, name, count in (
        ("prompt_tokens_details", "cached_tokens", usage.cached_tokens),
        ("completion_tokens_details", "reasoning_tokens", usage.reasoning_tokens),
    ):
        if count and not _detail(raw, details, name):
            given = raw.get(details)
            completed[details] = {**(given if isinstance(given, dict) else {}), name: count}
    return completed


def _finish_reason(chunk: Mapping[str, Any]) -> str | None:
    for choice in _objects(chunk.get("choices")):
        if isinstance(reason := choice.get("finish_reason"), str) and reason:
            return reason
    return None


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _detail(raw: Mapping[str, Any], details: str, name: str) -> int | None:
    values = raw.get(details)
    return _count(values.get(name)) if isinstance(values, dict) else None


def _count(value: Any) -> int | None:
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and value >= 0 else None


def _next_boundary(events: bytes, position: int) -> int:
    if b"\r" not in events:  # nearly all
        at = events.find(b"\n\n", position)
        return at + 2 if at >= 0 else len(events)
    ends = [
        at + len(blank)
        for blank in (b"\n\n", b"\r\n\r\n", b"\n\r\n", b"\r\r")
        if (at := events.find(blank, position)) >= 0
    ]
    return min(ends, default=len(events))
