"""DashScope's wire (Qwen and guests) in its OpenAI-compatible mode, as captured at dashscope-intl (2026-02)."""

from collections.abc import Iterator
from typing import ClassVar

from local.labs.answer import Answer
from local.labs.call import Call, Json
from local.labs.lab import Lab, LabError, count_outside, foreign_role, lacks_json_word, outside
from local.labs.wire import Headers, encode

MODELS = (
    "qwen3-max",
    "qwen3-vl-plus",
    "qwen2.5-72b-instruct",
    "qwen3.6-plus",
    "qwen3.7-max",
    "deepseek-v3.2",
    "deepseek-v4.1-flash",
    "kimi-k2.6",
    "kimi-k3",
    "glm-4.6",
    "glm-5.2",
)
WITHOUT_THINKING = ("qwen2.5-72b-instruct",)
THINKING_BY_DEFAULT = ("kimi-k3", "glm-5.2")
THINKING_STREAMS_ONLY = ("qwen3-vl-plus",)  # "some models", by the docs; the captured qwen3-max is not one
ROLES = ("system", "assistant", "user", "tool", "function")
MAX_TOKENS = {"deepseek-v4.1-flash": 393_216, "kimi-k3": 1_048_576, "glm-5.2": 131_072}
DEFAULT_MAX_TOKENS = 65_536
HELP = "https://www.alibabacloud.com/help/en/model-studio/error-code"
ALGORITHM = "<400> InternalError.Algo.InvalidParameter: "


def _error(status: int, message: str, kind: str, code: str) -> LabError:
    error = {"message": message, "type": kind, "param": None, "code": code}
    return LabError(status=status, body={"error": error, "request_id": "{request_id}"})


def _short(status: int, message: str, code: str) -> LabError:
    """Captured without param and request_id."""
    return LabError(status=status, body={"error": {"message": message, "type": code, "code": code}})


def _parameter(message: str) -> LabError:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": "invalid_parameter_error"}
    return LabError(status=400, body={"error": error})


class DashScope(Lab):
    name = "dashscope"
    owner = "system"
    bases: ClassVar = {"/dashscope/compatible-mode/v1": MODELS}
    usage_places = ("separate",)
    stream_type = "text/event-stream;charset=UTF-8"
    errors: ClassVar = {
        "auth-missing": _error(401, "You didn't provide an API key.", "invalid_request_error", "invalid_api_key"),
        "auth": _error(
            401,
            f"Incorrect API key provided. For details, see: {HELP}#apikey-error",
            "invalid_request_error",
            "invalid_api_key",
        ),
        "balance": _error(
            400,
            f"Access denied, please make sure your account is in good standing. For details, see:"
            f" {HELP}#overdue-payment",
            "Arrearage",
            "Arrearage",
        ),
        "rate-limit": _short(
            429, f"You have exceeded your current request limit. For details, see: {HELP}#rate-limit", "limit_requests"
        ),
        "overloaded": _error(
            503,
            "Too many requests. Your requests are being throttled due to system capacity limits. Please try again"
            " later.",
            "ServiceUnavailable",
            "ServiceUnavailable",
        ),
        "server-error": _error(
            500, "An internal error has occured, please try again later.", "internal_error", "internal_error"
        ),
        "content-filter": _short(400, "Input data may contain inappropriate content.", "data_inspection_failed"),
        "context": _parameter("Range of input length should be [1, 30720]"),
        "model": _error(
            404,
            "The model `{model}` does not exist or you do not have access to it.",
            "invalid_request_error",
            "model_not_found",
        ),
        "bad-request": _parameter("{text}"),
        "thinking-nonstream": _parameter("parameter.enable_thinking must be set to false for non-streaming calls"),
        "tool_choice-required": _parameter('tool_choice is one of the strings that should be ["none", "auto"]'),
        "tool_choice-thinking": _parameter(
            ALGORITHM + "The tool_choice parameter does not support being set to required or object in thinking mode"
        ),
        "json-word": _parameter(
            ALGORITHM
            + "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
        ),
    }

    def facts(self, call: Call) -> Json:
        return super().facts(call) | {"request_id": call.uuid}

    def thinks(self, call: Call) -> bool:
        enabled = call.body.get("enable_thinking", call.model in THINKING_BY_DEFAULT)
        return enabled is True and call.model not in WITHOUT_THINKING

    def check(self, call: Call) -> None:
        self._check_thinking(call)
        most = MAX_TOKENS.get(call.model, DEFAULT_MAX_TOKENS)
        ranges = {"max_tokens": (1, most), "n": (1, 1), "seed": (0, 2**64 - 1)}
        for field, (low, high) in ranges.items():
            if count_outside(call.body.get(field), low, high):
                self.refuse(call, "bad-request", text=f"Range of {field} should be [{low}, {high}]")
        if outside(call.body.get("temperature"), 0, 1.999_999):
            self.refuse(call, "bad-request", text="Temperature should be in [0.0, 2.0)")
        role = foreign_role(call, ROLES)
        if role:
            self.refuse(call, "bad-request", text=f"{ALGORITHM}'{role}' is not one of {list(ROLES)} - 'messages.role'")
        if lacks_json_word(call):
            self.refuse(call, "json-word")

    def _check_thinking(self, call: Call) -> None:
        if not isinstance(call.body.get("enable_thinking", False), bool):
            self.refuse(call, "bad-request", text="parameter.enable_thinking must be a boolean")
        thinking = self.thinks(call)
        if thinking and not call.stream and call.model in THINKING_STREAMS_ONLY:
            self.refuse(call, "thinking-nonstream")
        if thinking and call.tool_choice not in ("auto", "none"):
            self.refuse(call, "tool_choice-thinking")
        if isinstance(call.tool_choice, str) and call.tool_choice not in ("auto", "none"):
            self.refuse(call, "tool_choice-required")

    def headers(self, call: Call) -> Headers:
        return {
            "x-request-id": call.uuid,
            "x-dashscope-call-gateway": "true",
            "x-dashscope-finished": "false" if call.stream else "true",
            "x-dashscope-timeout": "298",
            "req-cost-time": "312",
            "req-arrive-time": str(call.created * 1000),
            "resp-start-time": str(call.created * 1000 + 312),
            "x-envoy-upstream-service-time": "310",
            "set-cookie": f"acw_tc={call.id};path=/;HttpOnly;Max-Age=1800",
        }

    def error_events(self, call: Call, error: LabError) -> Iterator[bytes]:
        """The native protocol's frame, whose status stands in a comment."""
        flat = {
            "code": error.body["error"]["code"],
            "message": error.body["error"]["message"],
            "request_id": call.uuid,
        }
        yield b"id:1\nevent:error\n:HTTP_STATUS/%d\ndata:%b\n\n" % (error.status, encode(flat))

    def default_usage_place(self, call: Call) -> str:
        return "separate" if call.include_usage else "none"

    def completion(self, call: Call, answer: Answer) -> Json:
        message: Json = {"content": answer.text}
        if answer.thinking:
            message["reasoning_content"] = answer.reasoning_text
        message["role"] = "assistant"
        if answer.tool_calls:
            message["tool_calls"] = [
                {
                    "function": {"arguments": tool_call.arguments, "name": tool_call.name},
                    "id": _tool_id(call, index),
                    "index": index,
                    "type": "function",
                }
                for index, tool_call in enumerate(answer.tool_calls)
            ]
        choice = {"message": message, "finish_reason": answer.finish, "index": 0, "logprobs": None}
        return {
            "choices": [choice],
            "object": "chat.completion",
            "usage": _usage(answer),
            "created": call.created,
            "system_fingerprint": None,
            "model": call.model,
            "id": f"chatcmpl-{call.uuid}",
        }

    def deltas(self, call: Call, answer: Answer) -> Iterator[Json]:
        """The first two chunks order the fields of a choice differently from the others, as captured."""
        first: Json = {"content": "", "role": "assistant"}
        if answer.thinking:
            first = {"content": None, "role": "assistant", "reasoning_content": ""}
        yield _chunk(call, [{"delta": first, "index": 0, "logprobs": None, "finish_reason": None}])
        deltas = self._said(call, answer)
        for delta in deltas:
            yield _chunk(call, [{"finish_reason": None, "logprobs": None, "delta": delta, "index": 0}])
            break
        for delta in deltas:
            yield _chunk(call, [{"delta": delta, "finish_reason": None, "index": 0, "logprobs": None}])

    def _said(self, call: Call, answer: Answer) -> Iterator[Json]:
        silent: Json = {"reasoning_content": None} if answer.thinking else {}
        for piece in answer.reasoning:
            yield {"content": None, "reasoning_content": piece}
        for piece in answer.content:
            yield {"content": piece, **silent}
        for index, tool_call in enumerate(answer.tool_calls):
            yield _tool_delta(index, _tool_id(call, index), {"name": tool_call.name, "arguments": ""}, silent)
            for piece in tool_call.pieces:
                yield _tool_delta(index, "", {"arguments": piece}, silent)

    def closing(self, call: Call, answer: Answer) -> Iterator[Json]:
        delta = {"content": "", "reasoning_content": None} if answer.thinking else {"content": ""}
        yield _chunk(call, [{"finish_reason": answer.finish, "delta": delta, "index": 0, "logprobs": None}])
        if self.usage_place(call) == "separate":
            yield _chunk(call, [], _usage(answer))


def _chunk(call: Call, choices: list[Json], usage: Json | None = None) -> Json:
    return {
        "choices": choices,
        "object": "chat.completion.chunk",
        "usage": usage,
        "created": call.created,
        "system_fingerprint": None,
        "model": call.model,
        "id": f"chatcmpl-{call.uuid}",
    }


def _tool_delta(index: int, tool_id: str, function: Json, silent: Json) -> Json:
    """Later fragments have an empty id, which must not replace the first one's."""
    tool_call = {"index": index, "id": tool_id, "type": "function", "function": function}
    return {"content": None, **silent, "tool_calls": [tool_call]}


def _tool_id(call: Call, index: int) -> str:
    return f"call_{call.id[:22]}{index:02}"


def _usage(answer: Answer) -> Json:
    usage: Json = {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "total_tokens": answer.total_tokens,
    }
    if answer.thinking:
        usage["completion_tokens_details"] = {"reasoning_tokens": len(answer.reasoning)}
    usage["prompt_tokens_details"] = {"cached_tokens": answer.cached_tokens}
    return usage
