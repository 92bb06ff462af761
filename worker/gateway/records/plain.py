"""Records as plain JSON data."""

import json
from typing import Any


def to_plain(value: Any) -> Any:
    """A record, and the records in it, as objects and lists. ``dataclasses.asdict`` copies every leaf as well, which
    took a third of the Python of a request."""
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    names = getattr(type(value), "__slots__", None)
    return value if names is None else {name: to_plain(getattr(value, name)) for name in names}


def dump(record: Any) -> str:
    """The compact JSON text of a record."""
    return json.dumps(record.to_json(), separators=(",", ":"), ensure_ascii=False)
