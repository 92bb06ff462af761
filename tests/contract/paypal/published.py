"""PayPal's published wire: requests and answers are held to the OpenAPI files in openapi/.

The published schemas allow members that they do not name. Here such a member is refused, because it is a slip of ours.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from referencing import Registry
from referencing.jsonschema import DRAFT202012

FOLDER = Path(__file__).parent / "openapi"
ALTERNATIVES = ("allOf", "anyOf", "oneOf")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One OpenAPI file."""

    name: str
    content: Json

    def resolve(self, node: Json) -> Json:
        """What a reference within the document stands for; anything else is itself."""
        while "$ref" in node:
            found: Any = self.content
            for step in node["$ref"].removeprefix("#/").split("/"):
                found = found[step]
            node = found
        return node


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One call of the API as it is published."""

    document: Document
    method: str
    path: str
    content: Json

    @property
    def id(self) -> str:
        name: str = self.content["operationId"]
        return name

    def matches(self, method: str, path: str) -> bool:
        pattern = re.sub(r"\{[^}]+\}", "[^/]+", self.path)
        return method == self.method and re.fullmatch(pattern, path) is not None

    def request_schema(self) -> Json | None:
        return _schema(self.document.resolve(self.content.get("requestBody", {})))

    def response_schema(self, status: int) -> Json | None:
        """The schema of this status, or of the default one; None where nothing is published about the body."""
        responses = self.content["responses"]
        response = responses.get(str(status)) or responses.get("default") or {}
        return _schema(self.document.resolve(response))


def _schema(described: Json) -> Json | None:
    schema: Json | None = described.get("content", {}).get("application/json", {}).get("schema")
    return schema


DOCUMENTS = {
    file.name: Document(name=file.name, content=json.loads(file.read_text())) for file in sorted(FOLDER.glob("*.json"))
}
OPERATIONS = tuple(
    Operation(document=document, method=method.upper(), path=path, content=content)
    for document in DOCUMENTS.values()
    for path, item in document.content["paths"].items()
    for method, content in item.items()
    if method != "parameters"
)
_REGISTRY: Registry[Any] = Registry().with_resources(
    (name, DRAFT202012.create_resource(document.content)) for name, document in DOCUMENTS.items()
)


def operation(method: str, path: str) -> Operation:
    """The published operation that this call is; raises AssertionError where there is none."""
    found = [candidate for candidate in OPERATIONS if candidate.matches(method.upper(), path)]
    assert found, f"PayPal publishes no {method} {path}"
    return found[0]


def assert_request_is_valid(method: str, path: str, body: Any) -> None:
    """Of a request that our side sends: the path is published, and the body fits its schema and has nothing else."""
    published = operation(method, path)
    schema = published.request_schema()
    if schema is None:
        assert body is None, f"{published.id} takes no body"
    else:
        _assert_fits(published.document, schema, {} if body is None else body)


def assert_answer_is_valid(method: str, path: str, status: int, body: Any) -> None:
    """Of an answer: the body fits what is published for this status and has nothing else."""
    published = operation(method, path)
    schema = published.response_schema(status)
    if schema is not None:
        _assert_fits(published.document, schema, body)


def issues(method: str, path: str, status: int) -> dict[str, str]:
    """Every issue that is published for this status of a call, with its description where one is."""
    published = operation(method, path)
    schema = published.response_schema(status) or {}
    return dict(_issues(published.document, schema))


def assert_is_a(schema_name: str, file: str, value: Any) -> None:
    """Of a body that no operation carries, such as a webhook's: it fits the schema of that name in that file."""
    _assert_fits(DOCUMENTS[file], {"$ref": f"#/components/schemas/{schema_name}"}, value)


def _issues(document: Document, schema: Json) -> Iterator[tuple[str, str]]:
    for part in _parts(document, schema):
        details = part.get("properties", {}).get("details", {})
        for detail in _parts(document, details.get("items", {})):
            members = detail.get("properties", {})
            for issue in members.get("issue", {}).get("enum", ()):
                yield issue, members.get("description", {}).get("enum", [""])[0]


def _assert_fits(document: Document, schema: Json, value: Any) -> None:
    problems = [f"{error.json_path}: {error.message}" for error in _validator(document, schema).iter_errors(value)]
    problems += [f"{path}: is not published" for path in _unknown(document, [schema], value, "$")]
    assert not problems, "\n".join(problems)


def _validator(document: Document, schema: Json) -> Draft202012Validator:
    anchored = json.loads(json.dumps(schema).replace('"#/', f'"{document.name}#/'))
    return Draft202012Validator(anchored, registry=_REGISTRY)


def _unknown(document: Document, schemas: list[Json], value: Any, path: str) -> Iterator[str]:
    """Paths of the members that none of the schemas names."""
    parts = [part for schema in schemas for part in _parts(document, schema)]
    if isinstance(value, dict):
        if any(part.get("additionalProperties") for part in parts):
            return
        for name, member in value.items():
            described = [part["properties"][name] for part in parts if name in part.get("properties", {})]
            if described:
                yield from _unknown(document, described, member, f"{path}.{name}")
            else:
                yield f"{path}.{name}"
    elif isinstance(value, list):
        items = [part["items"] for part in parts if "items" in part]
        for index, member in enumerate(value):
            yield from _unknown(document, items, member, f"{path}[{index}]")


def _parts(document: Document, schema: Json) -> Iterator[Json]:
    """The schema and all that it is composed of."""
    schema = document.resolve(schema)
    yield schema
    for name in ALTERNATIVES:
        for alternative in schema.get(name, ()):
            yield from _parts(document, alternative)
