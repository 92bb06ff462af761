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
        **({} if provider == "moonshot" else {"temperature": 0.5}),
        "response_format": {"type": "json_object"},
        "tool_choice": "auto",
        **({"unknown": {"deep": [1, None]}} if provider == "mirror" else {}),
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

        more: dict[str, Any] = {} if first == "spark" else {"stop": "END"}

        await chat(ports, tools=[{"type": "function"}], **more)

        expected = {**CHAT, **more, "tools": [{"type": "function"}]}
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


REFUSED: list[tuple[str, str, Any]] = [
    ("deepseek", "temperature", 2.1),
    ("deepseek", "temperature", "warm"),
    ("deepseek", "temperature", True),
    ("deepseek", "response_format", {"type": "json_schema", "json_schema": {}}),
    ("deepseek", "n", 2),
    ("deepseek", "top_logprobs", 21),
    ("deepseek", "seed", 2**53),
    ("deepseek", "seed", -1),
    ("deepseek", "logit_bias", {"1": 5}),
    ("deepseek", "store", True),
    ("deepseek", "invented", 1),
    ("moonshot", "temperature", 0.7),
    ("moonshot", "top_p", 1),
    ("moonshot", "presence_penalty", 0.1),
    ("moonshot", "tool_choice", "required"),
    ("moonshot", "stop", ["x"] * 6),
    ("moonshot", "stop", "x" * 33),
    ("dashscope", "temperature", 2),
    ("dashscope", "tool_choice", "required"),
    ("dashscope", "logprobs", True),
    ("dashscope", "n", 5),
    ("zai", "temperature", 1.01),
    ("zai", "top_p", 0),
    ("zai", "tool_choice", "none"),
    ("zai", "stop", list("abcde")),
    ("zai", "response_format", {"type": "json_schema"}),
    ("spark", "presence_penalty", -0.1),
    ("spark", "seed", 1),
    ("spark", "stop", "END"),
    ("spark", "top_p", 0),
]


@pytest.mark.parametrize(("provider", "name", "value"), REFUSED)
async def test_what_a_provider_cannot_do_exactly_is_refused_by_name_and_never_sent(
    provider: str, name: str, value: Any
) -> None:
    ports = FakePorts(catalogue=catalogue(model("deepseek-chat", target(provider, "upstream-1", inject=INJECTED))))

    answer = await chat(ports, {**CHAT, name: value})

    assert (answer.status, answer.error()["code"], answer.error()["param"]) == (400, "unsupported_parameter", name)
    assert ports.upstream.calls == []
    assert ports.records() == []


TAKEN: list[tuple[str, str, Any]] = [
    ("deepseek", "temperature", 2),
    ("deepseek", "top_logprobs", 20),
    ("deepseek", "seed", 2**53 - 1),
    ("moonshot", "response_format", {"type": "json_schema", "json_schema": {}}),
    ("moonshot", "stop", ["x" * 32] * 5),
    ("dashscope", "temperature", 1.99),
    ("dashscope", "parallel_tool_calls", False),
    ("dashscope", "n", 4),
    ("zai", "temperature", 1),
    ("zai", "top_p", 0.01),
    ("zai", "stop", list("abcd")),
    ("spark", "presence_penalty", 2),
    ("spark", "tool_choice", "required"),
]


@pytest.mark.parametrize(("provider", "name", "value"), TAKEN)
async def test_what_a_provider_can_do_reaches_it_as_it_is(provider: str, name: str, value: Any) -> None:
    document = await sent(provider, **{name: value})

    assert document[name] == value


WITHOUT_EFFECT: dict[str, Any] = {
    "user": "u",
    "metadata": {"a": "b"},
    "store": False,
    "service_tier": "auto",
    "n": 1,
    "logit_bias": {},
    "modalities": ["text"],
    "prompt_cache_key": "k",
    "safety_identifier": "s",
}


@pytest.mark.parametrize("provider", [name for name in PROVIDER_NAMES if name != "mirror"])
async def test_what_has_no_effect_on_an_answer_is_taken_and_left_out(provider: str) -> None:
    document = await sent(provider, **WITHOUT_EFFECT)

    assert document.keys() & WITHOUT_EFFECT.keys() <= ({"n"} if provider == "dashscope" else set())


@pytest.mark.parametrize(
    ("thinking", "temperature", "status"),
    [("enabled", 1, 200), ("disabled", 0.6, 200), ("enabled", 0.6, 400), ("disabled", 1, 400)],
)
async def test_kimi_s_temperature_is_pinned_by_its_thinking(thinking: str, temperature: float, status: int) -> None:
    served = catalogue(model("kimi-k2", target("moonshot", "k", inject={"thinking": {"type": thinking}})))
    ports = FakePorts(catalogue=served)
    ports.upstream.answer("moonshot", json_reply(whole_answer()))

    answer = await chat(ports, {**CHAT, "model": "kimi-k2", "temperature": temperature})

    assert answer.status == status


@pytest.mark.parametrize(
    ("provider", "fields", "status"),
    [
        ("deepseek", {"thinking": {"type": "enabled"}}, 400),
        ("deepseek", {}, 400),
        ("deepseek", {"thinking": {"type": "disabled"}}, 200),
        ("dashscope", {"enable_thinking": True}, 400),
        ("dashscope", {}, 200),
    ],
)
async def test_a_tool_cannot_be_forced_while_a_model_thinks(provider: str, fields: dict[str, Any], status: int) -> None:
    forced = {"type": "function", "function": {"name": "weather"}}
    ports = FakePorts(catalogue=catalogue(model("deepseek-chat", target(provider, "m"))))
    ports.upstream.answer(provider, json_reply(whole_answer()))

    answer = await chat(ports, {**CHAT, "tool_choice": forced, **fields})

    assert answer.status == status


async def test_a_target_that_cannot_do_what_is_asked_is_passed_over_for_one_that_can() -> None:
    ports = FakePorts(catalogue=two_targets("zai", "mirror"))
    ports.upstream.answer("mirror", json_reply(whole_answer()))

    answer = await chat(ports, temperature=1.5)

    assert answer.attempts() == [("mirror", "ok")]


@pytest.mark.parametrize("provider", PROVIDER_NAMES)
async def test_an_answer_s_message_can_be_sent_back_as_openai_s_clients_dump_it(provider: str) -> None:
    dumped: dict[str, Any] = {
        "role": "assistant",
        "content": "Hi",
        "refusal": None,
        "audio": None,
        "annotations": [],
        "function_call": None,
        "reasoning_content": "why",
    }
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "Hello"},
        dumped,
        {"role": "user", "content": "More"},
    ]

    document = await sent(provider, messages=messages)

    kept = {"role": "assistant", "content": "Hi", "reasoning_content": "why"}
    assert document["messages"][1] == (dumped if provider == "mirror" else kept)
    assert "refusal" in messages[1]
