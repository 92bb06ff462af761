"""A value that fits a JSON Schema, as far as the schemas of tools and response formats go."""

from collections.abc import Iterator
from typing import Any

MAX_REFERENCES = 16


def example(schema: dict[str, Any], words: Iterator[str]) -> Any:
    """The smallest value: required properties only, and the next of ``words`` for each string. A schema that requires
    itself ends in null after MAX_REFERENCES."""
    return _example(schema, words, schema, MAX_REFERENCES)


def _example(schema: dict[str, Any], words: Iterator[str], root: dict[str, Any], left: int) -> Any:
    other = _other_schema(schema, root)
    if other is not None:
        return _example(other, words, root, left - 1) if left else None
    fixed = schema.get("const", next(iter(schema.get("enum") or ()), None))
    if fixed is not None:
        return fixed
    kind = _kind(schema)
    if kind == "object":
        properties = schema.get("properties") or {}
        required = (name for name in schema.get("required") or () if name in properties)
        return {name: _example(properties[name], words, root, left) for name in required}
    if kind == "array":
        items = [schema.get("items") or {}] * schema.get("minItems", 1)
        return [_example(item, words, root, left) for item in items]
    return _scalar(kind, schema, words)


def _other_schema(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any] | None:
    """The schema that stands for this one: what it refers to, or its first alternative."""
    if "$ref" in schema:
        return _resolve(schema["$ref"], root)
    return next((schema[name][0] for name in ("anyOf", "oneOf", "allOf") if schema.get(name)), None)


def _scalar(kind: Any, schema: dict[str, Any], words: Iterator[str]) -> Any:
    match kind:
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "null":
            return None
    return next(words)


def _kind(schema: dict[str, Any]) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    return kind[0] if isinstance(kind, list) else kind


def _resolve(reference: str, root: dict[str, Any]) -> dict[str, Any]:
    """The schema that a reference within the document, such as ``#/$defs/City``, points to."""
    found: Any = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        found = found.get(step, {}) if step else found
    return found if isinstance(found, dict) else {}
