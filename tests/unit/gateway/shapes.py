"""Small streams in the shapes that the five providers' own have, with what is to be read in each.

``wire`` is what the provider sends; the rest is what was seen in it. The texts are short, so that every cut is tried.
"""

import json
from dataclasses import dataclass
from typing import Any

from gateway.causes import FAILED_FINISHES
from gateway.records import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One stream. ``content`` joins content, reasoning and tool arguments; ``ends`` says that it is a whole answer."""

    name: str
    dialect: str
    wire: bytes
    content: str
    usage: Usage | None
    finish_reason: str | None
    done: bool = True
    error: str | None = None

    @property
    def ends(self) -> bool:
        failed = self.error is not None or self.finish_reason in FAILED_FINISHES
        return not failed and (self.done or self.finish_reason is not None)


def usage(prompt: int, completion: int, *, cached: int = 0, reasoning: int = 0) -> Usage:
    return Usage(prompt_tokens=prompt, cached_tokens=cached, completion_tokens=completion, reasoning_tokens=reasoning)


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def events(*texts: str, before: str = "data: ", end: str = "\n\n") -> bytes:
    return "".join(before + text + end for text in texts).encode()


def deepseek(delta: dict[str, Any], finish: str | None = None, tokens: dict[str, Any] | None = None) -> str:
    head = {"id": "f6117a0b", "object": "chat.completion.chunk", "created": 1764657993, "model": "deepseek-chat"}
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return compact({**head, "system_fingerprint": "fp_eaab", "choices": [choice], "usage": tokens})


def tool_call(arguments: str, **first: Any) -> dict[str, Any]:
    function = {"name": "weather", "arguments": arguments} if first else {"arguments": arguments}
    return {"tool_calls": [{"index": 0, **first, "function": function}]}


def moonshot(delta: dict[str, Any], finish: str | None = None, **more: Any) -> str:
    head = {"id": "cmpl-1305", "object": "chat.completion.chunk", "created": 1698999575, "model": "kimi-k2.6"}
    return compact({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more})


def qwen(delta: dict[str, Any] | None, finish: str | None = None, tokens: dict[str, Any] | None = None) -> str:
    choice = {"delta": delta, "finish_reason": finish, "index": 0, "logprobs": None}
    tail = {"created": 1770764906, "system_fingerprint": None, "model": "qwen3-max", "id": "chatcmpl-d2d6"}
    choices = [] if delta is None else [choice]
    return compact({"choices": choices, "object": "chat.completion.chunk", "usage": tokens, **tail})


def glm(content: str, *, field: str = "content", **choice: Any) -> str:
    head = {"id": "20260210", "created": 1770690338, "object": "chat.completion.chunk", "model": "glm-4.6"}
    return compact({**head, "choices": [{"index": 0, **choice, "delta": {"role": "assistant", field: content}}]})


def spark(content: str, *, said: dict[str, Any] | None = None, **more: Any) -> str:
    head = {"code": 0, "message": "Success", "sid": "cha000b@dx19", "id": "cha000b@dx19", "created": 1719546385}
    delta = {"role": "assistant", "content": content, **(said or {})}
    return compact({**head, "choices": [{"delta": delta, "index": 0}], **more})


def whole_call(call_id: str, arguments: str) -> dict[str, Any]:
    return {"type": "function", "function": {"arguments": arguments, "name": "weather"}, "id": call_id}


DEEPSEEK_TOKENS = {
    "prompt_tokens": 13,
    "completion_tokens": 40,
    "total_tokens": 53,
    "prompt_tokens_details": {"cached_tokens": 8},
    "prompt_cache_hit_tokens": 8,
    "prompt_cache_miss_tokens": 5,
}
DEEPSEEK_USAGE = usage(13, 40, cached=8)
TOOL_TOKENS = {
    "prompt_tokens": 339,
    "completion_tokens": 83,
    "total_tokens": 422,
    "prompt_tokens_details": {"cached_tokens": 320},
    "completion_tokens_details": {"reasoning_tokens": 39},
}
KIMI_TOKENS = {"prompt_tokens": 19, "completion_tokens": 13, "total_tokens": 32, "cached_tokens": 12}
KIMI_USAGE = usage(19, 13, cached=12)
QWEN_TOKENS = {
    "prompt_tokens": 24,
    "completion_tokens": 55,
    "total_tokens": 79,
    "completion_tokens_details": {"reasoning_tokens": 31},
    "prompt_tokens_details": {"cached_tokens": 0},
}
GLM_TOKENS = {"completion_tokens": 24, "prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 7}}
GLM_USAGE = usage(9, 24, cached=7)
SPARK_TOKENS = {"prompt_tokens": 6, "completion_tokens": 68, "total_tokens": 74}

DEEPSEEK_TEXTS = (
    deepseek({"role": "assistant", "content": ""}),
    deepseek({"content": "##"}),
    deepseek({"content": " \u597d"}),
    deepseek({"content": ""}, "length", DEEPSEEK_TOKENS),
)
KIMI_TEXTS = (moonshot({"role": "assistant", "content": ""}), moonshot({"content": "\u4f60\u597d"}))
SPARK_TEXTS = (spark("\u4f60\u597d"), spark("\u3002\n", usage=SPARK_TOKENS))
FLAT_ERROR = compact({"code": 11202, "message": "AppIdQpsOverFlowError", "sid": "cha000b@dx19"})
ERROR = compact({"error": {"message": "Service is too busy.", "type": "service_unavailable_error", "code": "busy"}})

SHAPES = (
    Shape(
        name="deepseek-text",
        dialect="deepseek",
        wire=events(*DEEPSEEK_TEXTS, "[DONE]"),
        content="## \u597d",
        usage=DEEPSEEK_USAGE,
        finish_reason="length",
    ),
    Shape(
        name="deepseek-tool-call",
        dialect="deepseek",
        wire=events(
            deepseek({"role": "assistant", "content": None, "reasoning_content": ""}),
            deepseek({"content": None, "reasoning_content": "The"}),
            deepseek(tool_call("", id="call_00_io", type="function")),
            deepseek(tool_call('{"')),
            deepseek(tool_call('city": "\\n"}')),
            deepseek({"content": "", "reasoning_content": None}, "tool_calls", TOOL_TOKENS),
            "[DONE]",
        ),
        content='The{"city": "\\n"}',
        usage=usage(339, 83, cached=320, reasoning=39),
        finish_reason="tool_calls",
    ),
    Shape(
        name="deepseek-keep-alive",
        dialect="deepseek",
        wire=b": keep-alive\n\n: keep-alive\n\n" + events(*DEEPSEEK_TEXTS, "[DONE]"),
        content="## \u597d",
        usage=DEEPSEEK_USAGE,
        finish_reason="length",
    ),
    Shape(
        name="deepseek-crlf",
        dialect="deepseek",
        wire=events(*DEEPSEEK_TEXTS, "[DONE]", end="\r\n\r\n"),
        content="## \u597d",
        usage=DEEPSEEK_USAGE,
        finish_reason="length",
    ),
    Shape(
        name="deepseek-without-end-mark",
        dialect="deepseek",
        wire=events(*DEEPSEEK_TEXTS),
        content="## \u597d",
        usage=DEEPSEEK_USAGE,
        finish_reason="length",
        done=False,
    ),
    Shape(
        name="deepseek-without-last-blank-line",
        dialect="deepseek",
        wire=events(*DEEPSEEK_TEXTS, "[DONE]")[:-2],
        content="## \u597d",
        usage=DEEPSEEK_USAGE,
        finish_reason="length",
    ),
    Shape(
        name="deepseek-without-end-mark-or-last-blank-line",
        dialect="deepseek",
        wire=events(*DEEPSEEK_TEXTS)[:-2],
        content="## \u597d",
        usage=DEEPSEEK_USAGE,
        finish_reason="length",
        done=False,
    ),
    Shape(
        name="deepseek-without-end-mark-and-half-a-blank-line",
        dialect="deepseek",
        wire=events(*DEEPSEEK_TEXTS)[:-1],
        content="## \u597d",
        usage=DEEPSEEK_USAGE,
        finish_reason="length",
        done=False,
    ),
    Shape(
        name="deepseek-error-first",
        dialect="deepseek",
        wire=events(ERROR, "[DONE]"),
        content="",
        usage=None,
        finish_reason=None,
        error="busy",
    ),
    Shape(
        name="deepseek-error-tenth",
        dialect="deepseek",
        wire=events(*(deepseek({"content": str(digit)}) for digit in range(9)), ERROR),
        content="012345678",
        usage=None,
        finish_reason=None,
        done=False,
        error="busy",
    ),
    Shape(
        name="moonshot-usage-inside-choice",
        dialect="moonshot",
        wire=events(
            *KIMI_TEXTS,
            compact({"id": "1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": KIMI_TOKENS}]}),
            "[DONE]",
        ),
        content="\u4f60\u597d",
        usage=KIMI_USAGE,
        finish_reason="stop",
    ),
    Shape(
        name="moonshot-usage-on-finish-chunk",
        dialect="moonshot",
        wire=events(*KIMI_TEXTS, moonshot({}, "stop", usage=KIMI_TOKENS), "[DONE]"),
        content="\u4f60\u597d",
        usage=KIMI_USAGE,
        finish_reason="stop",
    ),
    Shape(
        name="moonshot-usage-without-choices",
        dialect="moonshot",
        wire=events(
            *KIMI_TEXTS, moonshot({}, "stop"), compact({"id": "1", "choices": [], "usage": KIMI_TOKENS}), "[DONE]"
        ),
        content="\u4f60\u597d",
        usage=KIMI_USAGE,
        finish_reason="stop",
    ),
    Shape(
        name="qwen-reasoning",
        dialect="dashscope",
        wire=events(
            qwen({"content": None, "role": "assistant", "reasoning_content": ""}),
            qwen({"content": None, "reasoning_content": ' "How'}),
            qwen({"content": "\u4e09", "reasoning_content": None}),
            qwen({"content": "", "reasoning_content": None}, "stop"),
            qwen(None, tokens=QWEN_TOKENS),
            "[DONE]",
        ),
        content=' "How\u4e09',
        usage=usage(24, 55, reasoning=31),
        finish_reason="stop",
    ),
    Shape(
        name="qwen-native-error-frame",
        dialect="dashscope",
        wire=events(qwen({"content": "a"}))
        + b'id:1\nevent:error\n:HTTP_STATUS/400\ndata:{"code":"InvalidParameter","message":"no","request_id":"d1"}\n\n',
        content="a",
        usage=None,
        finish_reason=None,
        done=False,
        error="InvalidParameter",
    ),
    Shape(
        name="glm-usage-without-choices",
        dialect="zai",
        wire=events(
            glm("\n", field="reasoning_content"),
            glm("\u5206\u6790", field="reasoning_content"),
            glm("1", field="content"),
            glm("", finish_reason="stop"),
            compact({"id": "1", "created": 1, "model": "glm-4.6", "choices": [], "usage": GLM_TOKENS}),
            "[DONE]",
        ),
        content="\n\u5206\u67901",
        usage=GLM_USAGE,
        finish_reason="stop",
    ),
    Shape(
        name="glm-usage-on-last-chunk-and-no-object",
        dialect="zai",
        wire=events(
            compact({"id": "1", "created": 1, "choices": [{"index": 0, "delta": {"content": "Spring"}}]}),
            compact(
                {
                    "id": "1",
                    "choices": [{"index": 0, "finish_reason": "sensitive", "delta": {"role": "assistant"}}],
                    "usage": GLM_TOKENS,
                }
            ),
            "[DONE]",
        ),
        content="Spring",
        usage=GLM_USAGE,
        finish_reason="sensitive",
    ),
    Shape(
        name="deepseek-insufficient-system-resource",
        dialect="deepseek",
        wire=events(
            *DEEPSEEK_TEXTS[:2], deepseek({"content": "."}, "insufficient_system_resource", DEEPSEEK_TOKENS), "[DONE]"
        ),
        content="##.",
        usage=DEEPSEEK_USAGE,
        finish_reason="insufficient_system_resource",
    ),
    Shape(
        name="moonshot-without-object",
        dialect="moonshot",
        wire=events(
            *(
                compact({"id": "1", "created": 1, "model": "kimi-k3", "choices": [choice]})
                for choice in (
                    {"index": 0, "delta": {"role": "assistant", "reasoning_content": "data: "}, "finish_reason": None},
                    {"index": 0, "delta": {"content": '"object":"chat.completion.chunk"'}, "finish_reason": None},
                )
            ),
            compact({"id": "1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": KIMI_TOKENS}),
            "[DONE]",
        ),
        content='data: "object":"chat.completion.chunk"',
        usage=KIMI_USAGE,
        finish_reason="stop",
    ),
    Shape(
        name="moonshot-tool-calls-without-index",
        dialect="moonshot",
        wire=events(
            KIMI_TEXTS[0],
            moonshot({"tool_calls": [whole_call("functions.weather:0", "{}")]}),
            moonshot({"tool_calls": [whole_call("functions.weather:1", "{")]}),
            moonshot({"tool_calls": [{"function": {"arguments": "}"}}]}),
            moonshot({}, "tool_calls", usage=KIMI_TOKENS),
            "[DONE]",
        ),
        content="{}{}",
        usage=KIMI_USAGE,
        finish_reason="tool_calls",
    ),
    Shape(
        name="qwen-tool-calls-with-empty-ids",
        dialect="dashscope",
        wire=events(
            qwen({"content": "", "role": "assistant"}),
            *(
                qwen({"content": None, "tool_calls": [{"index": index, "id": call_id, "type": "function", **function}]})
                for index, call_id, function in (
                    (0, "call_a", {"function": {"name": "weather", "arguments": ""}}),
                    (0, "", {"function": {"name": "", "arguments": "{}"}}),
                    (1, "call_b", {"function": {"name": "weather", "arguments": ""}}),
                    (1, "", {"function": {"arguments": "[]"}}),
                )
            ),
            qwen({"content": ""}, "tool_calls"),
            qwen(None, tokens=QWEN_TOKENS),
            "[DONE]",
        ),
        content="{}[]",
        usage=usage(24, 55, reasoning=31),
        finish_reason="tool_calls",
    ),
    Shape(
        name="glm-network-error",
        dialect="zai",
        wire=events(glm("a"), glm("", finish_reason="network_error"), "[DONE]"),
        content="a",
        usage=None,
        finish_reason="network_error",
    ),
    Shape(
        name="spark-tool-call-as-an-object",
        dialect="spark",
        wire=events(
            spark("", said={"tool_calls": whole_call("call_a", "{}")}), spark("", usage=SPARK_TOKENS), "[DONE]"
        ),
        content="{}",
        usage=usage(6, 68),
        finish_reason=None,
    ),
    Shape(
        name="spark-text",
        dialect="spark",
        wire=events(*SPARK_TEXTS, "[DONE]", before="data:"),
        content="\u4f60\u597d\u3002\n",
        usage=usage(6, 68),
        finish_reason=None,
    ),
    Shape(
        name="spark-crlf-without-last-blank-line",
        dialect="spark",
        wire=events(*SPARK_TEXTS, "[DONE]", before="data:", end="\r\n\r\n")[:-4],
        content="\u4f60\u597d\u3002\n",
        usage=usage(6, 68),
        finish_reason=None,
    ),
    Shape(
        name="spark-code-mid-stream",
        dialect="spark",
        wire=events(SPARK_TEXTS[0], FLAT_ERROR, before="data:"),
        content="\u4f60\u597d",
        usage=None,
        finish_reason=None,
        done=False,
        error="11202",
    ),
    Shape(
        name="spark-code-first",
        dialect="spark",
        wire=events(FLAT_ERROR, before="data:"),
        content="",
        usage=None,
        finish_reason=None,
        done=False,
        error="11202",
    ),
)


def shape(name: str) -> Shape:
    return next(shape for shape in SHAPES if shape.name == name)
