"""Records as plain JSON data."""

import json
from typing import Any

_PLAIN = frozenset({str, int, float, bool, type(None)})


def to_object(record: Any) -> dict[str, Any]:
    """A record, and the records in it, as plain JSON objects. ``dataclasses.asdict`` copies every leaf as well, which
    took a third of the Python of a request."""
    return {name: _to_plain(getattr(record, name)) for name in record.__slots__}


def _to_plain(value: Any) -> Any:
    if type(value) in _PLAIN:
        return value
    if isinstance(value, tuple | list):
        return [_to_plain(item) for item in value]
    return to_object(value) if hasattr(type(value), "__slots__") else value


def dump(record: Any) -> str:
    """The compact JSON text of a record."""
    return json.dumps(record.to_json(), separators=(",", ":"), ensure_ascii=False)
