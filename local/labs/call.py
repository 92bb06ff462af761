"""A Call: one request to a lab, parsed once."""

import json
import re
from dataclasses import dataclass
from typing import Any

from local.labs.directives import DirectiveError, Directives, strip

IMAGE_TOKENS = 800
BYTES_PER_TOKEN = 4

# The simulator looks into bodies that may hold anything, as the labs do; what it did not check it does not trust.
Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """``id`` is 32 hex digits, new for each call; ``flaw`` says why the body could not be read (then it is empty)."""

    id: str
    base: str
    api_key: str
    created: int
    body: Json
    directives: Directives
    flaw: str | None

    @classmethod
    def read(cls, raw: bytes, *, lab: str, base: str, api_key: str, call_id: str, created: int) -> "Call":
        body, directives, flaw = _read(raw, lab)
        return cls(id=call_id, base=base, api_key=api_key, created=created, body=body, directives=directives, flaw=flaw)

    @property
    def uuid(self) -> str:
        """The id with its dashes."""
        return f"{self.id[:8]}-{self.id[8:12]}-{self.id[12:16]}-{self.id[16:20]}-{self.id[20:]}"

    @property
    def model(self) -> str:
        return str(self.body.get("model", ""))

    @property
    def stream(self) -> bool:
        return self.body.get("stream") is True

    @property
    def include_usage(self) -> bool:
        return bool((self.body.get("stream_options") or {}).get("include_usage"))

    @property
    def messages(self) -> list[Json]:
        return self.body.get("messages") or []

    @property
    def roles(self) -> set[str]:
        return {str(message.get("role")) for message in self.messages}

    @property
    def tools(self) -> list[Json]:
        """The functions offered, without their wrapping."""
        return [tool["function"] for tool in self._functions]

    @property
    def _functions(self) -> list[Json]:
        return [tool for tool in self.body.get("tools") or [] if _is_function(tool)]

    @property
    def tool_choice(self) -> Any:
        return self.body.get("tool_choice", "auto")

    @property
    def response_format(self) -> Json:
        return self.body.get("response_format") or {}

    @property
    def text(self) -> str:
        """All text of the prompt."""
        return "\n".join(text_of(message) for message in self.messages)

    @property
    def question(self) -> str:
        """The last user message, without directives."""
        return strip(_last_user_text(self.messages))

    @property
    def prompt_tokens(self) -> int:
        text_bytes = len(self.text.encode()) + len(json.dumps(self._functions or "")) - 2
        images = sum(1 for message in self.messages for part in _parts(message) if part.get("type") == "image_url")
        return max(1, text_bytes // BYTES_PER_TOKEN) + images * IMAGE_TOKENS


def text_of(message: Json) -> str:
    """The text of a message, whose content is a text, parts, or null."""
    return "".join(str(part.get("text", "")) for part in _parts(message))


def words_of(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def _parts(message: Json) -> list[Json]:
    content = message.get("content")
    return content if isinstance(content, list) else [{"type": "text", "text": content or ""}]


def _last_user_text(messages: list[Json]) -> str:
    return next((text_of(message) for message in reversed(messages) if message.get("role") == "user"), "")


def _read(raw: bytes, lab: str) -> tuple[Json, Directives, str | None]:
    """Body, directives and what is wrong with them. A bad directive leaves the body, for the journal."""
    try:
        body = json.loads(raw)
    except ValueError as error:
        return {}, Directives(), f"the body is not JSON: {error}"
    flaw = _flaw(body, lab)
    if flaw:
        return {}, Directives(), flaw
    try:
        return body, Directives.parse(_last_user_text(body["messages"]), lab), None
    except DirectiveError as error:
        return body, Directives(), f"lab directive: {error}"


def _flaw(body: Any, lab: str) -> str | None:
    if not isinstance(body, dict):
        return "the body is not an object"
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(message, dict) for message in messages):
        return "messages is not a list of messages"
    if not all(isinstance(part, dict) for message in messages for part in _parts(message)):
        return "content is not a list of parts"
    tools = body.get("tools") or []
    if not isinstance(tools, list) or not all(isinstance(tool, dict) and _is_tool(tool, lab) for tool in tools):
        return "tools is not a list of functions"
    objects = ("response_format", "stream_options")
    return next((f"{name} is not an object" for name in objects if not isinstance(body.get(name) or {}, dict)), None)


def _is_tool(tool: Json, lab: str) -> bool:
    """A function, or at Spark the switch of its search."""
    search = tool.get("web_search")
    return _is_function(tool) or (
        lab == "spark" and isinstance(search, dict) and isinstance(search.get("enable"), bool)
    )


def _is_function(tool: Json) -> bool:
    function = tool.get("function")
    return isinstance(function, dict) and isinstance(function.get("name"), str)
