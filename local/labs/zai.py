"""Z.ai's wire (GLM), as captured (2026-02) and documented on docs.z.ai."""

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from local.labs.answer import Answer, ToolCall
from local.labs.call import Call, Json
from local.labs.lab import Lab, LabError, count_outside, foreign_role, outside
from local.labs.wire import events

MODELS = (
    "glm-5.3",
    "glm-5.2",
    "glm-5",
    "glm-4.7",
    "glm-4.6",
    "glm-4.5",
    "glm-4.5-air",
    "glm-4.5-flash",
    "glm-4.7-flash",
)
ALWAYS_THINKS = ("glm-5.3",)
ROLES = ("system", "user", "assistant", "tool")
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
MAX_TOKENS = {"glm-4.5": 98_304}
DEFAULT_MAX_TOKENS = 131_072
MAX_TOOLS = 128
MAX_STOPS = 4


def _error(status: int, code: str, message: str) -> LabError:
    return LabError(status=status, body={"error": {"code": code, "message": message}})


class Zai(Lab):
    name = "zai"
    owner = "z-ai"
    bases: ClassVar = {"/zai/api/paas/v4": MODELS}
    usage_places = ("separate", "finish", "documented")
    stream_type = "text/event-stream;charset=UTF-8"
    json_type = "application/json; charset=UTF-8"
    errors: ClassVar = {
        "auth-missing": _error(401, "1001", "Header 中未收到 Authentication 参数，无法进行身份验证"),  # noqa: RUF001
        "auth": _error(401, "401", "token expired or incorrect"),
        "balance": _error(429, "1113", "Insufficient balance or no resource package. Please recharge."),
        "rate-limit": _error(429, "1302", "Rate limit reached for requests"),
        "overloaded": _error(429, "1305", "该模型当前访问量过大，请您稍后再试"),  # noqa: RUF001
        "server-error": _error(500, "500", "Internal Error"),
        "content-filter": LabError(
            status=400,
            body={
                "contentFilter": [{"level": 1, "role": "user"}],
                "error": {
                    "code": "1301",
                    "message": "The system has detected that the input or generated content may contain unsafe or"
                    " sensitive content. Please avoid inputting prompts that are likely to produce sensitive content."
                    " Thank you for your cooperation.",
                },
            },
        ),
        "context": _error(400, "1261", "Prompt exceeds max length"),
        "model": _error(400, "1211", "模型不存在，请检查模型代码。"),  # noqa: RUF001
        "bad-request": _error(400, "1210", "API call parameters are incorrect, please check the documentation. {text}"),
        "parameter": _error(400, "1214", "{field} parameter is illegal. Please check the documentation."),
        "thinking": _error(400, "1210", "该模型始终思考，不支持关闭思考；请使用 low、high 或 max。"),  # noqa: RUF001
    }

    def thinks(self, call: Call) -> bool:
        disabled = (call.body.get("thinking") or {}).get("type") == "disabled"
        return not disabled and call.body.get("reasoning_effort") not in ("none", "minimal")

    def check(self, call: Call) -> None:
        thinking = call.body.get("thinking")
        if thinking is not None and (
            not isinstance(thinking, dict) or thinking.get("type") not in ("enabled", "disabled")
        ):
            self.refuse(call, "parameter", field="thinking.type")
        if call.model in ALWAYS_THINKS and not self.thinks(call):
            self.refuse(call, "thinking")
        field = _illegal(call)
        if field:
            self.refuse(call, "parameter", field=field)

    def error_200(self, call: Call, error: LabError) -> Json:  # noqa: ARG002
        """The form in which its monitor endpoint reports a failure with status 200."""
        return {"code": int(error.body["error"]["code"]), "msg": error.body["error"]["message"], "success": False}

    def error_events(self, call: Call, error: LabError) -> Iterator[bytes]:  # noqa: ARG002
        """A failure within the stream is a finish reason, not a frame of its own."""
        choice = {"index": 0, "finish_reason": "network_error", "delta": {"role": "assistant", "content": ""}}
        yield from events(self.data_prefix, [_chunk(call, choice)])
        yield self.data_prefix + b"[DONE]\n\n"

    def answer(self, call: Call) -> Answer:
        """Reasoning begins with a line break, and so does the content after it."""
        answer = super().answer(call)
        if not answer.reasoning:
            return answer
        return replace(answer, reasoning=_led(answer.reasoning), content=_led(answer.content))

    def default_usage_place(self, call: Call) -> str:
        return "separate" if call.include_usage else "finish"

    def completion(self, call: Call, answer: Answer) -> Json:
        message: Json = {"content": answer.text}
        if answer.reasoning:
            message["reasoning_content"] = answer.reasoning_text
        message["role"] = "assistant"
        if answer.tool_calls:
            message["tool_calls"] = [
                _tool_part(call, index, {"arguments": tool_call.arguments, "name": tool_call.name})
                for index, tool_call in enumerate(answer.tool_calls)
            ]
        return {
            "choices": [{"finish_reason": answer.finish, "index": 0, "message": message}],
            "created": call.created,
            "id": _id(call),
            "model": call.model,
            "object": "chat.completion",
            "request_id": _id(call),
            "usage": _usage(answer, details=True),
        }

    def deltas(self, call: Call, answer: Answer) -> Iterator[Json]:
        chunk = _documented_chunk if self.usage_place(call) == "documented" else _delta_chunk
        for piece in answer.reasoning:
            yield chunk(call, {"reasoning_content": piece})
        for piece in answer.content:
            yield chunk(call, {"content": piece})
        for index, tool_call in enumerate(answer.tool_calls):
            for function in _tool_functions(call, tool_call):
                yield chunk(call, {"tool_calls": [_tool_part(call, index, function)]})

    def closing(self, call: Call, answer: Answer) -> Iterator[Json]:
        place = self.usage_place(call)
        choice = {"index": 0, "finish_reason": answer.finish, "delta": {"role": "assistant", "content": ""}}
        head = {"id": _id(call), "created": call.created, "model": call.model}
        match place:
            case "documented":
                usage = _usage(answer)
                yield {**head, "choices": [choice], "usage": {"prompt_tokens": usage.pop("prompt_tokens"), **usage}}
            case "finish":
                yield {**_chunk(call, choice), "usage": _usage(answer)}
            case _:
                yield _chunk(call, choice)
        if place == "separate":
            yield {**head, "choices": [], "usage": _usage(answer), "object": "chat.completion.chunk"}


def _illegal(call: Call) -> str | None:
    """The first parameter that is outside what the documentation allows."""
    body, stop = call.body, call.body.get("stop")
    illegal = {
        "messages.role": foreign_role(call, ROLES) is not None,
        "temperature": outside(body.get("temperature"), 0, 1),
        "top_p": outside(body.get("top_p"), 0.01, 1),
        "n": count_outside(body.get("n"), 1, 1),
        "max_tokens": count_outside(body.get("max_tokens"), 1, MAX_TOKENS.get(call.model, DEFAULT_MAX_TOKENS)),
        "stop": stop is not None and (not isinstance(stop, list) or len(stop) > MAX_STOPS),
        "tools": len(call.tools) > MAX_TOOLS,
        "tool_choice": call.tool_choice != "auto",
        "response_format": call.response_format.get("type", "text") not in ("text", "json_object"),
        "reasoning_effort": body.get("reasoning_effort", "high") not in EFFORTS,
    }
    return next((field for field, is_illegal in illegal.items() if is_illegal), None)


def _tool_functions(call: Call, tool_call: ToolCall) -> Iterator[Json]:
    """Arguments come whole, unless the call asks for them in fragments."""
    if call.body.get("tool_stream") is not True:
        yield {"name": tool_call.name, "arguments": tool_call.arguments}
        return
    yield {"name": tool_call.name, "arguments": ""}
    for piece in tool_call.pieces:
        yield {"arguments": piece}


def _tool_part(call: Call, index: int, function: Json) -> Json:
    if "name" not in function:
        return {"index": index, "function": function}
    return {"id": f"call_{call.id[:17]}{index:02}", "index": index, "type": "function", "function": function}


def _chunk(call: Call, choice: Json) -> Json:
    return {
        "id": _id(call),
        "created": call.created,
        "object": "chat.completion.chunk",
        "model": call.model,
        "choices": [choice],
    }


def _delta_chunk(call: Call, said: Json) -> Json:
    return _chunk(call, {"index": 0, "delta": {"role": "assistant", **said}})


def _documented_chunk(call: Call, said: Json) -> Json:
    choice = {"index": 0, "delta": said, "finish_reason": None}
    return {"id": _id(call), "created": call.created, "model": call.model, "choices": [choice]}


def _usage(answer: Answer, *, details: bool = False) -> Json:
    usage: Json = {
        "completion_tokens": answer.completion_tokens,
        "prompt_tokens": answer.prompt_tokens,
        "total_tokens": answer.total_tokens,
        "prompt_tokens_details": {"cached_tokens": answer.cached_tokens},
    }
    if details and answer.reasoning:
        usage["completion_tokens_details"] = {"reasoning_tokens": len(answer.reasoning)}
    return usage


def _led(pieces: tuple[str, ...]) -> tuple[str, ...]:
    return ("\n" + pieces[0], *pieces[1:]) if pieces else ()


def _id(call: Call) -> str:
    return "20260210102538" + call.id[:16]
