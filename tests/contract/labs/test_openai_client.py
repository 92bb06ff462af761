"""The OpenAI package drives the labs whose wire it understands, and gets a key's models."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai import APIStatusError, OpenAI

from tests.contract.labs.calls import MODELS, WEATHER, user
from tests.contract.labs.conftest import RunningLabs

LABS = ["deepseek", "dashscope"]


@pytest.fixture(params=LABS)
def client(labs: RunningLabs, request: pytest.FixtureRequest) -> Iterator[OpenAI]:
    with OpenAI(base_url=labs.base_url(request.param), api_key="sk-good", max_retries=0) as client:
        yield client


@pytest.fixture
def model(client: OpenAI) -> str:
    return next(MODELS[lab] for lab in LABS if f"/{lab}" in str(client.base_url))


def test_a_plain_answer(client: OpenAI, model: str) -> None:
    answer = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "hello [[lab tokens=5]]"}]
    )

    assert answer.choices[0].finish_reason == "stop"
    assert len((answer.choices[0].message.content or "").split()) == 5
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_streamed_answer_says_the_same_as_the_plain_one(client: OpenAI, model: str) -> None:
    messages: Any = [user("hello")]
    plain = client.chat.completions.create(model=model, messages=messages)

    with client.chat.completions.create(
        model=model, messages=messages, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)

    said = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert said == plain.choices[0].message.content
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == plain.usage.completion_tokens if plain.usage else False


def test_tools_make_a_round_trip(client: OpenAI, model: str) -> None:
    messages: list[Any] = [user("Lisbon [[lab tools=2]]")]
    tools: Any = [WEATHER]

    asked = client.chat.completions.create(model=model, messages=messages, tools=tools).choices[0]
    messages.append(asked.message)
    for called in asked.message.tool_calls or []:
        assert called.type == "function"
        city = json.loads(called.function.arguments)["city"]
        messages.append({"role": "tool", "tool_call_id": called.id, "content": f"22 degrees in {city}"})
    told = client.chat.completions.create(model=model, messages=messages, tools=tools).choices[0]

    assert asked.finish_reason == "tool_calls"
    assert len(messages) == 4
    assert told.finish_reason == "stop"
    assert (told.message.content or "").count("22 degrees in Lisbon") == 2


def test_streamed_tool_calls_add_up(client: OpenAI, model: str) -> None:
    tools: Any = [WEATHER]
    messages: Any = [user("Lisbon [[lab tools=2]]")]
    with client.chat.completions.create(model=model, messages=messages, tools=tools, stream=True) as stream:
        parts = [part for chunk in stream for choice in chunk.choices for part in choice.delta.tool_calls or []]

    for index in (0, 1):
        arguments = "".join(
            part.function.arguments or "" for part in parts if part.index == index and part.function is not None
        )
        assert json.loads(arguments) == {"city": "Lisbon"}


def test_an_error_has_its_status(client: OpenAI, model: str) -> None:
    with pytest.raises(APIStatusError) as refused:
        client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "[[lab fault=content-filter]]"}]
        )

    assert refused.value.status_code == 400


def test_the_models_of_a_key_are_listed(client: OpenAI, model: str) -> None:
    assert model in [listed.id for listed in client.models.list()]
