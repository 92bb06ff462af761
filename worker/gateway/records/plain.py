"""Records as plain JSON data."""

from collections.abc import Callable, Mapping
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar

from gateway.json_text import encoder

_PLAIN = frozenset({str, int, float, bool, type(None)})

T = TypeVar("T")


def to_object(record: Any) -> dict[str, Any]:
    """A record, and the records in it, as plain JSON objects. ``dataclasses.asdict`` copies every leaf as well, which
    took a third of the Python of a request."""
    names, read = _reader(record.__class__)
    return {
        name: value if type(value) in _PLAIN else _to_plain(value)
        for name, value in zip(names, read(record), strict=True)
    }


def from_object(kind: type[T], values: Mapping[str, Any]) -> T:
    """A record as ``to_object`` gave it, unchecked.

    Fields that are not known here are passed over: during a deployment, the next version may have written it.
    """
    try:
        return kind(**values)
    except TypeError:
        names: tuple[str, ...] = kind.__slots__  # type: ignore[attr-defined]
        return kind(**{name: values[name] for name in names if name in values})


@cache
def _reader(kind: type) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
    """The names of a record's fields, and how to read all of them at once."""
    names: tuple[str, ...] = kind.__slots__  # type: ignore[attr-defined]
    return names, attrgetter(*names)


def _to_plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_to_plain(item) for item in value]
    return to_object(value) if hasattr(type(value), "__slots__") else value


def _fields(record: Any) -> dict[str, Any]:
    """A record's own fields; the records in them are as they are."""
    names, read = _reader(record.__class__)
    return dict(zip(names, read(record), strict=True))


def _given(record: Any) -> dict[str, Any]:
    return {name: value for name, value in _fields(record).items() if value is not None}


encode = encoder(ensure_ascii=False, default=_fields)
"""The compact JSON text of plain data and records."""
encode_given = encoder(ensure_ascii=False, default=_given)
"""The same of a record without its fields that are None, for a reader to whom that is what is absent."""
encode_ascii = encoder(default=_fields)
"""The same in ASCII alone."""
