"""What one provider's wire does differently from OpenAI's, and the rules that tell its errors apart.

The base class is OpenAI's own wire: nothing is changed. A dialect overrides only what differs.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from gateway.causes import Rule
from gateway.ports import Document
from gateway.records import Target


class Dialect:
    """``native_stream``: its chunks may reach the caller as they are. ``asks_usage``: a stream brings usage only
    where ``stream_options.include_usage`` is sent. ``max_tokens_name``: how it calls the bound of the output.
    """

    native_stream: ClassVar[bool] = True
    asks_usage: ClassVar[bool] = True
    max_tokens_name: ClassVar[str] = "max_tokens"
    rules: ClassVar[tuple[Rule, ...]] = ()

    def check(self, document: Document, names: frozenset[str], target: Target) -> None:
        """Raises UnsupportedParameter where the provider cannot do exactly what is asked, and InvalidRequest for what
        has no meaning anywhere.

        ``names`` are the document's fields; ``target`` has the provider's id of the model, and what it injects.
        """

    def inject(self, document: Document, values: Mapping[str, Any]) -> None:
        """Set what the target injects, where the caller says nothing of it."""
        for name, value in values.items():
            if document.read(name) is None:
                document.write(name, value)

    def thinks(self, document: Document) -> bool:
        """Whether the provider thinks before it answers this document, which ``prepare`` has changed."""
        del document
        return False

    def prepare(self, document: Document) -> None:
        """Change the request on its way out, without changing what it asks for."""

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


def replace_developer_role(document: Document) -> None:
    """The labs know no ``developer`` role; it is the newer name of ``system``."""
    if not any(message.read("role") == "developer" for message in document.items("messages")):
        return
    document.detach("messages")
    for message in document.items("messages"):
        if message.read("role") == "developer":
            message.write("role", "system")
