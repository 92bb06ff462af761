"""DeepSeek's wire, as captured from api.deepseek.com (2025-12) and described in api-docs.deepseek.com (2026-11)."""

from collections.abc import Iterator
from typing import Any, ClassVar

from local.labs.answer import Answer
from local.labs.call import Call, Json
from local.labs.lab import Lab, LabError, count_outside, lacks_json_word, outside
from local.labs.wire import Headers

MODELS = ("deepseek-flash", "deepseek-v4-pro")
FINGERPRINT = "fp_eaab8d114b_prod0820_fp8_kvcache"
ROLES = ("system", "user", "assistant", "tool", "latest_reminder")
MAX_TOKENS = 393_216
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra")


def _error(status: int, message: str, kind: str = "invalid_request_error") -> LabError:
    error = {"message": message, "type": kind, "param": None, "code": "invalid_request_error"}
    return LabError(status=status, body={"error": error})


class DeepSeek(Lab):
    name = "deepseek"
    owner = "deepseek"
    bases: ClassVar = {"/deepseek": MODELS, "/deepseek/v1": MODELS, "/deepseek/beta": MODELS}
    usage_places = ("finish",)
    errors: ClassVar = {
        "auth-missing": _error(401, "Authentication Fails (no such user)", "authentication_error"),
        "auth": _error(401, "Authentication Fails, Your api key: ****{key_end} is invalid", "authentication_error"),
        "balance": _error(402, "Insufficient Balance", "unknown_error"),
        "rate-limit": _error(429, "Rate limit reached"),
        "overloaded": _error(
            503,
            "Service is too busy. We advise users to temporarily switch to alternative LLM API service providers.",
            "service_unavailable_error",
        ),
        "server-error": _error(500, "Internal Server Error", "server_error"),
        "content-filter": _error(400, "Content Exists Risk"),
        "context": _error(
            400,
            "This model's maximum context length is 131072 tokens. However, you requested 131134 tokens (122942 in the"
            " messages, 8192 in the completion). Please reduce the length of the messages or completion.",
        ),
        "model": _error(400, f"The supported API model names are {' or '.join(MODELS)}, but you passed {{model}}."),
        "bad-request": _error(400, "{text}"),
        "max_tokens": _error(400, f"Invalid max_tokens value, the valid range of max_tokens is [1, {MAX_TOKENS}]"),
        "tool_choice": _error(400, "Thinking mode does not support this tool_choice"),
        "json_schema": _error(400, "This response_format type is unavailable now"),
        "json-word": _error(
            400, "Prompt must contain the word 'json' in some form to use 'response_format' of type 'json_object'"
        ),
        "variant": _error(
            400,
            "Failed to deserialize the JSON body into the target type: {field}: unknown variant `{value}`, expected"
            " one of {known} at line 1 column {column}",
        ),
        "reasoning": _error(400, "Missing `reasoning_content` field in the assistant message at message index {index}"),
    }

    def thinks(self, call: Call) -> bool:
        disabled = (call.body.get("thinking") or {}).get("type") == "disabled"
        return not disabled and call.body.get("reasoning_effort") != "none"

    def check(self, call: Call) -> None:
        self._check_variants(call)
        if count_outside(call.body.get("max_tokens"), 1, MAX_TOKENS):
            self.refuse(call, "max_tokens")
        if outside(call.body.get("temperature"), 0, 2):
            self.refuse(call, "bad-request", text="Invalid temperature value, the valid range is [0, 2.0]")
        if count_outside(call.body.get("n"), 1, 1):
            self.refuse(call, "bad-request", text="Invalid n value (currently only n = 1 is supported)")
        if call.response_format.get("type") == "json_schema":
            self.refuse(call, "json_schema")
        if lacks_json_word(call):
            self.refuse(call, "json-word")
        if self.thinks(call):
            self._check_thinking(call)

    def _check_variants(self, call: Call) -> None:
        for index, message in enumerate(call.messages):
            self._one_of(call, f"messages[{index}].role", message.get("role"), ROLES)
        thinking = call.body.get("thinking")
        if thinking is not None:
            kind = thinking.get("type") if isinstance(thinking, dict) else thinking
            self._one_of(call, "thinking.type", kind, ("enabled", "disabled"))
        if call.body.get("reasoning_effort") is not None:
            self._one_of(call, "reasoning_effort", call.body["reasoning_effort"], EFFORTS)

    def _one_of(self, call: Call, field: str, value: Any, known: tuple[str, ...]) -> None:
        if value not in known:
            names = ", ".join(f"`{name}`" for name in known)
            self.refuse(call, "variant", field=field, value=str(value), known=names, column=str(len(call.text)))

    def _check_thinking(self, call: Call) -> None:
        if call.tools and call.tool_choice not in ("auto", "none"):
            self.refuse(call, "tool_choice")
        # Within the turn of the last user message, tool calls come back with the reasoning that led to them.
        for index in range(len(call.messages) - 1, -1, -1):
            message = call.messages[index]
            if message.get("role") == "user":
                return
            if message.get("tool_calls") and message.get("reasoning_content") is None:
                self.refuse(call, "reasoning", index=str(index))

    def headers(self, call: Call) -> Headers:
        return {"x-ds-trace-id": call.id, "cache-control": "no-cache", "vary": "origin, access-control-request-method"}

    def completion(self, call: Call, answer: Answer) -> Json:
        message: Json = {"role": "assistant", "content": answer.text}
        if answer.thinking:
            message["reasoning_content"] = answer.reasoning_text
        if answer.tool_calls:
            message["tool_calls"] = [
                _tool_start(call, index, tool_call.name, tool_call.arguments)
                for index, tool_call in enumerate(answer.tool_calls)
            ]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish}
        return {
            "id": call.uuid,
            "object": "chat.completion",
            "created": call.created,
            "model": call.model,
            "choices": [choice],
            "usage": _usage(answer),
            "system_fingerprint": FINGERPRINT,
        }

    def deltas(self, call: Call, answer: Answer) -> Iterator[Json]:
        first: Json = {"role": "assistant", "content": ""}
        silent: Json = {}
        if answer.thinking:
            first = {"role": "assistant", "content": None, "reasoning_content": ""}
            silent = {"reasoning_content": None}
        yield _chunk(call, first)
        for piece in answer.reasoning:
            yield _chunk(call, {"content": None, "reasoning_content": piece})
        for piece in answer.content:
            yield _chunk(call, {"content": piece, **silent})
        for index, tool_call in enumerate(answer.tool_calls):
            yield _chunk(call, {"tool_calls": [_tool_start(call, index, tool_call.name, "")]})
            for piece in tool_call.pieces:
                yield _chunk(call, {"tool_calls": [{"index": index, "function": {"arguments": piece}}]})

    def closing(self, call: Call, answer: Answer) -> Iterator[Json]:
        delta = {"content": "", "reasoning_content": None} if answer.thinking else {"content": ""}
        usage = None if self.usage_place(call) == "none" else _usage(answer)
        yield _chunk(call, delta, finish=answer.finish, usage=usage)


def _chunk(call: Call, delta: Json, finish: str | None = None, usage: Json | None = None) -> Json:
    return {
        "id": call.uuid,
        "object": "chat.completion.chunk",
        "created": call.created,
        "model": call.model,
        "system_fingerprint": FINGERPRINT,
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
        "usage": usage,
    }


def _tool_start(call: Call, index: int, name: str, arguments: str) -> Json:
    return {
        "index": index,
        "id": f"call_{index:02}_{call.id[:24]}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def _usage(answer: Answer) -> Json:
    details: Json = {}
    if answer.thinking:
        details = {"completion_tokens_details": {"reasoning_tokens": len(answer.reasoning)}}
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "total_tokens": answer.total_tokens,
        "prompt_tokens_details": {"cached_tokens": answer.cached_tokens},
        **details,
        "prompt_cache_hit_tokens": answer.cached_tokens,
        "prompt_cache_miss_tokens": answer.prompt_tokens - answer.cached_tokens,
    }
