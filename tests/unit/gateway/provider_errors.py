# ruff: noqa: RUF001 Chinese texts have Chinese commas
"""Errors as the providers word them (captured, or from their own pages), and the cause that each one is."""

from dataclasses import dataclass
from typing import Any

from gateway.causes import Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Worded:
    """One error of one provider, by the name of its dialect."""

    provider: str
    case: str
    status: int
    body: dict[str, Any]
    cause: Cause

    @property
    def name(self) -> str:
        return f"{self.provider}-{self.case}"

    @property
    def message(self) -> str:
        message: str = self.body["error"]["message"]
        return message


def deepseek(cause: Cause, status: int, case: str, message: str, kind: str) -> Worded:
    error = {"message": message, "type": kind, "param": None, "code": "invalid_request_error"}
    return Worded(provider="deepseek", case=case, status=status, body={"error": error}, cause=cause)


def moonshot(cause: Cause, status: int, case: str, message: str, kind: str) -> Worded:
    error = {"message": message, "type": kind}
    return Worded(provider="moonshot", case=case, status=status, body={"error": error}, cause=cause)


def qwen(cause: Cause, status: int, case: str, message: str, *, kind: str, code: str) -> Worded:
    body = {"error": {"message": message, "type": kind, "param": None, "code": code}, "request_id": "cf63a3a2"}
    return Worded(provider="dashscope", case=case, status=status, body=body, cause=cause)


def glm(cause: Cause, status: int, case: str, message: str, code: str) -> Worded:
    body = {"error": {"code": code, "message": message}}
    return Worded(provider="zai", case=case, status=status, body=body, cause=cause)


def spark(cause: Cause, status: int, case: str, message: str, *, kind: str, code: str | None) -> Worded:
    error = {"message": message, "type": kind, "param": None, "code": code}
    return Worded(provider="spark", case=case, status=status, body={"error": error}, cause=cause)


WORDED = (
    deepseek(
        Cause.OUR_KEY,
        401,
        "auth",
        "Authentication Fails, Your api key: ****fcc2 is invalid",
        kind="authentication_error",
    ),
    deepseek(
        Cause.OUR_KEY, 401, "auth-no-such-user", "Authentication Fails (no such user)", kind="authentication_error"
    ),
    deepseek(Cause.OUR_BALANCE, 402, "balance", "Insufficient Balance", kind="unknown_error"),
    deepseek(Cause.CONTENT_FILTER, 400, "content-filter", "Content Exists Risk", kind="invalid_request_error"),
    deepseek(
        Cause.CONTEXT_LENGTH,
        400,
        "context",
        "This model's maximum context length is 131072 tokens. However, you requested 131134 tokens"
        " (122942 in the messages, 8192 in the completion). Please reduce the length of the messages or"
        " completion.",
        kind="invalid_request_error",
    ),
    deepseek(
        Cause.BAD_REQUEST,
        400,
        "max_tokens-range",
        "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]",
        kind="invalid_request_error",
    ),
    deepseek(Cause.MODEL_MISSING, 400, "model-unknown-old", "Model Not Exist", kind="invalid_request_error"),
    deepseek(
        Cause.BAD_REQUEST,
        400,
        "tool_choice-thinking",
        "Thinking mode does not support this tool_choice",
        kind="invalid_request_error",
    ),
    deepseek(
        Cause.BAD_REQUEST,
        400,
        "json_schema",
        "This response_format type is unavailable now",
        kind="invalid_request_error",
    ),
    deepseek(
        Cause.BAD_REQUEST,
        400,
        "json_object-needs-word",
        "Prompt must contain the word 'json' in some form to use 'response_format' of type 'json_object'",
        kind="invalid_request_error",
    ),
    deepseek(
        Cause.BAD_REQUEST,
        400,
        "developer-role",
        "Failed to deserialize the JSON body into the target type: messages[1].role: unknown variant"
        " `developer`, expected one of `system`, `user`, `assistant`, `tool`, `latest_reminder` at line"
        " 1 column 51036",
        kind="invalid_request_error",
    ),
    deepseek(Cause.RATE_LIMIT, 429, "rate-limit", "Rate limit reached", kind="invalid_request_error"),
    deepseek(
        Cause.OVERLOADED,
        503,
        "overloaded",
        "Service is too busy. We advise users to temporarily switch to alternative LLM API service providers.",
        kind="service_unavailable_error",
    ),
    moonshot(Cause.OUR_KEY, 401, "auth", "Invalid Authentication", kind="invalid_authentication_error"),
    moonshot(Cause.OUR_KEY, 401, "auth-key", "Incorrect API key provided", kind="incorrect_api_key_error"),
    moonshot(
        Cause.OUR_BALANCE,
        429,
        "balance",
        "Your account org-0123456789abcdef <ak-xxxx> is suspended due to insufficient balance, please"
        " recharge your account or check your plan and billing details",
        kind="exceeded_current_quota_error",
    ),
    moonshot(
        Cause.RATE_LIMIT,
        429,
        "rate-limit-rpm",
        "Your account org-0123456789abcdef<ak-xxxx> request reached organization max RPM: 3, please try"
        " again after 1 seconds",
        kind="rate_limit_reached_error",
    ),
    moonshot(
        Cause.OVERLOADED,
        429,
        "overloaded",
        "The engine is currently overloaded, please try again later",
        kind="engine_overloaded_error",
    ),
    moonshot(
        Cause.CONTENT_FILTER,
        400,
        "content-filter",
        "The request was rejected because it was considered high risk",
        kind="content_filter",
    ),
    moonshot(
        Cause.MODEL_MISSING,
        404,
        "model-not-found",
        "Not found the model kimi-latest or Permission denied",
        kind="resource_not_found_error",
    ),
    moonshot(
        Cause.BAD_REQUEST,
        400,
        "pinned-temperature",
        "invalid temperature: only 1 is allowed for this model",
        kind="invalid_request_error",
    ),
    moonshot(
        Cause.BAD_REQUEST,
        400,
        "pinned-top_p",
        "invalid top_p: only 0.95 is allowed for this model",
        kind="invalid_request_error",
    ),
    moonshot(
        Cause.BAD_REQUEST, 400, "pinned-n", "invalid n: only 1 is allowed for this model", kind="invalid_request_error"
    ),
    moonshot(
        Cause.BAD_REQUEST,
        400,
        "pinned-presence_penalty",
        "invalid presence_penalty: only 0 is allowed for this model",
        kind="invalid_request_error",
    ),
    moonshot(
        Cause.BAD_REQUEST,
        400,
        "pinned-frequency_penalty",
        "invalid frequency_penalty: only 0 is allowed for this model",
        kind="invalid_request_error",
    ),
    moonshot(
        Cause.BAD_REQUEST,
        400,
        "thinking-disabled-k2.7",
        "invalid thinking: only type=enabled is allowed for this model",
        kind="invalid_request_error",
    ),
    moonshot(
        Cause.BAD_REQUEST,
        400,
        "tool_choice-thinking",
        "tool_choice 'specified' is incompatible with thinking enabled",
        kind="invalid_request_error",
    ),
    qwen(
        Cause.OUR_KEY,
        401,
        "auth",
        "Incorrect API key provided. For details, see:"
        " https://www.alibabacloud.com/help/en/model-studio/error-code#apikey-error",
        kind="invalid_request_error",
        code="invalid_api_key",
    ),
    qwen(
        Cause.OUR_BALANCE,
        400,
        "balance",
        "Access denied, please make sure your account is in good standing. For details, see:"
        " https://help.aliyun.com/zh/model-studio/error-code#overdue-payment",
        kind="Arrearage",
        code="Arrearage",
    ),
    qwen(
        Cause.RATE_LIMIT,
        429,
        "rate-limit",
        "You have exceeded your current request limit. For details, see:"
        " https://help.aliyun.com/zh/model-studio/error-code#rate-limit",
        kind="limit_requests",
        code="limit_requests",
    ),
    qwen(
        Cause.CONTENT_FILTER,
        400,
        "content-filter",
        "Input data may contain inappropriate content.",
        kind="data_inspection_failed",
        code="data_inspection_failed",
    ),
    qwen(
        Cause.CONTEXT_LENGTH,
        400,
        "context",
        "Range of input length should be [1, 30720]",
        kind="invalid_request_error",
        code="invalid_parameter_error",
    ),
    qwen(
        Cause.BAD_REQUEST,
        400,
        "thinking-nonstream",
        "parameter.enable_thinking must be set to false for non-streaming calls",
        kind="invalid_request_error",
        code="invalid_parameter_error",
    ),
    qwen(
        Cause.BAD_REQUEST,
        400,
        "tool_choice-required",
        'tool_choice is one of the strings that should be ["none", "auto"]',
        kind="invalid_request_error",
        code="invalid_parameter_error",
    ),
    qwen(
        Cause.BAD_REQUEST,
        400,
        "tool_choice-thinking",
        "<400> InternalError.Algo.InvalidParameter: The tool_choice parameter does not support being"
        " set to required or object in thinking mode",
        kind="invalid_request_error",
        code="invalid_parameter_error",
    ),
    qwen(
        Cause.BAD_REQUEST,
        400,
        "json_object-needs-word",
        "<400> InternalError.Algo.InvalidParameter: 'messages' must contain the word 'json' in some"
        " form, to use 'response_format' of type 'json_object'.",
        kind="invalid_request_error",
        code="invalid_parameter_error",
    ),
    glm(Cause.OUR_KEY, 401, "auth-cn", "身份验证失败。", code="1000"),
    glm(Cause.OUR_KEY, 401, "auth-zai", "token expired or incorrect", code="401"),
    glm(Cause.OUR_KEY, 401, "auth-missing", "Header 中未收到 Authentication 参数，无法进行身份验证", code="1001"),
    glm(
        Cause.OUR_BALANCE,
        429,
        "balance-zai",
        "Insufficient balance or no resource package. Please recharge.",
        code="1113",
    ),
    glm(Cause.RATE_LIMIT, 429, "rate-limit", "Rate limit reached for requests", code="1302"),
    glm(Cause.OVERLOADED, 429, "overloaded", "该模型当前访问量过大，请您稍后再试", code="1305"),
    glm(
        Cause.CONTENT_FILTER,
        400,
        "content-filter",
        "The system has detected that the input or generated content may contain unsafe or sensitive"
        " content. Please avoid inputting prompts that are likely to produce sensitive content. Thank"
        " you for your cooperation.",
        code="1301",
    ),
    glm(Cause.CONTEXT_LENGTH, 400, "context-zai", "Prompt exceeds max length", code="1261"),
    glm(Cause.MODEL_MISSING, 400, "model-not-found", "模型不存在，请检查模型代码。", code="1211"),
    glm(
        Cause.BAD_REQUEST,
        400,
        "thinking-cannot-disable",
        "该模型始终思考，不支持关闭思考；请使用 low、high 或 max。",
        code="1210",
    ),
    spark(
        Cause.MODEL_MISSING,
        400,
        "bad-model",
        "invalid param model:spark-lite (sid: cha0001@dx0001)",
        kind="invalid_request_error",
        code="10005",
    ),
    spark(
        Cause.OUR_KEY,
        403,
        "no-auth-for-model",
        "AppIdNoAuthError (sid: cha0001@dx0001)",
        kind="api_error",
        code="11200",
    ),
    spark(Cause.OUR_KEY, 401, "auth-doc", "invalid user", kind="api_error", code=None),
)
