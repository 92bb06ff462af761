"""The OpenAI package gets from every model what it would get from OpenAI."""

import json
from typing import Any

import httpx2
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessageParam
from pydantic import BaseModel

from tests.e2e.admin import Account
from tests.e2e.chat import MODELS, ONE_OF_EACH_LAB, WEATHER, prompt, said, user
from tests.e2e.stack import Stack

TOOL_MODELS = ("deepseek-reasoner", *ONE_OF_EACH_LAB)


def streamed(client: OpenAI, **body: Any) -> list[ChatCompletionChunk]:
    with client.chat.completions.create(stream=True, **body) as stream:
        return list(stream)


def post(stack: Stack, account: Account, body: dict[str, Any]) -> str:
    """The answer as it is on the wire."""
    headers = {"authorization": f"Bearer {account.api_key}"}
    answer = httpx2.post(f"{stack.base_url}/chat/completions", json=body, headers=headers, timeout=30)
    return answer.raise_for_status().text


def events(text: str) -> list[str]:
    """The data of every event of a stream."""
    return [line.removeprefix("data:").strip() for line in text.splitlines() if line.startswith("data:")]


def check(kind: type[BaseModel], text: str) -> None:
    """Raises pydantic.ValidationError unless the JSON has OpenAI's fields in OpenAI's types."""
    kind.model_validate_json(text, strict=True)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_answers(client: OpenAI, model: str) -> None:
    completion = client.chat.completions.create(model=model, messages=[user("Hello [[lab tokens=5]]")])

    [choice] = completion.choices
    assert choice.finish_reason == "stop"
    assert len((choice.message.content or "").split()) == 5
    assert completion.usage is not None
    assert completion.usage.completion_tokens >= 5


@pytest.mark.parametrize("model", MODELS)
def test_every_model_streams_what_it_answers(client: OpenAI, model: str) -> None:
    body = prompt("Hello [[lab tokens=5]]", model=model)
    plain = client.chat.completions.create(**body)
    chunks = streamed(client, **body)

    assert said(chunks) == plain.choices[0].message.content
    assert sum(bool(choice.delta.content) for chunk in chunks for choice in chunk.choices) == 5
    assert chunks[-1].choices[0].finish_reason == "stop"


@pytest.mark.parametrize("model", MODELS)
def test_an_answer_has_the_fields_of_openai_in_their_types(stack: Stack, customer: Account, model: str) -> None:
    check(ChatCompletion, post(stack, customer, prompt(model=model)))


@pytest.mark.parametrize("model", MODELS)
def test_every_chunk_has_the_fields_of_openai_in_their_types(stack: Stack, customer: Account, model: str) -> None:
    *chunks, last = events(post(stack, customer, prompt(model=model, stream=True)))

    assert last == "[DONE]"
    for chunk in chunks:
        check(ChatCompletionChunk, chunk)


@pytest.mark.parametrize("model", ONE_OF_EACH_LAB)
def test_a_stream_without_include_usage_has_a_choice_in_every_chunk(client: OpenAI, model: str) -> None:
    chunks = streamed(client, **prompt(model=model))

    assert len(chunks) > 1
    assert all(chunk.choices for chunk in chunks)


@pytest.mark.parametrize("model", ONE_OF_EACH_LAB)
def test_include_usage_adds_one_last_chunk_with_usage_and_no_choices(client: OpenAI, model: str) -> None:
    *others, last = streamed(client, **prompt(model=model), stream_options={"include_usage": True})

    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens
    assert all(chunk.choices and chunk.usage is None for chunk in others)


@pytest.mark.parametrize("model", ONE_OF_EACH_LAB)
def test_the_usage_of_a_stream_is_the_usage_of_the_answer(client: OpenAI, model: str) -> None:
    body = prompt("Hello [[lab tokens=7 cached=1]]", model=model)
    plain = client.chat.completions.create(**body).usage
    usage = streamed(client, **body, stream_options={"include_usage": True})[-1].usage

    assert plain is not None
    assert usage is not None
    assert usage.prompt_tokens == plain.prompt_tokens
    assert usage.completion_tokens == plain.completion_tokens


def test_the_reasoning_of_a_model_reaches_the_caller(client: OpenAI) -> None:
    body = prompt("Hello [[lab reasoning=4]]", model="deepseek-reasoner")
    message = client.chat.completions.create(**body).choices[0].message
    chunks = streamed(client, **body)

    reasoning = "".join(
        getattr(choice.delta, "reasoning_content", None) or "" for chunk in chunks for choice in chunk.choices
    )
    assert reasoning
    assert reasoning == (message.model_extra or {})["reasoning_content"]


@pytest.mark.parametrize("model", TOOL_MODELS)
def test_tools_make_a_round_trip(client: OpenAI, model: str) -> None:
    messages: list[ChatCompletionMessageParam] = [user("Lisbon [[lab tools=1]]")]
    asked = client.chat.completions.create(model=model, messages=messages, tools=[WEATHER]).choices[0]
    [call] = asked.message.tool_calls or []
    assert call.type == "function"
    city = json.loads(call.function.arguments)["city"]
    messages.append(asked.message.to_dict())  # type: ignore[arg-type] # an answer's message is one of a prompt, too
    messages.append({"role": "tool", "tool_call_id": call.id, "content": f"22 degrees in {city}"})

    told = client.chat.completions.create(model=model, messages=messages, tools=[WEATHER]).choices[0]

    assert asked.finish_reason == "tool_calls"
    assert call.function.name == "get_weather"
    assert told.finish_reason == "stop"
    assert "22 degrees in Lisbon" in (told.message.content or "")


@pytest.mark.parametrize("model", TOOL_MODELS)
def test_an_answer_with_parallel_tool_calls_has_the_types_of_openai(
    stack: Stack, customer: Account, model: str
) -> None:
    text = post(stack, customer, prompt("Lisbon [[lab tools=3]]", model=model, tools=[WEATHER]))
    check(ChatCompletion, text)

    calls = json.loads(text)["choices"][0]["message"]["tool_calls"]
    assert len({call["id"] for call in calls}) == 3
    assert [json.loads(call["function"]["arguments"]) for call in calls] == [{"city": "Lisbon"}] * 3


@pytest.mark.parametrize("model", TOOL_MODELS)
def test_parallel_tool_calls_of_a_stream_stay_apart(stack: Stack, customer: Account, model: str) -> None:
    body = prompt("Lisbon [[lab tools=3]]", model=model, tools=[WEATHER], stream=True)
    *chunks, _ = events(post(stack, customer, body))
    for chunk in chunks:
        check(ChatCompletionChunk, chunk)

    deltas = [choice["delta"] for chunk in chunks for choice in json.loads(chunk)["choices"]]
    parts = [part for delta in deltas for part in delta.get("tool_calls") or []]
    for index in range(3):
        own = [part for part in parts if part["index"] == index]
        assert len({part["id"] for part in own if part.get("id")}) == 1
        arguments = "".join(part["function"].get("arguments") or "" for part in own)
        assert json.loads(arguments) == {"city": "Lisbon"}
    assert json.loads(chunks[-1])["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("model", ONE_OF_EACH_LAB)
def test_json_mode_answers_with_an_object(client: OpenAI, model: str) -> None:
    body = prompt("Answer in JSON", model=model, response_format={"type": "json_object"})

    assert "reply" in json.loads(client.chat.completions.create(**body).choices[0].message.content or "")
    assert "reply" in json.loads(said(streamed(client, **body)))


@pytest.mark.parametrize("model", ONE_OF_EACH_LAB)
def test_text_of_any_script_arrives_as_it_was_sent(client: OpenAI, model: str) -> None:
    body = prompt("你好 🙂 [[lab unicode tokens=20 cut_bytes=3]]", model=model)
    plain = client.chat.completions.create(**body).choices[0].message.content

    assert plain
    assert not plain.isascii()
    assert said(streamed(client, **body)) == plain
