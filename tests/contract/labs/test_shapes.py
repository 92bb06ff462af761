"""Each lab sends what was recorded of it: the same fields at the same places, in the same order of events."""

import re
from typing import Any

import pytest

from tests.contract.labs import shapes
from tests.contract.labs.calls import BY_NAME, MODELS, WEATHER, ask, call, chunks, deltas, response, user
from tests.contract.labs.shapes import shape, stream_shape

OFF: dict[str, Any] = {"thinking": {"type": "disabled"}}
USAGE: dict[str, Any] = {"stream_options": {"include_usage": True}}

STREAMS: dict[str, tuple[str, str, dict[str, Any], list[Any]]] = {
    "deepseek text": ("deepseek", "", {**OFF, "max_tokens": 5}, shapes.DEEPSEEK_TEXT),
    "deepseek tools": ("deepseek", "cached=2", {"tools": [WEATHER]}, shapes.DEEPSEEK_TOOLS),
    "moonshot text": ("moonshot", "cached=1", OFF, shapes.MOONSHOT_TEXT),
    "moonshot usage inside the choice": ("moonshot", "usage=choice", OFF, shapes.MOONSHOT_USAGE_IN_CHOICE),
    "moonshot usage on text": ("moonshot", "usage=text", {"model": "kimi-k3"}, shapes.MOONSHOT_USAGE_ON_TEXT),
    "qwen text": ("dashscope", "", USAGE, shapes.QWEN_TEXT),
    "qwen reasoning": ("dashscope", "", {**USAGE, "enable_thinking": True}, shapes.QWEN_REASONING),
    "glm reasoning": ("zai", "", USAGE, shapes.GLM_REASONING),
    "glm as documented": ("zai", "usage=documented", OFF, shapes.GLM_DOCUMENTED),
    "spark text": ("spark", "", {}, shapes.SPARK_TEXT),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_has_the_recorded_shape(name: str) -> None:
    lab, directive, parameters, recorded = STREAMS[name]

    sent = chunks(lab, f"hello [[lab {directive}]]", **parameters)

    assert stream_shape(sent) == stream_shape(recorded)


BODIES: dict[str, tuple[str, str, dict[str, Any], Any]] = {
    "deepseek text": ("deepseek", "", {**OFF, "max_tokens": 5}, shapes.DEEPSEEK_JSON_TEXT),
    "deepseek reasoning": ("deepseek", "", {}, shapes.DEEPSEEK_JSON_REASONING),
    "deepseek tools": ("deepseek", "", {"tools": [WEATHER]}, shapes.DEEPSEEK_JSON_TOOLS),
    "moonshot text": ("moonshot", "", OFF, shapes.MOONSHOT_JSON_TEXT),
    "moonshot reasoning": ("moonshot", "cached=1", {}, shapes.MOONSHOT_JSON_REASONING),
    "moonshot tools": ("moonshot", "", {**OFF, "tools": [WEATHER]}, shapes.MOONSHOT_JSON_TOOLS),
    "qwen reasoning": ("dashscope", "", {"enable_thinking": True}, shapes.QWEN_JSON_REASONING),
    "qwen tools": ("dashscope", "", {"tools": [WEATHER]}, shapes.QWEN_JSON_TOOLS),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_json_answer_has_the_recorded_shape(name: str) -> None:
    lab, directive, parameters, recorded = BODIES[name]

    status, body = ask(lab, f"hello [[lab {directive}]]", **parameters)

    assert status == 200
    assert shape(body) == shape(recorded)


def test_spark_writes_data_without_a_space_and_the_others_with_one() -> None:
    for lab in BY_NAME:
        _, body = response(call(lab, stream=True), lab)

        assert body.startswith(b"data:{" if lab == "spark" else b"data: {")
        assert body.endswith(b"data:[DONE]\n\n" if lab == "spark" else b"data: [DONE]\n\n")


def test_ids_look_like_those_of_the_lab() -> None:
    patterns = {
        "deepseek": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        "moonshot": r"chatcmpl-[0-9a-f]+",
        "dashscope": r"chatcmpl-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        "zai": r"\d{14}[0-9a-f]{16}",
        "spark": r"cha[0-9a-f]{8}@dx[0-9a-f]{18}",
    }
    for lab, pattern in patterns.items():
        assert re.fullmatch(pattern, chunks(lab)[0]["id"]), lab


def test_without_include_usage_qwen_sends_none_and_glm_puts_it_on_the_finish_chunk() -> None:
    assert all(chunk["usage"] is None for chunk in chunks("dashscope"))
    assert chunks("zai")[-1]["choices"][0]["finish_reason"] == "stop"
    assert "usage" in chunks("zai")[-1]


def test_moonshot_adds_a_chunk_of_usage_alone_when_asked() -> None:
    *_, finish, alone = chunks("moonshot", **USAGE)

    assert alone["choices"] == []
    assert alone["usage"] == finish["usage"]


def test_spark_may_send_usage_on_a_chunk_that_carries_text() -> None:
    sent = chunks("spark", "hello [[lab usage=text tokens=3]]")

    assert len(sent) == 3
    assert sent[-1]["choices"][0]["delta"]["content"]
    assert sent[-1]["usage"]["completion_tokens"] == 3


@pytest.mark.parametrize("lab", MODELS)
def test_usage_can_be_missing(lab: str) -> None:
    parameters: dict[str, Any] = {"messages": [user("hello [[lab usage=none]]")], **USAGE}

    sent = chunks(lab, **parameters)
    _, body = ask(lab, **parameters)

    assert not any(chunk.get("usage") for chunk in sent)
    assert not any("usage" in choice for chunk in sent for choice in chunk["choices"])
    assert "usage" not in body


def test_tool_deltas_at_qwen_have_an_empty_id_after_the_first() -> None:
    calls = [delta["tool_calls"][0] for delta in deltas("dashscope", tools=[WEATHER]) if "tool_calls" in delta]

    assert calls[0]["id"].startswith("call_")
    assert calls[0]["function"] == {"name": "weather", "arguments": ""}
    assert {part["id"] for part in calls[1:]} == {""}
    assert {part["type"] for part in calls} == {"function"}


def test_tool_deltas_at_moonshot_have_ids_by_function_and_no_index() -> None:
    text = "hello [[lab tools=2]]"
    calls = [delta["tool_calls"][0] for delta in deltas("moonshot", text, tools=[WEATHER]) if "tool_calls" in delta]

    assert [part["id"] for part in calls if "id" in part] == ["functions.weather:0", "functions.weather:1"]
    assert not any("index" in part for part in calls)


def test_tool_deltas_at_deepseek_count_in_the_id() -> None:
    text = "hello [[lab tools=2]]"
    calls = [delta["tool_calls"][0] for delta in deltas("deepseek", text, tools=[WEATHER]) if "tool_calls" in delta]

    assert [part["id"][:8] for part in calls if "id" in part] == ["call_00_", "call_01_"]
    assert {part["index"] for part in calls} == {0, 1}


def test_glm_sends_arguments_whole_unless_asked_for_fragments() -> None:
    whole = [delta["tool_calls"][0] for delta in deltas("zai", tools=[WEATHER]) if "tool_calls" in delta]
    parts = [
        delta["tool_calls"][0] for delta in deltas("zai", tools=[WEATHER], tool_stream=True) if "tool_calls" in delta
    ]

    assert len(whole) == 1
    assert "".join(part["function"]["arguments"] for part in parts) == whole[0]["function"]["arguments"]
    assert len(parts) > 2


def test_spark_sends_tool_calls_as_an_object_unless_the_switch_is_set() -> None:
    _, plain = ask("spark", tools=[WEATHER])
    _, switched = ask("spark", tools=[WEATHER], tool_calls_switch=True)
    streamed = [delta["tool_calls"] for delta in deltas("spark", tools=[WEATHER]) if "tool_calls" in delta]

    assert plain["choices"][0]["message"]["tool_calls"]["function"]["name"] == "weather"
    assert [tool["function"]["name"] for tool in switched["choices"][0]["message"]["tool_calls"]] == ["weather"]
    assert streamed[0]["function"]["name"] == "weather"


def test_spark_calls_tools_with_its_larger_models_only() -> None:
    _, body = ask("spark", model="lite", tools=[WEATHER])

    assert "tool_calls" not in body["choices"][0]["message"]


def test_cached_tokens_stand_in_the_field_of_each_lab() -> None:
    used = {lab: chunks(lab, "hello world [[lab cached=2]]", **USAGE)[-1]["usage"] for lab in MODELS}

    assert used["deepseek"]["prompt_cache_hit_tokens"] == 2
    assert used["deepseek"]["prompt_cache_miss_tokens"] == used["deepseek"]["prompt_tokens"] - 2
    assert used["deepseek"]["prompt_tokens_details"] == {"cached_tokens": 2}
    assert used["moonshot"]["cached_tokens"] == 2
    assert used["dashscope"]["prompt_tokens_details"] == {"cached_tokens": 2}
    assert used["zai"]["prompt_tokens_details"] == {"cached_tokens": 2}
    assert "cached_tokens" not in str(used["spark"])


THINKING = [
    ("deepseek", {}, True),
    ("deepseek", OFF, False),
    ("deepseek", {"reasoning_effort": "none"}, False),
    ("deepseek", {"reasoning_effort": "max"}, True),
    ("moonshot", {}, True),
    ("moonshot", OFF, False),
    ("moonshot", {"model": "kimi-k3"}, True),
    ("dashscope", {}, False),
    ("dashscope", {"enable_thinking": True}, True),
    ("dashscope", {"enable_thinking": True, "model": "qwen2.5-72b-instruct"}, False),
    ("zai", {}, True),
    ("zai", OFF, False),
    ("zai", {"reasoning_effort": "minimal"}, False),
    ("spark", {}, False),
]


@pytest.mark.parametrize(("lab", "parameters", "thinks"), THINKING)
def test_a_lab_thinks_when_its_switch_says_so(lab: str, parameters: dict[str, Any], thinks: bool) -> None:
    _, body = ask(lab, **parameters)

    assert bool(body["choices"][0]["message"].get("reasoning_content")) is thinks


def test_spark_x_thinks_and_lives_under_its_own_version() -> None:
    made = call("spark", base="/spark/v2", model="spark-x")

    head, body = response(made, "spark")

    assert head.status == 200
    assert b"reasoning_content" in body


def test_reasoning_and_content_at_glm_begin_with_a_line_break() -> None:
    _, body = ask("zai")

    assert body["choices"][0]["message"]["reasoning_content"].startswith("\n")
    assert body["choices"][0]["message"]["content"].startswith("\n")


@pytest.mark.parametrize("lab", MODELS)
def test_a_stream_says_what_the_json_answer_says_and_counts_alike(lab: str) -> None:
    spoken = list(deltas(lab, **USAGE))
    _, body = ask(lab, **USAGE)
    message = body["choices"][0]["message"]

    assert "".join(delta.get("content") or "" for delta in spoken) == message["content"]
    assert "".join(delta.get("reasoning_content") or "" for delta in spoken) == message.get("reasoning_content", "")
    for field in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert chunks(lab, **USAGE)[-1]["usage"][field] == body["usage"][field]


@pytest.mark.parametrize("lab", ["deepseek", "moonshot", "dashscope", "zai"])
def test_a_finish_reason_that_only_one_lab_knows_can_be_asked_for(lab: str) -> None:
    _, body = ask(lab, "hello [[lab finish=insufficient_system_resource]]")

    assert body["choices"][0]["finish_reason"] == "insufficient_system_resource"


def test_glm_ends_a_filtered_stream_as_sensitive() -> None:
    assert chunks("zai", "hello [[lab finish=sensitive]]")[-1]["choices"][0]["finish_reason"] == "sensitive"


def test_dashscope_answers_with_its_headers_and_a_cookie() -> None:
    head, _ = response(call("dashscope"), "dashscope")

    assert head.headers["set-cookie"].startswith("acw_tc=")
    assert {"x-request-id", "x-dashscope-call-gateway", "req-cost-time", "x-envoy-upstream-service-time"} <= set(
        head.headers
    )


def test_deepseek_and_moonshot_answer_with_their_trace_headers() -> None:
    assert "x-ds-trace-id" in response(call("deepseek"), "deepseek")[0].headers
    assert "x-msh-request-id" in response(call("moonshot"), "moonshot")[0].headers
