"""DeepSeek (api-docs.deepseek.com): OpenAI's wire; usage comes on the last chunk unasked."""

from typing import ClassVar

from gateway.causes import Cause, Rule
from gateway.ports import Document
from gateway.providers.dialect import Dialect, replace_developer_role


class DeepSeek(Dialect):
    asks_usage: ClassVar[bool] = False
    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(cause=Cause.OUR_BALANCE, message="insufficient balance"),
        Rule(cause=Cause.CONTENT_FILTER, message="content exists risk"),
        Rule(cause=Cause.CONTEXT_LENGTH, message="maximum context length is"),
        Rule(cause=Cause.MODEL_MISSING, message="model not exist|supported api model names are"),
    )

    def prepare(self, document: Document) -> None:
        replace_developer_role(document)
