"""Messages as the labs take them: no ``developer`` role, and no field of OpenAI's that means nothing to them.

A client sends back what it was answered, often as its library keeps it: with a null for each field that was not there.
"""

from gateway.ports import Document

MEANINGFUL = frozenset({"role", "content", "name", "tool_calls", "reasoning_content", "partial", "prefix"})
"""The fields of an assistant's message that a lab knows."""


def clean(document: Document, *, takes_reasoning: bool, empty_content: str | None) -> None:
    """Change only what makes no difference. ``empty_content`` is what a message of tool calls alone has as content."""
    messages = document.items("messages")
    at_fault = [
        index
        for index, message in enumerate(messages)
        if _needs_change(message, takes_reasoning=takes_reasoning, empty_content=empty_content)
    ]
    if not at_fault:
        return
    document.detach("messages")
    messages = document.items("messages")
    for index in at_fault:
        _change(messages[index], takes_reasoning=takes_reasoning, empty_content=empty_content)


def unexplained_tool_call(document: Document) -> int | None:
    """The place of a message with tool calls, but without the reasoning that led to them, in the turn that goes on."""
    messages = document.items("messages")
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if message.read("role") == "user":
            return None
        if message.items("tool_calls") and message.read("reasoning_content") is None:
            return index
    return None


def _needs_change(message: Document, *, takes_reasoning: bool, empty_content: str | None) -> bool:
    role = message.read("role")
    if role != "assistant":
        return bool(role == "developer")
    names = frozenset(message.names())
    if names - MEANINGFUL or "content" not in names:
        return True
    if "reasoning_content" in names and (not takes_reasoning or message.read("reasoning_content") is None):
        return True
    if "tool_calls" not in names:
        return False
    return not message.items("tool_calls") or (empty_content is not None and message.read("content") is None)


def _change(message: Document, *, takes_reasoning: bool, empty_content: str | None) -> None:
    if message.read("role") == "developer":
        message.write("role", "system")  # its older name
        return
    if message.read("content") is None:
        # What OpenAI's models say in place of an answer is what the assistant said.
        message.write("content", message.read("refusal") or (empty_content if message.items("tool_calls") else ""))
    message.remove("refusal")
    message.remove("annotations")
    if not takes_reasoning:
        message.remove("reasoning_content")
    for name in message.names():
        if name != "content" and message.read(name) in (None, []):
            message.remove(name)
