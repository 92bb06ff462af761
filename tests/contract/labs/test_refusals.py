"""A lab refuses what the real one refuses, with the error that was recorded of it."""

import json
from typing import Any

import pytest

from tests.contract.labs.calls import BY_NAME, MODELS, WEATHER, ask, call, read, response, user
from tests.contract.labs.shapes import shape

JSON_OBJECT = {"type": "json_object"}
JSON_SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
NAMED = {"type": "function", "function": {"name": "weather"}}
OFF = {"type": "disabled"}


def deepseek(message: str, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": "invalid_request_error"}}


def moonshot(message: str, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind}}


def qwen(message: str, kind: str = "invalid_request_error", code: str = "invalid_parameter_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def glm(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


def spark(code: str | None, message: str, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


SID = "(sid: cha01234567@dx89abcdef0123456789)"
REQUEST_ID = {"request_id": "01234567-89ab-cdef-0123-456789abcdef"}

BY_KEY = [
    ("deepseek", "", 401, deepseek("Authentication Fails (no such user)", "authentication_error")),
    (
        "deepseek",
        "bad-fcc2",
        401,
        deepseek("Authentication Fails, Your api key: ****fcc2 is invalid", "authentication_error"),
    ),
    ("deepseek", "broke", 402, deepseek("Insufficient Balance", "unknown_error")),
    ("moonshot", "", 401, moonshot("Invalid Authentication", "invalid_authentication_error")),
    ("moonshot", "bad", 401, moonshot("Incorrect API key provided", "incorrect_api_key_error")),
    ("zai", "", 401, glm("1001", "Header 中未收到 Authentication 参数，无法进行身份验证")),  # noqa: RUF001
    ("zai", "bad", 401, glm("401", "token expired or incorrect")),
    ("zai", "broke", 429, glm("1113", "Insufficient balance or no resource package. Please recharge.")),
    ("spark", "bad", 401, spark(None, "invalid user", "api_error")),
    ("spark", "broke", 403, spark("11200", f"AppIdNoAuthError {SID}", "api_error")),
]


@pytest.mark.parametrize(("lab", "key", "status", "body"), BY_KEY)
def test_a_key_that_is_missing_bad_or_broke_is_refused(lab: str, key: str, status: int, body: dict[str, Any]) -> None:
    head, sent = response(call(lab, key=key), lab)

    assert (head.status, json.loads(sent)) == (status, body)


def test_qwen_refuses_keys_in_its_envelope() -> None:
    bad, bad_body = response(call("dashscope", key="bad"), "dashscope")
    broke, broke_body = response(call("dashscope", key="broke"), "dashscope")

    assert (bad.status, broke.status) == (401, 400)
    assert json.loads(bad_body)["error"]["code"] == "invalid_api_key"
    assert json.loads(broke_body)["error"]["code"] == json.loads(broke_body)["error"]["type"] == "Arrearage"
    assert shape(json.loads(bad_body)) == shape(qwen("text") | REQUEST_ID) == shape(json.loads(broke_body))


def test_moonshot_says_that_the_account_is_suspended_with_status_429() -> None:
    head, body = response(call("moonshot", key="broke"), "moonshot")

    assert head.status == 429
    assert json.loads(body)["error"]["type"] == "exceeded_current_quota_error"


ALGORITHM = "<400> InternalError.Algo.InvalidParameter: "
ILLEGAL: list[tuple[str, dict[str, Any], int, dict[str, Any]]] = [
    (
        "deepseek",
        {"max_tokens": 393_217},
        400,
        deepseek("Invalid max_tokens value, the valid range of max_tokens is [1, 393216]"),
    ),
    (
        "deepseek",
        {"tools": [WEATHER], "tool_choice": "required"},
        400,
        deepseek("Thinking mode does not support this tool_choice"),
    ),
    ("deepseek", {"response_format": JSON_SCHEMA}, 400, deepseek("This response_format type is unavailable now")),
    (
        "deepseek",
        {"response_format": JSON_OBJECT},
        400,
        deepseek("Prompt must contain the word 'json' in some form to use 'response_format' of type 'json_object'"),
    ),
    (
        "deepseek",
        {"messages": [user("hi"), {"role": "developer", "content": "x"}]},
        400,
        deepseek(
            "Failed to deserialize the JSON body into the target type: messages[1].role: unknown variant `developer`,"
            " expected one of `system`, `user`, `assistant`, `tool`, `latest_reminder` at line 1 column 4"
        ),
    ),
    (
        "moonshot",
        {"model": "kimi-k2"},
        404,
        moonshot("Not found the model kimi-k2 or Permission denied", "resource_not_found_error"),
    ),
    ("moonshot", {"temperature": 0.7}, 400, moonshot("invalid temperature: only 1 is allowed for this model")),
    (
        "moonshot",
        {"temperature": 1, "thinking": OFF},
        400,
        moonshot("invalid temperature: only 0.6 is allowed for this model"),
    ),
    ("moonshot", {"top_p": 1}, 400, moonshot("invalid top_p: only 0.95 is allowed for this model")),
    ("moonshot", {"n": 2}, 400, moonshot("invalid n: only 1 is allowed for this model")),
    (
        "moonshot",
        {"presence_penalty": 0.1},
        400,
        moonshot("invalid presence_penalty: only 0 is allowed for this model"),
    ),
    (
        "moonshot",
        {"frequency_penalty": 0.1},
        400,
        moonshot("invalid frequency_penalty: only 0 is allowed for this model"),
    ),
    (
        "moonshot",
        {"model": "kimi-k2.7-code", "thinking": OFF},
        400,
        moonshot("invalid thinking: only type=enabled is allowed for this model"),
    ),
    (
        "moonshot",
        {"tools": [WEATHER], "tool_choice": NAMED},
        400,
        moonshot("tool_choice 'specified' is incompatible with thinking enabled"),
    ),
    (
        "dashscope",
        {"model": "qwen3-vl-plus", "enable_thinking": True},
        400,
        qwen("parameter.enable_thinking must be set to false for non-streaming calls"),
    ),
    (
        "dashscope",
        {"tools": [WEATHER], "tool_choice": "required"},
        400,
        qwen('tool_choice is one of the strings that should be ["none", "auto"]'),
    ),
    (
        "dashscope",
        {"tools": [WEATHER], "tool_choice": NAMED, "enable_thinking": True},
        400,
        qwen(ALGORITHM + "The tool_choice parameter does not support being set to required or object in thinking mode"),
    ),
    (
        "dashscope",
        {"response_format": JSON_OBJECT},
        400,
        qwen(
            ALGORITHM
            + "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
        ),
    ),
    ("zai", {"model": "glm-4-flash"}, 400, glm("1211", "模型不存在，请检查模型代码。")),  # noqa: RUF001
    (
        "zai",
        {"model": "glm-5.3", "thinking": OFF},
        400,
        glm("1210", "该模型始终思考，不支持关闭思考；请使用 low、high 或 max。"),  # noqa: RUF001
    ),
    ("spark", {"model": "spark-lite"}, 400, spark("10005", f"invalid param model:spark-lite {SID}")),
]


@pytest.mark.parametrize(("lab", "parameters", "status", "body"), ILLEGAL)
def test_an_illegal_request_is_refused_as_recorded(
    lab: str, parameters: dict[str, Any], status: int, body: dict[str, Any]
) -> None:
    assert ask(lab, **parameters) == (status, body)


ALSO_ILLEGAL: list[tuple[str, dict[str, Any], str]] = [
    ("deepseek", {"model": "deepseek-chat"}, "supported API model names are deepseek-flash or deepseek-v4-pro"),
    ("deepseek", {"temperature": 2.1}, "temperature"),
    ("deepseek", {"n": 2}, "n = 1"),
    ("deepseek", {"max_tokens": 0}, "max_tokens"),
    ("deepseek", {"thinking": {"type": "adaptive"}}, "unknown variant `adaptive`"),
    ("deepseek", {"reasoning_effort": "huge"}, "unknown variant `huge`"),
    ("moonshot", {"thinking": {"type": "adaptive"}}, "type=enabled or type=disabled"),
    ("moonshot", {"model": "kimi-k3", "thinking": OFF}, "thinking"),
    ("moonshot", {"model": "kimi-k3", "reasoning_effort": "medium"}, "reasoning_effort"),
    ("moonshot", {"tools": [WEATHER], "tool_choice": "required"}, "tool_choice 'required'"),
    ("moonshot", {"messages": [{"role": "developer", "content": "x"}]}, "developer"),
    ("moonshot", {"max_completion_tokens": 0}, "max_completion_tokens"),
    ("moonshot", {"stop": ["a", "b", "c", "d", "e", "f"]}, "stop"),
    ("moonshot", {"stop": "x" * 33}, "stop"),
    ("moonshot", {"tools": [{"type": "function", "function": {"name": "9"}}]}, "function name"),
    ("dashscope", {"temperature": 2}, "emperature"),
    ("dashscope", {"n": 2}, "n should be"),
    ("dashscope", {"max_tokens": 65_537}, "max_tokens"),
    ("dashscope", {"enable_thinking": "yes"}, "enable_thinking"),
    ("dashscope", {"messages": [{"role": "developer", "content": "x"}]}, "developer"),
    ("zai", {"temperature": 1.1}, "temperature"),
    ("zai", {"top_p": 0}, "top_p"),
    ("zai", {"stop": "x"}, "stop"),
    ("zai", {"tools": [WEATHER], "tool_choice": "required"}, "tool_choice"),
    ("zai", {"response_format": JSON_SCHEMA}, "response_format"),
    ("zai", {"messages": [{"role": "developer", "content": "x"}]}, "messages.role"),
    ("zai", {"max_tokens": 131_073}, "max_tokens"),
    ("zai", {"model": "glm-4.5", "max_tokens": 98_305}, "max_tokens"),
    ("zai", {"thinking": {"type": "adaptive"}}, "thinking.type"),
    ("zai", {"n": 2}, "n parameter"),
    ("spark", {"temperature": 2.1}, "temperature:2.1"),
    ("spark", {"top_p": 0}, "top_p"),
    ("spark", {"n": 2}, "n:2"),
    ("spark", {"max_tokens": 32_769}, "max_tokens"),
    ("spark", {"frequency_penalty": 1.1}, "frequency_penalty"),
    ("spark", {"messages": [{"role": "developer", "content": "x"}]}, "role"),
    ("spark", {"model": "spark-x"}, "model:spark-x"),
]


@pytest.mark.parametrize(("lab", "parameters", "part"), ALSO_ILLEGAL)
def test_an_illegal_request_is_refused_in_the_form_of_the_lab(lab: str, parameters: dict[str, Any], part: str) -> None:
    status, body = ask(lab, **parameters)

    assert status == 400
    assert part in body["error"]["message"]


LEGAL: list[tuple[str, dict[str, Any]]] = [
    ("deepseek", {"max_tokens": 393_216, "temperature": 2}),
    ("deepseek", {"tools": [WEATHER], "tool_choice": "required", "thinking": OFF}),
    ("deepseek", {"messages": [user("as JSON")], "response_format": JSON_OBJECT}),
    ("moonshot", {"temperature": 1, "top_p": 0.95, "n": 1, "presence_penalty": 0}),
    ("moonshot", {"temperature": 0.6, "thinking": OFF}),
    ("moonshot", {"response_format": JSON_SCHEMA, "stop": ["x" * 32] * 5}),
    ("moonshot", {"model": "kimi-k3", "tools": [WEATHER], "tool_choice": "required"}),
    ("dashscope", {"tools": [WEATHER], "tool_choice": NAMED, "temperature": 1.99}),
    ("dashscope", {"model": "qwen3-vl-plus", "enable_thinking": True, "stream": True}),
    ("zai", {"temperature": 1, "stop": ["x"], "max_tokens": 131_072, "tools": [WEATHER], "tool_choice": "auto"}),
    ("zai", {"model": "glm-4.5", "max_tokens": 98_304}),
    ("spark", {"temperature": 2, "max_tokens": 32_768, "tools": [WEATHER], "tool_choice": "required"}),
]


@pytest.mark.parametrize(("lab", "parameters"), LEGAL)
def test_a_request_at_the_limit_is_answered(lab: str, parameters: dict[str, Any]) -> None:
    head, _ = response(call(lab, **parameters), lab)

    assert head.status == 200


def test_deepseek_wants_the_reasoning_back_with_the_tool_calls_it_led_to() -> None:
    called = {"role": "assistant", "content": "", "tool_calls": [{"id": "1", "type": "function", "function": {}}]}
    result = {"role": "tool", "tool_call_id": "1", "content": "sunny"}

    without, refusal = ask("deepseek", messages=[user("hi"), called, result])
    with_it, _ = ask("deepseek", messages=[user("hi"), called | {"reasoning_content": "hm"}, result])
    earlier_turn, _ = ask("deepseek", messages=[user("hi"), called, result, user("and now?")])
    not_thinking, _ = ask("deepseek", messages=[user("hi"), called, result], thinking=OFF)

    assert (without, with_it, earlier_turn, not_thinking) == (400, 200, 200, 200)
    assert "message index 1" in refusal["error"]["message"]


@pytest.mark.parametrize("lab", MODELS)
@pytest.mark.parametrize("raw", [b"{", b"[]", b"{}", b'{"messages":[1]}', b'{"messages":[{"content":[1]}]}'])
def test_a_body_that_is_no_request_is_refused(lab: str, raw: bytes) -> None:
    head, body = response(read(lab, raw), lab)

    assert head.status == 400
    assert json.loads(body)["error"]["message"]


RECORDED_FAULTS: list[tuple[str, str, int, dict[str, Any]]] = [
    ("deepseek", "content-filter", 400, deepseek("Content Exists Risk")),
    ("deepseek", "rate-limit", 429, deepseek("Rate limit reached")),
    (
        "deepseek",
        "context",
        400,
        deepseek(
            "This model's maximum context length is 131072 tokens. However, you requested 131134 tokens (122942 in the"
            " messages, 8192 in the completion). Please reduce the length of the messages or completion."
        ),
    ),
    (
        "deepseek",
        "overloaded",
        503,
        deepseek(
            "Service is too busy. We advise users to temporarily switch to alternative LLM API service providers.",
            "service_unavailable_error",
        ),
    ),
    (
        "moonshot",
        "overloaded",
        429,
        moonshot("The engine is currently overloaded, please try again later", "engine_overloaded_error"),
    ),
    (
        "moonshot",
        "content-filter",
        400,
        moonshot("The request was rejected because it was considered high risk", "content_filter"),
    ),
    ("dashscope", "context", 400, qwen("Range of input length should be [1, 30720]")),
    (
        "dashscope",
        "content-filter",
        400,
        {
            "error": {
                "message": "Input data may contain inappropriate content.",
                "type": "data_inspection_failed",
                "code": "data_inspection_failed",
            }
        },
    ),
    ("zai", "rate-limit", 429, glm("1302", "Rate limit reached for requests")),
    ("zai", "overloaded", 429, glm("1305", "该模型当前访问量过大，请您稍后再试")),  # noqa: RUF001
    ("zai", "context", 400, glm("1261", "Prompt exceeds max length")),
    ("spark", "balance", 403, spark("11200", f"AppIdNoAuthError {SID}", "api_error")),
]


@pytest.mark.parametrize(("lab", "fault", "status", "body"), RECORDED_FAULTS)
def test_a_fault_answers_with_the_recorded_error(lab: str, fault: str, status: int, body: dict[str, Any]) -> None:
    assert ask(lab, f"hello [[lab fault={fault}]]") == (status, body)


def test_glm_names_the_filter_beside_the_error() -> None:
    status, body = ask("zai", "hello [[lab fault=content-filter]]")

    assert status == 400
    assert body["contentFilter"] == [{"level": 1, "role": "user"}]
    assert body["error"]["code"] == "1301"


@pytest.mark.parametrize("lab", MODELS)
@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_server_error_comes_in_the_form_of_the_lab(lab: str, status: int) -> None:
    sent, body = ask(lab, f"hello [[lab fault=http-{status}]]")

    assert sent == status
    assert body["error"].keys() == BY_NAME[lab].errors["auth"].body["error"].keys()


def test_only_moonshot_hints_at_when_to_try_again() -> None:
    for lab in MODELS:
        head, body = response(call(lab, "hello [[lab fault=429]]"), lab)

        assert head.status == 429
        assert ("retry-after" in head.headers) is (lab == "moonshot")
        assert (b"try again after 1 seconds" in body) is (lab == "moonshot")


@pytest.mark.parametrize("lab", MODELS)
def test_the_time_to_wait_can_be_asked_for_and_left_out(lab: str) -> None:
    hinted, _ = response(call(lab, "hello [[lab fault=429 retry_after=7]]"), lab)
    bare, body = response(call(lab, "hello [[lab fault=429-no-hint]]"), lab)

    assert (hinted.status, hinted.headers["retry-after"]) == (429, "7")
    assert bare.status == 429
    assert "retry-after" not in bare.headers
    assert b"try again" not in body
