"""Requests to a lab as a test writes them, and what the lab would do about them, without a network."""

import json
from collections.abc import Iterator
from typing import Any

from local.labs.app import LABS
from local.labs.call import Call
from local.labs.lab import Lab
from local.labs.script import script
from local.labs.wire import Head, Step

MODELS = {
    "deepseek": "deepseek-flash",
    "moonshot": "kimi-k2.6",
    "dashscope": "qwen3-max",
    "zai": "glm-4.6",
    "spark": "4.0Ultra",
}
BY_NAME: dict[str, Lab] = {lab.name: lab for lab in LABS}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def call(lab: str, text: str = "hello", *, key: str = "sk-good", base: str | None = None, **parameters: Any) -> Call:
    """A call whose user says ``text``, directives included; parameters replace the model or the messages too."""
    body = {"model": MODELS[lab], "messages": [user(text)], **parameters}
    return read(lab, json.dumps(body).encode(), key=key, base=base)


def read(lab: str, raw: bytes, *, key: str = "sk-good", base: str | None = None) -> Call:
    base = base or next(iter(BY_NAME[lab].bases))
    return Call.read(raw, lab=lab, base=base, api_key=key, call_id="0123456789abcdef" * 2, created=1_790_000_000)


def steps(made: Call, lab: str) -> list[Step]:
    return list(script(BY_NAME[lab], made))


def response(made: Call, lab: str) -> tuple[Head, bytes]:
    """Head and body, where the script has both."""
    played = steps(made, lab)
    head = next(step for step in played if isinstance(step, Head))
    return head, b"".join(step for step in played if isinstance(step, bytes))


def ask(lab: str, text: str = "hello", **parameters: Any) -> tuple[int, Any]:
    """Status and JSON body of an answer that is not a stream."""
    head, body = response(call(lab, text, **parameters), lab)
    return head.status, json.loads(body)


def lines(lab: str, text: str = "hello", **parameters: Any) -> list[str]:
    """The events of a stream, as the text after ``data:``."""
    _, body = response(call(lab, text, stream=True, **parameters), lab)
    return [event.removeprefix("data:").strip() for event in body.decode().split("\n\n") if event]


def chunks(lab: str, text: str = "hello", **parameters: Any) -> list[dict[str, Any]]:
    """The chunks of a stream that ends well."""
    *events, done = lines(lab, text, **parameters)
    assert done == "[DONE]"
    return [json.loads(event) for event in events]


def deltas(lab: str, text: str = "hello", **parameters: Any) -> Iterator[dict[str, Any]]:
    for chunk in chunks(lab, text, **parameters):
        for choice in chunk["choices"]:
            yield choice["delta"]
