"""Quirks that a lab may show beyond its own: how its events are framed, and which fields it leaves out.

The standard of server-sent events allows every framing here, so whoever reads a stream must too.
"""

from collections.abc import Callable, Mapping
from typing import Any

Json = dict[str, Any]


def _bare(event: bytes) -> bytes:
    return event.replace(b"data: ", b"data:", 1)


def _crlf(event: bytes) -> bytes:
    return event.replace(b"\n", b"\r\n")


FRAMINGS: Mapping[str, Callable[[bytes], bytes]] = {
    "bare": _bare,
    "crlf": _crlf,
    "blank": lambda event: b"\n" + event + b"\n\n",
    "comments": lambda event: b": a comment alone\n\n: a comment within\n" + event,
    "fields": lambda event: b"id: 7\nevent: message\nretry: 3000\n" + event,
}

OF_A_CHUNK = ("id", "object", "created", "model")
OMITTABLE = (*OF_A_CHUNK, "index", "finish_reason", "role")


def without(payload: Json, omitted: tuple[str, ...]) -> Json:
    """A chunk or an answer without these fields; a finish reason is left out only while there is none."""
    kept = {name: value for name, value in payload.items() if not (name in OF_A_CHUNK and name in omitted)}
    if "choices" in kept:
        kept["choices"] = [_choice_without(choice, omitted) for choice in kept["choices"]]
    return kept


def _choice_without(choice: Json, omitted: tuple[str, ...]) -> Json:
    gone = {name for name in omitted if name == "index" or (name == "finish_reason" and choice.get(name) is None)}
    kept = {name: value for name, value in choice.items() if name not in gone}
    for said in ("delta", "message"):
        if said in kept and "role" in omitted:
            kept[said] = {name: value for name, value in kept[said].items() if name != "role"}
    return kept
