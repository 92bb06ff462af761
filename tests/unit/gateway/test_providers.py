"""What each dialect changes in the document that it is sent, and what it repairs in the answer that comes back."""

from typing import Any

import pytest

from gateway.documents import PlainDocument
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
from tests.unit.gateway.upstreams import Reply, json_reply

PROVIDER_NAMES = sorted(DIALECT_NAMES)
LABS = [name for name in PROVIDER_NAMES if name != "mirror"]
ANSWERED = events(deepseek({"content": "a"}, "stop"), "[DONE]")
INJECTED = {"thinking": {"type": "disabled"}}
NO_SEARCH = {"type": "web_search", "web_search": {"enable": False}}
OWN_OF: dict[str, dict[str, Any]] = {"spark": {"tools": [NO_SEARCH]}}
DEVELOPER = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hello"}]


async def sent(name: str, /, **fields: Any) -> dict[str, Any]:
    """The document that a provider is sent for these fields; a short answer, so that JSON is asked for as JSON."""
    ports = FakePorts(catalogue=catalogue(model("deepseek-chat", target(name, "upstream-1", inject=INJECTED))))
    stream = fields.get("stream", False)
    ports.upstream.answer(name, Reply(pieces=[ANSWERED]) if stream else json_reply(whole_answer()))
    bound = {} if "max_tokens" in fields or "max_completion_tokens" in fields else {"max_tokens": 9}
    answer = await chat(ports, {**CHAT, **bound, **fields})
    assert answer.status == 200, answer.text
    [document] = ports.upstream.documents()
    return {name: value for name, value in document.items() if name not in bound}


@pytest.mark.parametrize("provider", PROVIDER_NAMES)
async def test_a_document_keeps_all_that_the_gateway_does_not_own(provider: str) -> None:
    fields: dict[str, Any] = {
        **({} if provider == "moonshot" else {"temperature": 0.5}),
        "response_format": {"type": "json_object"},
        **({"unknown": {"deep": [1, None]}} if provider == "mirror" else {}),
    }

    document = await sent(provider, models=["deepseek-chat"], provider={"order": []}, **fields)

    assert document == {**CHAT, **INJECTED, **fields, **OWN_OF.get(provider, {}), "model": "upstream-1"}


@pytest.mark.parametrize("provider", PROVIDER_NAMES)
@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_the_bound_of_the_output_goes_by_the_name_that_the_provider_knows(provider: str, name: str) -> None:
    document = await sent(provider, **{name: 77})

    assert document == {**CHAT, **INJECTED, **OWN_OF.get(provider, {}), "model": "upstream-1", "max_tokens": 77}


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
    assert (await sent("zai", stream=True, thinking={"type": "enabled"}))["thinking"] == {"type": "enabled"}


FUNCTION = {"type": "function", "function": {"name": "weather"}}


async def test_zhipu_takes_stops_as_a_list_alone() -> None:
    for given, stop in (("END", ["END"]), (["a", "b"], ["a", "b"]), (None, None)):
        assert (await sent("zai", stop=given)).get("stop") == stop
        assert (await sent("deepseek", stop=given)).get("stop") == given


async def test_zhipu_is_told_that_no_tool_may_be_called_by_leaving_the_tools_out() -> None:
    assert not (await sent("zai", tools=[FUNCTION], tool_choice="none")).keys() & {"tools", "tool_choice"}
    document = await sent("zai", tools=[FUNCTION], tool_choice="auto")
    assert (document["tools"], document["tool_choice"]) == ([FUNCTION], "auto")


async def test_spark_sends_tool_calls_as_a_list_where_there_are_tools() -> None:
    served = catalogue(model("spark-max", target("spark", "generalv3.5")))
    ports = FakePorts(catalogue=served)
    ports.upstream.answer("spark", json_reply(whole_answer()))

    await chat(ports, model="spark-max", tools=[FUNCTION])

    [document] = ports.upstream.documents()
    assert document["tool_calls_switch"] is True
    assert document["tools"] == [FUNCTION, NO_SEARCH]
    assert "tool_calls_switch" not in await sent("spark")


async def test_spark_is_told_not_to_search_the_web_where_it_could() -> None:
    for name, tools in (("lite", None), ("generalv3", [NO_SEARCH]), ("4.0Ultra", [NO_SEARCH])):
        ports = FakePorts(catalogue=catalogue(model("deepseek-chat", target("spark", name))))
        ports.upstream.answer("spark", json_reply(whole_answer()))

        await chat(ports)

        assert ports.upstream.documents()[0].get("tools") == tools


async def test_qwen_may_call_several_tools_at_once_unless_the_caller_says_no() -> None:
    for asked, told in ((None, True), (True, True), (False, False)):
        ports = FakePorts(catalogue=catalogue(model("deepseek-chat", target("dashscope", "qwen3-max"))))
        ports.upstream.answer("dashscope", json_reply(whole_answer()))

        await chat(ports, tools=[FUNCTION], parallel_tool_calls=asked)

        assert ports.upstream.documents()[0]["parallel_tool_calls"] is told


@pytest.mark.parametrize("provider", LABS)
async def test_a_call_with_no_tools_says_nothing_of_tools(provider: str) -> None:
    document = await sent(provider, tools=[], tool_choice="auto", parallel_tool_calls=True)

    assert not document.keys() & {"tool_choice", "parallel_tool_calls"}
    assert document.get("tools") == OWN_OF.get(provider, {}).get("tools")


async def test_kimi_is_not_told_which_json_schema_a_schema_is_written_in() -> None:
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object"}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": schema}}

    document = await sent("moonshot", response_format=wanted)

    assert document["response_format"]["json_schema"] == {"name": "n", "strict": True, "schema": {"type": "object"}}
    assert "$schema" in schema


async def test_what_one_target_is_sent_is_not_what_the_next_is_sent() -> None:
    dumped = {"role": "assistant", "content": None, "refusal": None, "tool_calls": [CALL]}
    messages = [*DEVELOPER, dumped, {"role": "tool", "tool_call_id": "c", "content": "12"}]
    for first in ("zai", "spark", "dashscope", "moonshot"):
        ports = FakePorts(catalogue=two_targets(first, "mirror"))
        ports.upstream.answer(first, Reply(status=503))
        ports.upstream.answer("mirror", json_reply(whole_answer()))

        await chat(ports, messages=messages, response_format={"type": "text"}, user="u", max_tokens=9)

        expected = {**CHAT, "messages": messages, "response_format": {"type": "text"}, "user": "u", "max_tokens": 9}
        assert ports.upstream.documents()[1] == {**expected, "model": "mirror-1"}


CALL: dict[str, Any] = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
RESULT = {"role": "tool", "tool_call_id": "c", "content": "12"}
DUMPED_NULLS: dict[str, Any] = {"refusal": None, "audio": None, "annotations": None, "function_call": None}


@pytest.mark.parametrize("provider", LABS)
@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"content": "Hi", **DUMPED_NULLS, "tool_calls": None}, {"content": "Hi"}),
        ({"content": "Hi", "annotations": [], "tool_calls": []}, {"content": "Hi"}),
        ({"content": "Hi", "name": "Ann", "annotations": [{"type": "url_citation"}]}, {"content": "Hi", "name": "Ann"}),
        ({"content": None, "refusal": "I will not."}, {"content": "I will not."}),
        ({"content": None, **DUMPED_NULLS}, {"content": ""}),
    ],
)
async def test_an_answer_can_be_sent_back_as_openai_s_clients_keep_it(
    provider: str, said: dict[str, Any], kept: dict[str, Any]
) -> None:
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", **said},
        {"role": "user", "content": "More"},
    ]

    document = await sent(provider, messages=messages)

    assert document["messages"] == [messages[0], {"role": "assistant", **kept}, messages[2]]


@pytest.mark.parametrize("provider", LABS)
@pytest.mark.parametrize("content", [None, "", "absent"])
async def test_a_message_of_tool_calls_alone_can_be_sent_back(provider: str, content: str | None) -> None:
    said: dict[str, Any] = {"role": "assistant", **DUMPED_NULLS, "tool_calls": [CALL]}
    if content != "absent":
        said["content"] = content

    document = await sent(provider, messages=[CHAT["messages"][0], said, RESULT])

    empty = None if provider == "moonshot" and content != "" else ""
    assert document["messages"][1] == {"role": "assistant", "content": empty, "tool_calls": [CALL]}


@pytest.mark.parametrize("provider", PROVIDER_NAMES)
async def test_reasoning_is_sent_back_to_all_who_know_it(provider: str) -> None:
    said = {"role": "assistant", "content": "Hi", "reasoning_content": "why"}

    document = await sent(provider, messages=[CHAT["messages"][0], said, {"role": "user", "content": "More"}])

    assert ("reasoning_content" in document["messages"][1]) == (provider != "spark")


async def test_messages_that_need_no_change_are_passed_as_the_very_same() -> None:
    for provider in LABS:
        document = PlainDocument(
            {"model": "m", "messages": [*CHAT["messages"], {"role": "assistant", "content": "Hi"}]}
        )
        messages = document.values["messages"]

        DIALECTS[provider].prepare(document)

        assert document.values["messages"] is messages


def test_a_spark_chunk_loses_its_own_fields() -> None:
    chunk = {"code": 0, "message": "Success", "sid": "s", "id": "s", "choices": []}

    DIALECTS["spark"].repair_chunk(chunk)

    assert chunk == {"id": "s", "choices": []}


def test_a_spark_answer_is_made_an_openai_answer() -> None:
    answer = {"code": 0, "message": "Success", "sid": "s", "choices": [{"message": {"content": "a"}, "index": 0}]}

    DIALECTS["spark"].repair_answer(PlainDocument(answer))

    message = {"role": "assistant", "content": "a"}
    assert answer == {
        "object": "chat.completion",
        "choices": [{"message": message, "index": 0, "finish_reason": "stop"}],
    }


def test_openai_s_own_wire_is_left_as_it_is() -> None:
    chunk: dict[str, Any] = {"choices": [{"delta": {}}]}
    answer: dict[str, Any] = {"choices": [{"message": {}}]}

    DIALECTS["openai"].repair_chunk(chunk)
    DIALECTS["openai"].repair_answer(PlainDocument(answer))

    assert (chunk, answer) == ({"choices": [{"delta": {}}]}, {"choices": [{"message": {}}]})


@pytest.mark.parametrize("provider", PROVIDER_NAMES)
async def test_every_provider_s_whole_answer_has_the_fields_that_clients_rely_on(provider: str) -> None:
    served = next(served.id for served in CATALOGUE.models.values() if served.targets[0].provider == provider)
    ports = FakePorts()
    bare = {"code": 0, "choices": [{"index": 0, "message": {"role": "assistant", "content": "a"}}]}
    ports.upstream.answer(provider, json_reply(bare))

    more = {"thinking": {"type": "disabled"}} if provider in {"moonshot", "zai"} else {}

    answer = (await chat(ports, model=served, **more)).json()

    assert {"id", "object", "created", "model", "choices"} <= set(answer)
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "a"}
