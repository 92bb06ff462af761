"""iFlytek Spark's wire, as in its HTTP documentation and in captured errors (2024 to 2026)."""

from collections.abc import Iterator
from typing import ClassVar

from local.labs.answer import Answer, ToolCall
from local.labs.call import Call, Json
from local.labs.lab import Lab, LabError, count_outside, foreign_role, outside
from local.labs.wire import events

MODELS = ("lite", "generalv3", "pro-128k", "generalv3.5", "max-32k", "4.0Ultra")
X_MODELS = ("spark-x",)
TOOL_MODELS = ("generalv3.5", "max-32k", "4.0Ultra", *X_MODELS)
ROLES = ("system", "user", "assistant", "tool")
MAX_TOKENS = {"lite": 4096, "pro-128k": 131_072, "max-32k": 32_768, "4.0Ultra": 32_768, "spark-x": 65_535}
DEFAULT_MAX_TOKENS = 8192
MAX_TOOL_NAME_CHARS = 32
TOOL_CHOICES = ("auto", "none", "required")


def _error(status: int, code: str | None, message: str, kind: str = "api_error") -> LabError:
    return LabError(status=status, body={"error": {"message": message, "type": kind, "param": None, "code": code}})


class Spark(Lab):
    name = "spark"
    owner = "iflytek"
    bases: ClassVar = {"/spark/v1": MODELS, "/spark/v2": X_MODELS}
    versions: ClassVar = {"spark_x": "/spark/v2"}
    usage_places = ("finish", "text")
    data_prefix = b"data:"
    error_in_200 = "balance"
    error_in_stream = "rate-limit"
    # Of each code the text is known; the statuses of 11202 and 10110, and the texts of 10013 and 10907, are not.
    errors: ClassVar = {
        "auth-missing": _error(401, None, "invalid user"),
        "auth": _error(401, None, "invalid user"),
        "balance": _error(403, "11200", "AppIdNoAuthError (sid: {sid})"),
        "rate-limit": _error(429, "11202", "AppIdQpsOverFlowError (sid: {sid})"),
        "overloaded": _error(503, "10110", "service is busy (sid: {sid})"),
        "server-error": _error(500, "10000", "internal error (sid: {sid})"),
        "content-filter": _error(400, "10013", "input content is sensitive (sid: {sid})"),
        "context": _error(400, "10907", "token count exceeds the limit (sid: {sid})"),
        "model": _error(400, "10005", "invalid param model:{model} (sid: {sid})", "invalid_request_error"),
        "bad-request": _error(400, "10005", "invalid param {text} (sid: {sid})", "invalid_request_error"),
    }

    def facts(self, call: Call) -> Json:
        return super().facts(call) | {"sid": _sid(call)}

    def thinks(self, call: Call) -> bool:
        return call.model in X_MODELS and (call.body.get("thinking") or {}).get("type") != "disabled"

    def calls_tools(self, call: Call) -> bool:
        return call.model in TOOL_MODELS

    def check(self, call: Call) -> None:
        body = call.body
        thinking = body.get("thinking") or {"type": "enabled"}
        illegal = {
            "role": foreign_role(call, ROLES) is not None,
            "temperature": outside(body.get("temperature"), 0, 2),
            "top_p": outside(body.get("top_p"), 1e-9, 1),
            "top_k": count_outside(body.get("top_k"), 1, 6),
            "presence_penalty": outside(body.get("presence_penalty"), 0, 2),
            "frequency_penalty": outside(body.get("frequency_penalty"), 0, 1),
            "n": count_outside(body.get("n"), 1, 1),
            "max_tokens": count_outside(body.get("max_tokens"), 1, MAX_TOKENS.get(call.model, DEFAULT_MAX_TOKENS)),
            "response_format": call.response_format.get("type", "text") not in ("text", "json_object"),
            "thinking": not isinstance(thinking, dict) or thinking.get("type") not in ("enabled", "disabled", "auto"),
            "tool_choice": isinstance(call.tool_choice, str) and call.tool_choice not in TOOL_CHOICES,
            "tools": any(len(tool["name"]) > MAX_TOOL_NAME_CHARS for tool in call.tools),
        }
        field = next((field for field, is_illegal in illegal.items() if is_illegal), None)
        if field:
            self.refuse(call, "bad-request", text=f"{field}:{body.get(field)}")

    def error_200(self, call: Call, error: LabError) -> Json:
        """The flat form, in which every frame says whether it is an error."""
        code, message = error.body["error"]["code"], error.body["error"]["message"]
        return {"code": int(code or 0), "message": message.partition(" (sid")[0], "sid": _sid(call)}

    def error_events(self, call: Call, error: LabError) -> Iterator[bytes]:
        yield from events(self.data_prefix, [self.error_200(call, error)])

    def completion(self, call: Call, answer: Answer) -> Json:
        message: Json = {"role": "assistant", "content": answer.text}
        if answer.reasoning:
            message["reasoning_content"] = answer.reasoning_text
        if answer.tool_calls:
            message["tool_calls"] = _tool_calls(call, answer.tool_calls)
        return {
            "code": 0,
            "message": "Success",
            "sid": _sid(call),
            "choices": [{"message": message, "index": 0}],
            "usage": _usage(answer),
        }

    def deltas(self, call: Call, answer: Answer) -> Iterator[Json]:
        for piece in answer.reasoning:
            yield _chunk(call, {"reasoning_content": piece})
        for piece in answer.content[:-1] if self.usage_place(call) == "text" else answer.content:
            yield _chunk(call, {"content": piece})
        if answer.tool_calls:
            yield _chunk(call, {"content": "", "tool_calls": _tool_calls(call, answer.tool_calls)})

    def closing(self, call: Call, answer: Answer) -> Iterator[Json]:
        """No finish reason, ever: the chunk with usage is the last."""
        place = self.usage_place(call)
        chunk = _chunk(call, {"content": answer.content[-1] if place == "text" and answer.content else ""})
        yield chunk if place == "none" else {**chunk, "usage": _usage(answer)}


def _chunk(call: Call, said: Json) -> Json:
    return {
        "code": 0,
        "message": "Success",
        "sid": _sid(call),
        "id": _sid(call),
        "created": call.created,
        "choices": [{"delta": {"role": "assistant", **said}, "index": 0}],
    }


def _tool_calls(call: Call, tool_calls: tuple[ToolCall, ...]) -> Json | list[Json]:
    """One object, which has room for the first call only, unless the switch asks for a list."""
    listed: list[Json] = [
        {
            "type": "function",
            "function": {"arguments": tool_call.arguments, "name": tool_call.name},
            "id": f"call_{call.id[:17]}{index:02}",
        }
        for index, tool_call in enumerate(tool_calls)
    ]
    is_switched = call.body.get("tool_calls_switch") is True and not call.directives.tool_object
    return listed if is_switched else listed[0]


def _usage(answer: Answer) -> Json:
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "total_tokens": answer.total_tokens,
    }


def _sid(call: Call) -> str:
    return f"cha{call.id[:8]}@dx{call.id[8:26]}"
