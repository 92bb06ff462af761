"""Calls to a model of each lab, as a customer makes them and as the lab itself is asked, so that both can be seen."""

import json
from collections.abc import Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx2
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessage

from tests.e2e.admin import Record
from tests.e2e.chat import prompt
from tests.e2e.wall import CALLS_AT_ONCE, Wall

CALL_LIMIT_S = 30
PROVIDER = """
[providers.{name}]
dialect = "{dialect}"
base_url = "https://{name}.invalid"
api_key_env = "{key}_API_KEY"
"""
MODEL = """
[models."{name}"]
context_length = 131072
max_output_tokens = 8192
targets = [{{ provider = "{provider}", model = "{model}", inject = {inject} }}]
prices = [{{ effective_from = 2026-01-01, input = "1.00", cached_input = "0.10", output = "2.00", source = "https://lab.example" }}]
"""  # noqa: E501

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A lab's model: its provider in the catalogue, and the path, id and parameters by which the lab knows it."""

    provider: str
    path: str
    model: str
    inject: Json = field(default_factory=dict)


DISABLED, ENABLED = {"thinking": {"type": "disabled"}}, {"thinking": {"type": "enabled"}}
DEEPSEEK, ZAI, DASHSCOPE = "/deepseek", "/zai/api/paas/v4", "/dashscope/compatible-mode/v1"
TARGETS = {
    "deepseek": Target(provider="deepseek", path=DEEPSEEK, model="deepseek-flash", inject=DISABLED),
    "deepseek thinking": Target(provider="deepseek", path=DEEPSEEK, model="deepseek-flash", inject=ENABLED),
    "moonshot": Target(provider="moonshot", path="/moonshot/v1", model="kimi-k2.6", inject=DISABLED),
    "moonshot thinking": Target(provider="moonshot", path="/moonshot/v1", model="kimi-k3"),
    "dashscope": Target(provider="dashscope", path=DASHSCOPE, model="qwen3-max"),
    "dashscope thinking": Target(
        provider="dashscope", path=DASHSCOPE, model="qwen3-max", inject={"enable_thinking": True}
    ),
    "zai": Target(provider="zai", path=ZAI, model="glm-4.6", inject=DISABLED),
    "zai thinking": Target(provider="zai", path=ZAI, model="glm-4.6"),
    "spark": Target(provider="spark", path="/spark/v1", model="4.0Ultra"),
    "spark thinking": Target(provider="spark_x", path="/spark/v2", model="spark-x"),
}
"""Of each lab a model that answers at once, and one that thinks before it answers."""


def catalogue() -> str:
    """The targets as public models of these names; the launcher leads their providers to the simulated labs."""
    dialects = {target.provider: target.provider.removesuffix("_x") for target in TARGETS.values()}
    providers = [PROVIDER.format(name=name, dialect=dialect, key=name.upper()) for name, dialect in dialects.items()]
    models = [
        MODEL.format(name=public_name(name), provider=target.provider, model=target.model, inject=_toml(target.inject))
        for name, target in TARGETS.items()
    ]
    return "".join([*providers, *models])


def public_name(target: str) -> str:
    return target.replace(" ", "/")


def _toml(value: Any) -> str:
    """An inline table, or what stands in one."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_toml(item)}" for name, item in value.items()) + " }"
    return json.dumps(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One call: which target, what is said, and further fields of the body."""

    target: str
    text: str
    stream: bool
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def lab_body(self) -> str:
        """What the lab itself is asked, without a stream, as JSON."""
        target = TARGETS[self.target]
        fields = {name: value for name, value in self.fields.items() if name != "stream_options"}
        return json.dumps(prompt(self.text, model=target.model, **fields, **target.inject))


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One call as the caller saw it, its record, and the usage that the lab itself reports for the same."""

    text: str
    record: Record
    lab_usage: Json

    @property
    def completion(self) -> ChatCompletion:
        """The answer. Raises pydantic.ValidationError unless it has OpenAI's fields in OpenAI's types."""
        return ChatCompletion.model_validate_json(self.text, strict=True)

    @property
    def chunks(self) -> list[ChatCompletionChunk]:
        """The chunks of a stream; raises as above, and where it does not end as OpenAI ends it."""
        *chunks, done = (line.removeprefix("data:").strip() for line in self.text.splitlines() if line[:5] == "data:")
        assert done == "[DONE]"
        return [ChatCompletionChunk.model_validate_json(chunk, strict=True) for chunk in chunks]


K = TypeVar("K", bound=Hashable)


def compare(wall: Wall, cases: Mapping[K, Case]) -> dict[K, Compared]:
    """Make all calls, some of them at a time, at the gateway and at the labs."""
    questions = {(TARGETS[case.target].path, case.lab_body) for case in cases.values()}
    with ThreadPoolExecutor(CALLS_AT_ONCE) as pool:
        asking = {name: pool.submit(_ask_gateway, wall, case) for name, case in cases.items()}
        reporting = {question: pool.submit(_ask_lab, wall, *question) for question in questions}
    usages = {question: future.result() for question, future in reporting.items()}
    answers = {name: future.result() for name, future in asking.items()}
    request_ids = [answer.headers["x-request-id"] for answer in answers.values()]
    records = wall.admin.records_of(wall.customer.id, request_ids)
    return {
        name: Compared(
            text=answers[name].text,
            record=records[answers[name].headers["x-request-id"]],
            lab_usage=usages[TARGETS[case.target].path, case.lab_body],
        )
        for name, case in cases.items()
    }


def _ask_gateway(wall: Wall, case: Case) -> httpx2.Response:
    body = prompt(case.text, model=public_name(case.target), stream=case.stream, **case.fields)
    headers = {"authorization": f"Bearer {wall.customer.api_key}"}
    answer = httpx2.post(f"{wall.stack.base_url}/chat/completions", json=body, headers=headers, timeout=CALL_LIMIT_S)
    assert answer.status_code == 200, (case, answer.text)
    return answer


def _ask_lab(wall: Wall, path: str, body: str) -> Json:
    """The usage that the lab reports."""
    headers = {"authorization": "Bearer sk-contract"}
    url = f"{wall.stack.labs_url}{path}/chat/completions"
    answer = httpx2.post(url, content=body, headers=headers, timeout=CALL_LIMIT_S).raise_for_status()
    usage: Json = answer.json()["usage"]
    return usage


def joined(chunks: list[ChatCompletionChunk]) -> ChatCompletionMessage:
    """The message that the deltas of a stream add up to, joined by nothing but their order and the calls' index."""
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    calls: dict[int, Json] = {}
    for delta in deltas:
        for part in delta.tool_calls or []:
            function = part.function
            call = calls.setdefault(part.index, {"id": "", "type": "", "function": {"name": "", "arguments": ""}})
            call["id"] += part.id or ""
            call["type"] += part.type or ""
            call["function"]["name"] += (function and function.name) or ""
            call["function"]["arguments"] += (function and function.arguments) or ""
    message: Json = {
        "role": "".join(delta.role or "" for delta in deltas),
        "content": "".join(delta.content or "" for delta in deltas),
        "reasoning_content": "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas),
        "tool_calls": [calls[index] for index in sorted(calls)] or None,
    }
    return ChatCompletionMessage.model_validate_json(json.dumps(message), strict=True)
