"""What a chat completion asks for, read once from its document and its headers; what does not fit is refused here."""

from collections.abc import Callable
from typing import Any

from gateway.errors import InvalidRequest, UnsupportedParameter
from gateway.ports import Document
from gateway.preferences import MAX_NAME_CHARS, read_models, read_preferences
from gateway.records import KeyRecord
from gateway.routing import MAX_TOKENS_NAMES, OWN_FIELDS, Call

MAX_CHOICES = 128

Header = Callable[[str], str | None]


def read_call(
    document: Document,
    size_bytes: int,
    *,
    header: Header,
    request_id: str,
    key: KeyRecord,
    started_at_ms: int,
    idempotency_key: str | None,
) -> Call:
    """Raises InvalidRequest, naming the parameter, for what no provider could take."""
    names = frozenset(document.names())
    models = _models(document, names, header)
    if not document.items("messages"):
        raise InvalidRequest("'messages' must be a list of at least one message.", param="messages")
    _refuse_unbounded(document, names)
    stream = _boolean(document, "stream")
    return Call(
        request_id=request_id,
        key=key,
        started_at_ms=started_at_ms,
        idempotency_key=idempotency_key,
        document=document,
        size_bytes=size_bytes,
        names=names.difference(OWN_FIELDS),
        models=models,
        preferences=read_preferences(document.read("provider") if "provider" in names else None, header),
        stream=stream,
        whole=_is_whole(header("x-haotokai-delivery")),
        include_usage=stream and _include_usage(document),
        max_tokens=_max_tokens(document, names),
        choices=_choices(document, names),
    )


def _models(document: Document, names: frozenset[str], header: Header) -> tuple[str, ...]:
    model = document.read("model")
    fallbacks = read_models(document.read("models") if "models" in names else None, header("x-haotokai-models"))
    if model is None and fallbacks:
        return fallbacks
    if not isinstance(model, str) or not 0 < len(model) <= MAX_NAME_CHARS:
        raise InvalidRequest("'model' must name a model; GET /v1/models lists them.", param="model")
    return tuple(dict.fromkeys((model, *fallbacks)))


def _is_whole(delivery: str | None) -> bool:
    if delivery not in (None, "whole"):
        raise InvalidRequest("x-haotokai-delivery must be 'whole', or absent.", param="x-haotokai-delivery")
    return delivery is not None


def _refuse_unbounded(document: Document, names: frozenset[str]) -> None:
    """Raises UnsupportedParameter for a provider's own tools: what they add to the prompt and the bill has no bound."""
    for tool in document.items("tools") if "tools" in names else ():
        if (kind := tool.read("type")) != "function":
            raise UnsupportedParameter(f"Tools of type {kind!r} are not supported; use 'function'.", param="tools")
    for name in ("enable_search", "web_search_options"):
        if name in names and document.read(name):
            raise UnsupportedParameter(f"'{name}' is not supported.", param=name)


def _include_usage(document: Document) -> bool:
    options = document.read("stream_options")
    if options is None:
        return False
    if not isinstance(options, dict):
        raise InvalidRequest("'stream_options' must be an object.", param="stream_options")
    return options.get("include_usage") is True


def _max_tokens(document: Document, names: frozenset[str]) -> int | None:
    given = [_positive(document, name) for name in MAX_TOKENS_NAMES if name in names]
    return min((value for value in given if value is not None), default=None)


def _choices(document: Document, names: frozenset[str]) -> int:
    choices = (_positive(document, "n") if "n" in names else None) or 1
    if choices > MAX_CHOICES:
        raise InvalidRequest(f"'n' must be at most {MAX_CHOICES}.", param="n")
    return choices


def _positive(document: Document, name: str) -> int | None:
    value: Any = document.read(name)
    if value is None:
        return None
    if type(value) is not int or value < 1:
        raise InvalidRequest(f"'{name}' must be a positive integer.", param=name)
    return value


def _boolean(document: Document, name: str) -> bool:
    value = document.read(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise InvalidRequest(f"'{name}' must be true or false.", param=name)
