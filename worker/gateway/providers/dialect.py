"""What one provider's wire does differently from OpenAI's, and the rules that tell its errors apart.

The base class is OpenAI's own wire: nothing is changed. A dialect overrides only what differs.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from gateway.causes import Rule
from gateway.errors import UnsupportedParameter
from gateway.ports import Document
from gateway.providers.parameters import OWN, Parameter, refusal_of, unsent
from gateway.records import Target


class Dialect:
    """``native_stream``: its chunks may reach the caller as they are. ``asks_usage``: a stream brings usage only
    where ``stream_options.include_usage`` is sent. ``max_tokens_name``: how it calls the bound of the output.
    ``parameters``: all that it takes, None for whatever comes.
    """

    native_stream: ClassVar[bool] = True
    asks_usage: ClassVar[bool] = True
    max_tokens_name: ClassVar[str] = "max_tokens"
    parameters: ClassVar[Mapping[str, Parameter] | None] = None
    rules: ClassVar[tuple[Rule, ...]] = ()

    def check(self, document: Document, names: frozenset[str], target: Target) -> None:
        """Raises UnsupportedParameter where the provider cannot do exactly what is asked.

        ``names`` are the document's fields; ``target`` has the provider's id of the model, and what it injects.
        """
        if self.parameters is None:
            return
        for name in names - OWN:
            if (reason := refusal_of(name, document.read(name), self.parameters)) is not None:
                raise UnsupportedParameter(f"'{name}' {reason}.", param=name)
        if "tool_choice" in names and self.thinks(document, target.inject):
            self.check_thinking_choice(document.read("tool_choice"))

    def thinks(self, document: Document, inject: Mapping[str, Any]) -> bool:
        """Whether the model reasons before it answers this request; ``inject`` counts where the caller is silent."""
        del document, inject
        return False

    def inject(self, document: Document, values: Mapping[str, Any]) -> None:
        """Set what the target injects, where the caller says nothing of it."""
        for name, value in values.items():
            if document.read(name) is None:
                document.write(name, value)

    def check_thinking_choice(self, tool_choice: Any) -> None:
        """Raises UnsupportedParameter for a ``tool_choice`` that the provider refuses while it thinks."""

    def prepare(self, document: Document) -> None:
        """Change the request on its way out, without changing what it asks for."""
        for name in unsent(document.names(), self.parameters or {}):
            document.remove(name)

    def repair_chunk(self, chunk: dict[str, Any]) -> None:
        """Change one chunk of a stream on its way back, in place."""

    def repair_answer(self, answer: Document) -> bool:
        """Change a whole answer on its way back, in place; whether anything was changed."""
        del answer
        return False


def choices_of(chunk: dict[str, Any]) -> list[dict[str, Any]]:
    """The choices of a chunk, whatever a provider sends in their place."""
    choices = chunk.get("choices")
    return [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []


# What OpenAI's own clients put into an answer's message, empty, and send back with it.
_EMPTY_FIELDS = ("refusal", "audio", "annotations", "function_call")


def clean_messages(document: Document) -> None:
    """The labs know no ``developer`` role, which is the newer name of ``system``, and none of OpenAI's empty fields."""
    if not any(_is_foreign(message) for message in document.items("messages")):
        return
    document.detach("messages")
    for message in document.items("messages"):
        if message.read("role") == "developer":
            message.write("role", "system")
        for name in _empty_fields(message):
            message.remove(name)


def is_enabled(thinking: Any, *, by_default: bool) -> bool:
    """What ``thinking: {"type": "enabled" | "disabled"}`` says."""
    kind = thinking.get("type") if isinstance(thinking, Mapping) else None
    return by_default if kind is None else kind != "disabled"


def forbid_forced_choice(tool_choice: Any) -> None:
    """Only ``auto`` and ``none`` while a model thinks."""
    if tool_choice not in (None, "auto", "none"):
        raise UnsupportedParameter(
            "'tool_choice' must be auto or none while the model thinks; turn thinking off to force a tool.",
            param="tool_choice",
        )


def _is_foreign(message: Document) -> bool:
    role = message.read("role")
    return role == "developer" or (role == "assistant" and bool(_empty_fields(message)))


def _empty_fields(message: Document) -> list[str]:
    names = message.names()
    return [name for name in _EMPTY_FIELDS if name in names and not message.read(name)]
