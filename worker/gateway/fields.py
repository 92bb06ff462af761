"""Read a decoded JSON object field by field, and refuse what does not fit.

fields = Fields.parse(text, "key record")
fields.text("account_id"), fields.integer("limit", minimum=0), fields.optional(fields.text, "name")
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from gateway.json_text import decoder

# Larger integers change when they pass through a JavaScript number.
MAX_INTEGER = 2**53 - 1

MAX_DEPTH = 128
"""How deep arrays and objects may lie in each other. Far deeper ones would exhaust the stack of the platform."""

_STRINGS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_TOO_DEEP = re.compile(rb"[\[{]{%d}" % (MAX_DEPTH + 1))

decode = decoder()
"""A JSON text as plain data; raises ValueError, RecursionError."""

T = TypeVar("T")
C = TypeVar("C", bound=str)


class FieldError(ValueError):
    """A stored or received object does not have the agreed shape. The text names the field, never a value."""


def parse_json(text: str | bytes, name: str) -> Any:
    """JSON as plain Python data; raises FieldError for what is none, or lies too deep."""
    try:
        text = text if isinstance(text, str) else text.decode()
        if is_deep(text):
            raise FieldError(f"{name}: too deep")
        return decode(text)
    except FieldError:
        raise
    except (ValueError, RecursionError) as error:
        raise FieldError(f"{name}: not JSON") from error


def is_deep(text: str) -> bool:
    """Whether arrays and objects of a JSON text lie deeper than MAX_DEPTH."""
    return text.count("[") + text.count("{") > MAX_DEPTH and _are_brackets_left(text)


def _are_brackets_left(text: str) -> bool:
    """Once the innermost pairs were taken away as often as may be."""
    outside = [_STRINGS.sub("", text)] if "\\" in text else text.split('"')[::2]
    brackets = "".join(outside).encode(errors="replace").translate(None, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        if not brackets or _TOO_DEEP.search(brackets):
            break
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
    return bool(brackets)


class Fields:
    """One JSON object and its name for messages; every reader raises FieldError."""

    __slots__ = ("_name", "_values")

    def __init__(self, values: object, name: str) -> None:
        if not isinstance(values, dict):
            raise FieldError(f"{name}: not an object")
        self._values: dict[str, Any] = values
        self._name = name

    @classmethod
    def parse(cls, text: str | bytes, name: str) -> "Fields":
        """Raises FieldError when the text is not JSON or not an object."""
        return cls(parse_json(text, name), name)

    @property
    def values(self) -> dict[str, Any]:
        """The object itself, for what is looked at without a fixed shape."""
        return self._values

    def text(self, field: str) -> str:
        value = self._typed(field, str)
        if "\0" in value or not is_unicode(value):  # PostgreSQL refuses NUL
            raise FieldError(f"{self._name}.{field}: not a text that can be stored")
        return value

    def boolean(self, field: str) -> bool:
        return self._typed(field, bool)

    def integer(self, field: str, *, minimum: int = 0) -> int:
        value = self._values.get(field)
        if type(value) is not int or not minimum <= value <= MAX_INTEGER:
            raise FieldError(f"{self._name}.{field}: not an integer of at least {minimum}")
        return value

    def object(self, field: str) -> "Fields":
        return Fields(self._values.get(field), f"{self._name}.{field}")

    def raw_object(self, field: str) -> dict[str, Any]:
        """An object that is passed on as it is, such as parameters to inject."""
        return self._typed(field, dict)

    def objects(self, field: str) -> "Iterator[Fields]":
        for index, value in enumerate(self._typed(field, list)):
            yield Fields(value, f"{self._name}.{field}[{index}]")

    def items(self, field: str) -> "Iterator[tuple[str, Fields]]":
        """The entries of an object of objects."""
        for key, value in self._typed(field, dict).items():
            yield key, Fields(value, f"{self._name}.{field}[{key!r}]")

    def texts(self, field: str) -> tuple[str, ...]:
        values = self._typed(field, list)
        if not all(isinstance(value, str) for value in values):
            raise FieldError(f"{self._name}.{field}: not a list of texts")
        return tuple(values)

    def integers(self, field: str) -> tuple[int, ...]:
        values = self._typed(field, list)
        if not all(type(value) is int for value in values):
            raise FieldError(f"{self._name}.{field}: not a list of integers")
        return tuple(values)

    def integer_pairs(self, field: str) -> Iterator[tuple[int, int]]:
        for pair in self._typed(field, list):
            if not isinstance(pair, list) or len(pair) != 2 or not all(type(item) is int for item in pair):
                raise FieldError(f"{self._name}.{field}: not a list of pairs of integers")
            yield pair[0], pair[1]

    def choice(self, field: str, choices: tuple[C, ...]) -> C:
        value = self._values.get(field)
        for choice in choices:
            if value == choice:
                return choice
        raise FieldError(f"{self._name}.{field}: not one of {', '.join(choices)}")

    def optional(self, read: Callable[[str], T], field: str) -> T | None:
        """``read(field)``, or None where the field is absent or null."""
        return None if self._values.get(field) is None else read(field)

    def _typed(self, field: str, kind: type[T]) -> T:
        value = self._values.get(field)
        if not isinstance(value, kind):
            raise FieldError(f"{self._name}.{field}: not of type {kind.__name__}")
        return value


def is_unicode(text: str) -> bool:
    """JSON can spell half of a surrogate pair, which has no place in UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
