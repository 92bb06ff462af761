"""The obvious, slow way to read a stream, to compare the fast ways with: all of it at once, line by line."""

import json
from typing import Any

from gateway.metering import error_object, usage_object
from gateway.ports import StreamFacts


def lines_of(text: str) -> list[str]:
    """Lines end with CRLF, LF or CR."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def data_of(wire: bytes) -> list[str]:
    """The data of each event; an event that the stream's end cut off counts too."""
    found: list[list[str]] = [[]]
    for line in lines_of(wire.decode()):
        if not line:
            found.append([])
        elif line.startswith("data:"):
            found[-1].append(line.removeprefix("data:").removeprefix(" "))
    return ["\n".join(lines) for lines in found if lines]


def chunks_of(wire: bytes) -> list[dict[str, Any]]:
    return [json.loads(data) for data in data_of(wire) if data != "[DONE]"]


def texts_of(chunk: dict[str, Any]) -> list[str]:
    """Content, reasoning and tool arguments of a chunk."""
    found: list[Any] = []
    for choice in chunk.get("choices") or []:
        delta = choice.get("delta") or {}
        found += [delta.get("reasoning_content"), delta.get("content")]
        calls = delta.get("tool_calls") or []
        found += [call["function"]["arguments"] for call in (calls if isinstance(calls, list) else [calls])]
    return [text for text in found if isinstance(text, str)]


def content_of(wire: bytes) -> str:
    return "".join(text for chunk in chunks_of(wire) for text in texts_of(chunk))


def facts_of(wire: bytes, *, ascii_only: bool = False) -> StreamFacts:
    """``ascii_only``: the provider writes other characters as escapes, which are what is counted."""
    usage, finish_reason, error, content_bytes = None, None, None, 0
    for chunk in chunks_of(wire):
        usage = usage_object(chunk) or usage
        error = error_object(chunk) or error
        for choice in chunk.get("choices") or []:
            finish_reason = choice.get("finish_reason") or finish_reason
        written = [json.dumps(text, ensure_ascii=ascii_only)[1:-1] for text in texts_of(chunk)]
        content_bytes += len("".join(written).encode())
    return StreamFacts(
        usage=usage,
        finish_reason=finish_reason,
        done="[DONE]" in data_of(wire),
        error=error,
        content_bytes=content_bytes,
    )
