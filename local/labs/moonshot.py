"""Moonshot's wire (Kimi), as documented on platform.kimi.ai and captured in errors of its users (2026)."""

import re
from collections.abc import Iterator
from typing import Any, ClassVar

from local.labs.answer import Answer
from local.labs.call import Call, Json
from local.labs.lab import Lab, LabError, count_outside, foreign_role
from local.labs.wire import Headers

MODELS = ("kimi-k2.6", "kimi-k2.7-code", "kimi-k2.7-code-highspeed", "kimi-k3")
ROLES = ("system", "user", "assistant", "tool")
MAX_TOKENS = 262_144
MAX_STOPS = 5
MAX_STOP_BYTES = 32
TOOL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9-_]{2,63}")
EFFORTS = ("low", "high", "max")
RATE_LIMIT = "Your account org-simulated<ak-simulated> request reached organization max RPM: 3"


def _error(status: int, message: str, kind: str = "invalid_request_error", headers: Headers | None = None) -> LabError:
    return LabError(status=status, body={"error": {"message": message, "type": kind}}, headers=headers or {})


class Moonshot(Lab):
    name = "moonshot"
    owner = "moonshot"
    bases: ClassVar = {"/moonshot/v1": MODELS}
    usage_places = ("finish", "choice", "separate", "text")
    max_tokens_fields = ("max_completion_tokens", "max_tokens")
    errors: ClassVar = {
        "auth-missing": _error(401, "Invalid Authentication", "invalid_authentication_error"),
        "auth": _error(401, "Incorrect API key provided", "incorrect_api_key_error"),
        "balance": _error(
            429,
            "Your account org-simulated <ak-simulated> is suspended due to insufficient balance, please recharge your"
            " account or check your plan and billing details",
            "exceeded_current_quota_error",
        ),
        "rate-limit": _error(
            429,
            RATE_LIMIT + ", please try again after {seconds} seconds",
            "rate_limit_reached_error",
            {"retry-after": "{seconds}", "msh-cooldown-seconds": "{seconds}"},
        ),
        "429-no-hint": _error(429, RATE_LIMIT, "rate_limit_reached_error"),
        "overloaded": _error(
            429, "The engine is currently overloaded, please try again later", "engine_overloaded_error"
        ),
        "server-error": _error(500, "Internal server error", "server_error"),
        "content-filter": _error(400, "The request was rejected because it was considered high risk", "content_filter"),
        "context": _error(400, "Invalid request: Your request exceeded model token limit: 262144"),
        "model": _error(404, "Not found the model {model} or Permission denied", "resource_not_found_error"),
        "bad-request": _error(400, "Invalid request: {text}"),
        "pinned": _error(400, "invalid {field}: only {value} is allowed for this model"),
        "tool_choice": _error(400, "tool_choice '{value}' is incompatible with thinking enabled"),
    }

    def thinks(self, call: Call) -> bool:
        return not (call.model == "kimi-k2.6" and (call.body.get("thinking") or {}).get("type") == "disabled")

    def check(self, call: Call) -> None:
        self._check_thinking(call)
        self._check_pinned(call)
        self._check_tools(call)
        role = foreign_role(call, ROLES)
        if role:
            self.refuse(call, "bad-request", text=f"invalid role: {role}")
        for field in self.max_tokens_fields:
            if count_outside(call.body.get(field), 1, MAX_TOKENS):
                self.refuse(call, "bad-request", text=f"{field} must be from 1 to {MAX_TOKENS}")
        stop = call.body.get("stop") or []
        stops = [stop] if isinstance(stop, str) else stop
        if len(stops) > MAX_STOPS or any(len(str(text).encode()) > MAX_STOP_BYTES for text in stops):
            self.refuse(call, "bad-request", text=f"stop: at most {MAX_STOPS} of {MAX_STOP_BYTES} bytes")

    def _check_thinking(self, call: Call) -> None:
        thinking, effort = call.body.get("thinking"), call.body.get("reasoning_effort")
        if call.model == "kimi-k3":
            if thinking is not None:
                self.refuse(call, "bad-request", text="thinking is not supported by this model")
            if effort is not None and effort not in EFFORTS:
                self.refuse(call, "pinned", field="reasoning_effort", value=", ".join(EFFORTS))
        elif thinking is not None:
            allowed = ("enabled", "disabled") if call.model == "kimi-k2.6" else ("enabled",)
            if not isinstance(thinking, dict) or thinking.get("type") not in allowed:
                types = " or ".join(f"type={kind}" for kind in allowed)
                self.refuse(call, "pinned", field="thinking", value=types)

    def _check_pinned(self, call: Call) -> None:
        pinned: dict[str, Any] = {
            "temperature": 1 if self.thinks(call) else 0.6,
            "top_p": 0.95,
            "n": 1,
            "presence_penalty": 0,
            "frequency_penalty": 0,
        }
        for field, value in pinned.items():
            if call.body.get(field) not in (None, value):
                self.refuse(call, "pinned", field=field, value=str(value))

    def _check_tools(self, call: Call) -> None:
        for tool in call.tools:
            if not TOOL_NAME.fullmatch(tool["name"]):
                self.refuse(call, "bad-request", text="function name is invalid")
            if (tool.get("parameters") or {"type": "object"}).get("type") != "object":
                self.refuse(
                    call, "bad-request", text="tools.function.parameters is not a valid moonshot flavored json schema"
                )
        if call.tool_choice == "required" and call.model != "kimi-k3":
            self.refuse(call, "tool_choice", value="required")
        if isinstance(call.tool_choice, dict) and self.thinks(call):
            self.refuse(call, "tool_choice", value="specified")

    def headers(self, call: Call) -> Headers:
        return {"x-msh-request-id": call.id}

    def completion(self, call: Call, answer: Answer) -> Json:
        message: Json = {"role": "assistant", "content": (answer.text or None) if answer.tool_calls else answer.text}
        if answer.reasoning:
            message["reasoning_content"] = answer.reasoning_text
        if answer.tool_calls:
            message["tool_calls"] = [
                _tool_start(index, tool_call.name, tool_call.arguments)
                for index, tool_call in enumerate(answer.tool_calls)
            ]
        return {
            "id": f"chatcmpl-{call.id[:24]}",
            "object": "chat.completion",
            "created": call.created,
            "model": call.model,
            "choices": [{"index": 0, "message": message, "finish_reason": answer.finish}],
            "usage": _usage(answer),
        }

    def deltas(self, call: Call, answer: Answer) -> Iterator[Json]:
        reasoning, content = answer.reasoning, answer.content
        if self.usage_place(call) == "text":
            content = content[:-1]
        if reasoning:
            yield self._chunk(call, [_choice({"role": "assistant", "reasoning_content": reasoning[0]})])
        else:
            yield self._chunk(call, [_choice({"role": "assistant", "content": ""})])
        for piece in reasoning[1:]:
            yield self._chunk(call, [_choice({"reasoning_content": piece})])
        for piece in content:
            yield self._chunk(call, [_choice({"content": piece})])
        for index, tool_call in enumerate(answer.tool_calls):
            yield self._chunk(call, [_choice({"tool_calls": [_tool_start(index, tool_call.name, "")]})])
            for piece in tool_call.pieces:
                # The published schema of a delta has no index: a fragment belongs to the call that began last.
                yield self._chunk(call, [_choice({"tool_calls": [{"function": {"arguments": piece}}]})])

    def closing(self, call: Call, answer: Answer) -> Iterator[Json]:
        place = self.usage_place(call)
        usage = _usage(answer)
        last = {"content": answer.content[-1]} if place == "text" and answer.content else {}
        choice = _choice(last, answer.finish)
        if place == "choice":
            choice["usage"] = usage
        yield self._chunk(call, [choice], usage if place in ("finish", "text") else None)
        if place == "separate" or (call.include_usage and place != "none"):
            yield self._chunk(call, [], usage)

    def _chunk(self, call: Call, choices: list[Json], usage: Json | None = None) -> Json:
        chunk: Json = {
            "id": f"chatcmpl-{call.id[:24]}",
            "object": "chat.completion.chunk",
            "created": call.created,
            "model": call.model,
            "choices": choices,
        }
        if self.usage_place(call) == "text":
            del chunk["object"]  # as in the one recording of that kind
        if usage is not None:
            chunk["usage"] = usage
        return chunk


def _choice(delta: Json, finish: str | None = None) -> Json:
    return {"index": 0, "delta": delta, "finish_reason": finish}


def _tool_start(index: int, name: str, arguments: str) -> Json:
    return {"id": f"functions.{name}:{index}", "type": "function", "function": {"name": name, "arguments": arguments}}


def _usage(answer: Answer) -> Json:
    usage: Json = {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "total_tokens": answer.total_tokens,
    }
    if answer.cached_tokens:
        usage["cached_tokens"] = answer.cached_tokens
    if answer.reasoning:
        usage["completion_tokens_details"] = {"reasoning_tokens": len(answer.reasoning)}
    return usage
