"""Requests and what is read of their answers."""

import tomllib
from collections.abc import Iterable
from typing import Any

from openai.types.chat import ChatCompletionChunk, ChatCompletionFunctionToolParam, ChatCompletionUserMessageParam

from tests.e2e.stack import ROOT

_CATALOGUE = tomllib.loads((ROOT / "catalogue.toml").read_text())["models"]
MODELS = tuple(name for name in _CATALOGUE if not name.startswith("drill/"))
"""Every public model of a lab."""

ONE_OF_EACH_LAB = ("deepseek-chat", "kimi-k2", "qwen3-max", "glm-4.6", "spark-4.0-ultra")

WEATHER: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def user(text: str) -> ChatCompletionUserMessageParam:
    return {"role": "user", "content": text}


def prompt(text: str = "Hello", *, model: str = "deepseek-chat", **fields: Any) -> dict[str, Any]:
    """The body of a chat completion."""
    return {"model": model, "messages": [user(text)], **fields}


def said(chunks: Iterable[ChatCompletionChunk]) -> str:
    """The content of a stream."""
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
