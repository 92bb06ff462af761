"""Put a stream together into the answer that it would have been without streaming.

It is fed with OpenAI's events, as an editor leaves them. Texts are kept as the parts that came, and joined once; an
event like the one before but for its text is not parsed.
"""

import json
from collections.abc import Iterator
from typing import Any

from gateway.fields import parse_json
from gateway.repairs import calls_of, choices_of
from gateway.sse import DONE, Splitter, parse_event
from gateway.stencil import Stencil

MAX_ASSEMBLED_BYTES = 16 * 2**20
"""The most that the texts of one answer may have; they are in memory twice when they are joined."""

PART_CHARS = 8 * 1024
"""How much of a text one delta has where an answer is streamed after all."""

_NOT_KEPT = frozenset({"choices", "object", "usage"})


class AnswerTooLarge(Exception):
    """The answer has more than MAX_ASSEMBLED_BYTES of text."""


class Text:
    """A text in parts, each as plain text or as JSON writes it."""

    __slots__ = ("_parts", "_raw")

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._raw: list[bytes] = []

    def add(self, part: str) -> None:
        self._join_raw()
        self._parts.append(part)

    def add_raw(self, part: bytes) -> None:
        self._raw.append(part)

    def joined(self) -> str:
        self._join_raw()
        whole = "".join(self._parts)
        # A pair of surrogates may have come in two parts.
        return whole if whole.isascii() else whole.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")

    def _join_raw(self) -> None:
        if self._raw:
            self._parts.append(json.loads(b'"' + b"".join(self._raw) + b'"'))
            self._raw.clear()


class Assembly:
    """One answer on its way; raises AnswerTooLarge."""

    def __init__(self) -> None:
        self._splitter = Splitter()
        self._head: dict[str, Any] = {}
        self._choices: dict[int, _Choice] = {}
        self._text_bytes = 0
        self._known: tuple[Stencil, Text] | None = None

    def feed(self, piece: bytes) -> None:
        if not self._splitter.rest and self._took_alike(piece):
            return
        for event in self._splitter.feed(piece):
            if not self._took_alike(event):
                self._take(event)

    def answer(self) -> dict[str, Any]:
        """The fields of a chat completion, without usage."""
        choices = [self._choices[index].answer(index) for index in sorted(self._choices)]
        return {**self._head, "object": "chat.completion", "choices": choices}

    def _took_alike(self, events: bytes) -> bool:
        """Whether these differ from the last event in their text alone, and have been taken as such."""
        if self._known is None:
            return False
        stencil, text = self._known
        texts = stencil.texts_of(events)
        if texts is None:
            return False
        raw = b"".join(texts)
        text.add_raw(raw)
        self._count(len(raw))
        return True

    def _take(self, event: bytes) -> None:
        self._known = None
        data = parse_event(event).data
        if data is None or data.strip() == DONE:
            return
        chunk: dict[str, Any] = parse_json(data, "chunk")
        for name, value in chunk.items():
            if name not in _NOT_KEPT and value is not None:
                self._head.setdefault(name, value)
        choices = choices_of(chunk)
        told = [text for choice in choices for text in self._choice(choice).take(choice)]
        stencil = Stencil.of(event)
        self._count(len(event) - (0 if stencil is None else len(stencil.before) + len(stencil.after)))
        # Log probabilities belong to each text, so nothing that comes with some is like what came before.
        if stencil is not None and len(told) == 1 and not any(choice.get("logprobs") for choice in choices):
            self._known = (stencil, told[0])

    def _choice(self, choice: dict[str, Any]) -> "_Choice":
        index = choice.get("index")
        return self._choices.setdefault(index if type(index) is int else 0, _Choice())

    def _count(self, size: int) -> None:
        self._text_bytes += size
        if self._text_bytes > MAX_ASSEMBLED_BYTES:
            raise AnswerTooLarge


class _Choice:
    """One of the answers that were asked for: its message, field by field, and how it ended."""

    def __init__(self) -> None:
        self._texts: dict[str, Text] = {}
        self._fields: dict[str, Any] = {}
        self._calls: dict[int, _ToolCall] = {}
        self._logprobs: dict[str, list[Any]] = {}
        self._finish_reason: str | None = None

    def take(self, choice: dict[str, Any]) -> Iterator[Text]:
        """Take in one chunk's part; the texts that it went on with."""
        self._finish_reason = choice.get("finish_reason") or self._finish_reason
        if isinstance(logprobs := choice.get("logprobs"), dict):
            for name, values in logprobs.items():
                if isinstance(values, list):
                    self._logprobs.setdefault(name, []).extend(values)
        delta = choice.get("delta")
        for name, value in delta.items() if isinstance(delta, dict) else ():
            if name == "tool_calls":
                continue
            if isinstance(value, str) and name != "role":
                text = self._texts.setdefault(name, Text())
                text.add(value)
                yield text
            elif value is not None:
                self._fields[name] = value
        for call in calls_of(delta) if isinstance(delta, dict) else ():
            yield from self._call(call).take(call)

    def answer(self, index: int) -> dict[str, Any]:
        said = {name: joined for name, text in self._texts.items() if (joined := text.joined())}
        message = {"role": "assistant", "content": None if self._calls else "", **self._fields, **said}
        if self._calls:
            message["tool_calls"] = [self._calls[place].answer() for place in sorted(self._calls)]
        return {
            "index": index,
            "message": message,
            "logprobs": self._logprobs or None,
            # A stream that ended well may not have said how.
            "finish_reason": self._finish_reason or ("tool_calls" if self._calls else "stop"),
        }

    def _call(self, call: dict[str, Any]) -> "_ToolCall":
        index = call.get("index")
        return self._calls.setdefault(index if type(index) is int else 0, _ToolCall())


class _ToolCall:
    """One call of a tool, of which only the arguments come in parts."""

    def __init__(self) -> None:
        self._id = ""
        self._type = "function"
        self._name = ""
        self._arguments = Text()

    def take(self, call: dict[str, Any]) -> Iterator[Text]:
        self._id = self._id or call.get("id") or ""
        self._type = call.get("type") or self._type
        function = call.get("function")
        if isinstance(function, dict):
            self._name = self._name or function.get("name") or ""
            if isinstance(arguments := function.get("arguments"), str):
                self._arguments.add(arguments)
                yield self._arguments

    def answer(self) -> dict[str, Any]:
        function = {"name": self._name, "arguments": self._arguments.joined()}
        return {"id": self._id, "type": self._type, "function": function}


def chunks_of(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The answer as a stream again: each choice's message in a few large deltas, then its end."""
    head = {**answer, "object": "chat.completion.chunk"}
    for choice in answer["choices"]:
        end = {"index": choice["index"], "delta": {}, "finish_reason": choice["finish_reason"]}
        for number, delta in enumerate(_deltas(choice["message"])):
            logprobs = choice["logprobs"] if number == 0 else None
            yield {**head, "choices": [{**end, "delta": delta, "logprobs": logprobs, "finish_reason": None}]}
        yield {**head, "choices": [{**end, "logprobs": None}]}


def _deltas(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    texts = {name: value for name, value in message.items() if isinstance(value, str) and name != "role"}
    yield {name: value for name, value in message.items() if name not in texts and name != "tool_calls"} | {
        "content": ""
    }
    for name in sorted(texts, key="content".__eq__):  # reasoning comes before what it led to
        for part in _parts(texts[name]):
            yield {name: part}
    for index, call in enumerate(message.get("tool_calls", ())):
        function = call["function"]
        yield {"tool_calls": [{**call, "index": index, "function": {**function, "arguments": ""}}]}
        for part in _parts(function["arguments"]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": part}}]}


def _parts(text: str) -> Iterator[str]:
    """A text in parts that clients with a limit on the length of a line can read."""
    return (text[start : start + PART_CHARS] for start in range(0, len(text), PART_CHARS))
