"""Small JSON documents as plain Python data: to ask the platform's engine field by field costs more than to parse them.

Which engine a document is held by depends on its size alone, so its numbers are here what they are in JavaScript.
"""

import marshal
import math
from collections.abc import Collection, Sequence
from typing import Any, NoReturn

from gateway.fields import is_unicode
from gateway.json_text import decoder, encoder
from gateway.ports import NotJson
from gateway.records import encode_ascii

_SCALARS = frozenset({str, int, float, bool, type(None)})
_EXACT_DIGITS = 15
_MAX_EXACT = 2**53


class PlainDocument:
    """The Document port over a dict. What is read or written is a copy, as it is across the border to JavaScript."""

    __slots__ = ("values",)

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def names(self) -> list[str]:
        return list(self.values)

    def read(self, name: str) -> Any:
        value = self.values.get(name)
        return value if type(value) in _SCALARS else _copy(value)

    def given(self, names: Collection[str]) -> dict[str, Any]:
        values = self.values
        return {
            name: value if type(value) in _SCALARS else _copy(value)
            for name in values.keys() & names
            if (value := values[name]) is not None
        }

    def write(self, name: str, value: Any) -> None:
        self.values[name] = value if type(value) in _SCALARS else _copy(value)

    def remove(self, name: str) -> None:
        self.values.pop(name, None)

    def items(self, name: str) -> "Sequence[PlainDocument]":
        values = self.values.get(name)
        return [PlainDocument(value) for value in values if type(value) is dict] if type(values) is list else []

    def has_list(self) -> bool:
        return any(type(value) is list for value in self.values.values())

    def detach(self, name: str) -> None:
        self.values[name] = _copy(self.values.get(name))

    def copy(self) -> "PlainDocument":
        return PlainDocument(self.values.copy())

    def as_body(self) -> str:
        try:
            text = _encode(self.values)
        except ValueError:
            text = _encode(_finite(self.values))
        return text if text.isascii() or is_unicode(text) else encode_ascii(_finite(self.values))


def parse_document(text: str) -> PlainDocument:
    """Raises NotJson for anything but an object."""
    try:
        values = _decode(text)
    except (ValueError, RecursionError) as error:
        raise NotJson from error
    if type(values) is not dict:
        raise NotJson
    return PlainDocument(values)


def _copy(value: Any) -> Any:
    """To the last leaf, and all of it in C."""
    return marshal.loads(marshal.dumps(value))  # noqa: S302 of our own making


def _integer(text: str) -> Any:
    return int(text) if len(text) <= _EXACT_DIGITS else _number(text)


def _number(text: str) -> Any:
    """A number as JavaScript has it: 1.0 is 1, large integers are rounded, and what is far too large is infinite."""
    value = float(text)
    return int(value) if value.is_integer() and abs(value) <= _MAX_EXACT else value


def _finite(value: Any) -> Any:
    """The data with null for what is infinite, as JavaScript writes it."""
    if type(value) is dict:
        return {name: _finite(item) for name, item in value.items()}
    if type(value) is list:
        return [_finite(item) for item in value]
    return None if type(value) is float and math.isinf(value) else value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


_decode = decoder(parse_int=_integer, parse_float=_number, parse_constant=_refuse)
_encode = encoder(ensure_ascii=False, allow_nan=False)
