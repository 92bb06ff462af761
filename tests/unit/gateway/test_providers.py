"""What each dialect changes in the document that it is sent, and what it repairs in the answer that comes back."""

from typing import Any

import pytest

from gateway.providers import DIALECTS
from tests.unit.gateway.catalogues import (
    CATALOGUE,
    CHAT,
    DIALECT_NAMES,
    catalogue,
    model,
    target,
    two_targets,
    whole_answer,
)
from tests.unit.gateway.fakes import FakePorts, chat
from tests.unit.gateway.shapes import deepseek, events
from tests.unit.gateway.upstreams import DictDocument, Reply, json_reply

PROVIDER_NAMES = sorted(DIALECT_NAMES)
ANSWERED = events(deepseek({"content": "a"}, "stop"), "[DONE]")
INJECTED = {"thinking": {"type": "disabled"}}
DEVELOPER = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hello"}]


async def sent(name: str, /, **fields: Any) -> dict[str, Any]:
    """The document that a provider is sent for these fields."""
    ports = FakePorts(catalogue=catalogue(model("deepseek-chat", target(name, "upstream-1", inject=INJECTED))))
    stream = fields.get("stream", False)
    ports.upstream.answer(name, Reply(pieces=[ANSWERED]) if stream else json_reply(whole_answer()))
    answer = await chat(ports, {**CHAT, **fields})
    assert answer.status == 200, answer.text
    [document] = ports.upstream.documents()
    return document


@pytest.mark.parametrize("provider", PROVIDER_NAMES)
async def test_a_document_keeps_all_that_the_gateway_does_not_own(provider: str) -> None:
    fields: dict[str, Any] = {
        "temperature": 0.5,
        "response_format": {"type": "json_object"},
        "tool_choice": "auto",
        "seed": 7,
        "unknown": {"deep": [1, None]},
    }

    document = await sent(provider, models=["deepseek-chat"], provider={"order": []}, **fields)

    assert document == {**CHAT, **INJECTED, **fields, "model": "upstream-1"}


@pytest.mark.parametrize("provider", PROVIDER_NAMES)
@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_the_bound_of_the_output_goes_by_the_name_that_the_provider_knows(provider: str, name: str) -> None:
    document = await sent(provider, **{name: 77})

    assert document == {**CHAT, **INJECTED, "model": "upstream-1", "max_tokens": 77}


@pytest.mark.parametrize("provider", PROVIDER_NAMES)
async def test_a_developer_s_message_is_a_system_message_to_the_labs(provider: str) -> None:
    document = await sent(provider, messages=DEVELOPER)

    roles = [message["role"] for message in document["messages"]]
    assert roles == ["developer" if provider == "mirror" else "system", "user"]


@pytest.mark.parametrize("provider", PROVIDER_NAMES)
@pytest.mark.parametrize("options", [None, {"include_usage": True}, {"include_usage": False}])
async def test_usage_is_asked_for_where_a_stream_does_not_bring_it_unasked(
    provider: str, options: dict[str, bool] | None
) -> None:
    document = await sent(provider, stream=True, stream_options=options)

    asks = provider in {"dashscope", "moonshot", "mirror"}
    assert document.get("stream_options") == ({"include_usage": True} if asks else None)
    assert document["stream"] is True


async def test_usage_is_never_asked_for_in_a_whole_answer() -> None:
    assert "stream_options" not in await sent("dashscope", stream_options={"include_usage": True})


async def test_injected_parameters_are_sent_where_the_caller_names_none() -> None:
    assert (await sent("zai"))["thinking"] == {"type": "disabled"}
    assert (await sent("zai", thinking=None))["thinking"] == {"type": "disabled"}
    assert (await sent("zai", thinking={"type": "enabled"}))["thinking"] == {"type": "enabled"}


@pytest.mark.parametrize(("given", "stop"), [("END", ["END"]), (["a", "b"], ["a", "b"]), (None, None)])
async def test_zhipu_takes_stops_as_a_list_alone(given: Any, stop: Any) -> None:
    assert (await sent("zai", stop=given)).get("stop") == stop
    assert (await sent("deepseek", stop=given)).get("stop") == given


async def test_spark_sends_tool_calls_as_a_list_where_there_are_tools() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]

    assert (await sent("spark", tools=tools))["tool_calls_switch"] is True
    assert "tool_calls_switch" not in await sent("spark")


async def test_what_one_target_is_sent_is_not_what_the_next_is_sent() -> None:
    for first in ("zai", "spark", "dashscope"):
        ports = FakePorts(catalogue=two_targets(first, "mirror"))
        ports.upstream.answer(first, Reply(status=503))
        ports.upstream.answer("mirror", json_reply(whole_answer()))

        await chat(ports, stop="END", tools=[{"type": "function"}])

        expected = {**CHAT, "stop": "END", "tools": [{"type": "function"}]}
        assert ports.upstream.documents()[1] == {**expected, "model": "mirror-1"}


def repaired(dialect: str, chunk: dict[str, Any]) -> dict[str, Any]:
    DIALECTS[dialect].repair_chunk(chunk)
    return chunk


def repaired_answer(dialect: str, answer: dict[str, Any]) -> dict[str, Any]:
    DIALECTS[dialect].repair_answer(DictDocument(answer))
    return answer


@pytest.mark.parametrize("dialect", ["openai", "deepseek", "dashscope"])
def test_a_chunk_in_openai_s_form_is_left_as_it_is(dialect: str) -> None:
    chunk = {"id": "1", "choices": [{"delta": {"content": "a"}}]}

    assert repaired(dialect, dict(chunk)) == chunk


def test_a_spark_chunk_loses_its_own_fields_and_gets_those_that_it_lacks() -> None:
    chunk = {"code": 0, "message": "Success", "sid": "s", "id": "s", "choices": [{"delta": {"content": "a"}}]}

    assert repaired("spark", chunk) == {
        "id": "s",
        "object": "chat.completion.chunk",
        "choices": [{"delta": {"content": "a"}, "index": 0, "finish_reason": None}],
    }


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("stop", "stop"),
        ("tool_calls", "tool_calls"),
        ("sensitive", "content_filter"),
        ("model_context_window_exceeded", "length"),
        (None, None),
    ],
)
def test_zhipu_s_finish_reasons_are_told_in_openai_s_words_in_both_forms(reason: str | None, told: str | None) -> None:
    chunk = {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    answer = {"object": "chat.completion", "choices": [{"index": 0, "message": {}, "finish_reason": reason}]}

    assert repaired("zai", chunk)["choices"][0]["finish_reason"] == told
    assert repaired_answer("zai", answer)["choices"][0]["finish_reason"] == told


def test_a_zhipu_chunk_without_a_finish_gets_a_null_one() -> None:
    assert repaired("zai", {"choices": [{"delta": {}}]}) == {
        "object": "chat.completion.chunk",
        "choices": [{"delta": {}, "finish_reason": None}],
    }


def test_a_moonshot_chunk_gets_its_object() -> None:
    assert repaired("moonshot", {"choices": []}) == {"object": "chat.completion.chunk", "choices": []}


def test_a_spark_answer_is_made_an_openai_answer() -> None:
    answer = {"code": 0, "message": "Success", "sid": "s", "choices": [{"message": {"content": "a"}, "index": 0}]}

    assert repaired_answer("spark", answer) == {
        "object": "chat.completion",
        "choices": [{"message": {"content": "a"}, "index": 0, "finish_reason": "stop"}],
    }


@pytest.mark.parametrize("provider", PROVIDER_NAMES)
async def test_every_provider_s_whole_answer_has_the_fields_that_clients_rely_on(provider: str) -> None:
    served = next(served.id for served in CATALOGUE.models.values() if served.targets[0].provider == provider)
    ports = FakePorts()
    bare = {"code": 0, "choices": [{"index": 0, "message": {"role": "assistant", "content": "a"}}]}
    ports.upstream.answer(provider, json_reply(bare))

    answer = (await chat(ports, model=served)).json()

    assert {"id", "object", "created", "model", "choices"} <= set(answer)
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "a"}
