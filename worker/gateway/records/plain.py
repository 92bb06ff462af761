"""Records as plain JSON data."""

import json
from typing import Any

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_PLAIN = frozenset({str, int, float, bool, type(None)})


def to_object(record: Any) -> dict[str, Any]:
    """A record, and the records in it, as plain JSON objects. ``dataclasses.asdict`` copies every leaf as well, which
    took a third of the Python of a request."""
    values = [(name, getattr(record, name)) for name in record.__slots__]
    return {name: value if type(value) in _PLAIN else _to_plain(value) for name, value in values}


def _to_plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_to_plain(item) for item in value]
    return to_object(value) if hasattr(type(value), "__slots__") else value


def dump(record: Any) -> str:
    """The compact JSON text of a record."""
    return _encode(record.to_json())
