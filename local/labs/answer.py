"""An Answer: what a lab says to a call. It follows from the prompt and its directives alone, and is the same at each
lab that thinks alike; the labs only say it differently.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import cycle, islice

from local.labs.call import Call, Json, text_of, words_of
from local.labs.schema import example

DEFAULT_REASONING = 6

# fmt: off
WORDS = (
    "river", "lantern", "quiet", "copper", "morning", "window", "thread", "garden",
    "signal", "paper", "harbour", "stone", "winter", "letter", "bridge", "orange",
    "music", "shadow", "market", "silver", "engine", "forest", "candle", "answer",
    "pocket", "summer", "number", "travel", "kitchen", "mirror", "circle", "valley",
)
# fmt: on
WIDE_WORDS = (
    "山水有清音",
    "日本語の文",
    "한국어문장",
    "Ünïcödé🙂",
    "龙🐉马精神",
    "👩\u200d👩\u200d👧家",
    "﷽字",
    "e\u0301tude",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """``pieces`` are the fragments of the arguments, a JSON text."""

    name: str
    pieces: tuple[str, ...]

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Pieces of reasoning and content, and tool calls; each piece is one token. ``thinking`` is the mode it was
    given in, also where no reasoning came of it.
    """

    thinking: bool
    reasoning: tuple[str, ...]
    content: tuple[str, ...]
    tool_calls: tuple[ToolCall, ...]
    finish: str
    prompt_tokens: int
    cached_tokens: int

    @property
    def reasoning_text(self) -> str:
        return "".join(self.reasoning)

    @property
    def text(self) -> str:
        return "".join(self.content)

    @property
    def completion_tokens(self) -> int:
        return len(self.reasoning) + len(self.content) + sum(len(call.pieces) for call in self.tool_calls)

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


def compose(call: Call, *, thinking: bool, calls_tools: bool, max_tokens: int | None) -> Answer:
    """Answer a call. ``calls_tools`` says whether this model can; the rest of the rule is in _called_tools."""
    directives = call.directives
    tool_calls = _called_tools(call) if calls_tools else ()
    answer = Answer(
        thinking=thinking,
        reasoning=_reasoning(call) if thinking else (),
        content=() if tool_calls else _content(call),
        tool_calls=tool_calls,
        finish="tool_calls" if tool_calls else "stop",
        prompt_tokens=call.prompt_tokens,
        cached_tokens=min(directives.cached, call.prompt_tokens),
    )
    if directives.fault == "empty":
        answer = replace(answer, reasoning=(), content=(), tool_calls=(), finish="stop")
    if max_tokens is not None and answer.completion_tokens > max_tokens:
        answer = _clip(answer, max_tokens)
    return replace(answer, finish=directives.finish or answer.finish)


def _clip(answer: Answer, max_tokens: int) -> Answer:
    """The first ``max_tokens`` pieces, in the order in which they are said."""
    left = max_tokens - len(answer.reasoning)
    content = answer.content[: max(0, left)]
    left -= len(content)
    tool_calls = []
    for tool_call in answer.tool_calls:
        if left > 0:
            tool_calls.append(replace(tool_call, pieces=tool_call.pieces[:left]))
        left -= len(tool_call.pieces)
    reasoning = answer.reasoning[:max_tokens]
    return replace(answer, reasoning=reasoning, content=content, tool_calls=tuple(tool_calls), finish="length")


def _called_tools(call: Call) -> tuple[ToolCall, ...]:
    """A user's message with tools at hand calls them in turn, as many as the directive asks; other ends do not."""
    if not call.tools or call.tool_choice == "none" or call.messages[-1].get("role") != "user":
        return ()
    offered = call.tools
    if isinstance(call.tool_choice, dict):
        named = call.tool_choice.get("function", {}).get("name")
        offered = [tool for tool in offered if tool["name"] == named]
    count = call.directives.tools
    if call.body.get("parallel_tool_calls") is False:
        count = min(count, 1)
    words = cycle(words_of(call.question) or WORDS)
    return tuple(_tool_call(tool, words) for tool in islice(cycle(offered), count))


def _tool_call(tool: Json, words: Iterator[str]) -> ToolCall:
    arguments = example(tool.get("parameters") or {"type": "object"}, words)
    return ToolCall(name=tool["name"], pieces=_split(json.dumps(arguments, ensure_ascii=False)))


def _reasoning(call: Call) -> tuple[str, ...]:
    count = DEFAULT_REASONING if call.directives.reasoning is None else call.directives.reasoning
    return tuple(islice(_pieces(call, "reasoning"), count))


def _content(call: Call) -> tuple[str, ...]:
    spoken = tuple(islice(_pieces(call, "content"), _token_count(call)))
    match call.response_format.get("type"):
        case "json_object":
            return _split(json.dumps({"reply": "".join(spoken)}, ensure_ascii=False))
        case "json_schema":
            schema = (call.response_format.get("json_schema") or {}).get("schema") or {}
            return _split(json.dumps(example(schema, cycle(words_of(call.question) or WORDS)), ensure_ascii=False))
    return _padded(_quote(call) + spoken, call.directives.bytes)


def _quote(call: Call) -> tuple[str, ...]:
    """What the tools returned, when the prompt ends with it."""
    results = []
    for message in reversed(call.messages):
        if message.get("role") != "tool":
            break
        results.append(text_of(message))
    return _split(f"The tool says: {'; '.join(reversed(results))}\n") if results else ()


def _token_count(call: Call) -> int:
    return 8 + _digest(call, "length")[0] % 17 if call.directives.tokens is None else call.directives.tokens


def _pieces(call: Call, seed: str) -> Iterator[str]:
    """Endless words that follow from the messages, some in each piece, every piece but the first after a space."""
    words = _words(call, seed)
    space = ""
    while True:
        yield space + " ".join(islice(words, call.directives.words))
        space = " "


def _words(call: Call, seed: str) -> Iterator[str]:
    vocabulary = WIDE_WORDS if call.directives.unicode else WORDS
    digest = _digest(call, seed)
    for position, byte in enumerate(cycle(digest)):
        yield vocabulary[(byte + position // len(digest)) % len(vocabulary)]


def _digest(call: Call, seed: str) -> bytes:
    return hashlib.sha256(seed.encode() + json.dumps(call.messages, sort_keys=True).encode()).digest()


def _padded(pieces: tuple[str, ...], size_bytes: int) -> tuple[str, ...]:
    """The same number of pieces, each lengthened alike until they are ``size_bytes`` together."""
    missing = size_bytes - sum(len(piece.encode()) for piece in pieces)
    if missing <= 0 or not pieces:
        return pieces
    each, rest = divmod(missing, len(pieces))
    return tuple(piece + "x" * (each + (index < rest)) for index, piece in enumerate(pieces))


def _split(text: str) -> tuple[str, ...]:
    """A text as pieces of a word or a sign, each with the space before it."""
    return tuple(re.findall(r"\s*\w+|\s*[^\w\s]|\s+", text))
