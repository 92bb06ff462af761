"""What one provider's wire does differently from OpenAI's, and the rules that tell its errors apart.

The base class is OpenAI's own wire: nothing is changed. A dialect overrides only what differs.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from gateway.causes import Cause, Rule
from gateway.ports import Document
from gateway.records import Target


class Dialect:
    """``repairs_all``: every chunk of a stream needs repair; else only those that tell of more than content, and those
    without the text ``mark_of_chunk``. ``asks_usage``: a stream brings usage only where
    ``stream_options.include_usage`` is sent. ``max_tokens_name``: how it calls the bound of the output.
    """

    repairs_all: ClassVar[bool] = False
    mark_of_chunk: ClassVar[bytes] = b""
    asks_usage: ClassVar[bool] = True
    max_tokens_name: ClassVar[str] = "max_tokens"
    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(cause=Cause.CONTENT_FILTER, codes=frozenset({"content_filter", "content_policy_violation"})),
        Rule(cause=Cause.CONTEXT_LENGTH, codes=frozenset({"context_length_exceeded"})),
        Rule(cause=Cause.MODEL_MISSING, codes=frozenset({"model_not_found"})),
        Rule(cause=Cause.OUR_BALANCE, codes=frozenset({"insufficient_quota"})),
    )

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
        """Change one chunk of a stream on its way back, in place: what this provider alone does differently."""

    def repair_answer(self, answer: Document) -> None:
        """Change a whole answer on its way back, in place: what this provider alone does differently."""
