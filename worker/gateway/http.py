"""Requests and responses as the gateway sees them, and which headers may cross it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.frozen import frozen
from gateway.ports import Body, OpaqueBody
from gateway.records import encode

JSON = "application/json"
EVENT_STREAM = "text/event-stream; charset=utf-8"

CORS_HEADERS = {
    "access-control-allow-origin": "*",
    "access-control-expose-headers": "*",
}
CORS_PREFLIGHT_HEADERS = {
    "access-control-allow-methods": "GET, POST, OPTIONS",
    # A wildcard does not cover Authorization (Fetch standard, CORS-unsafe request-header names).
    "access-control-allow-headers": "Authorization, *",
    "access-control-max-age": "86400",
}


@frozen
class Request:
    """``path`` is decoded and without query; ``header`` answers None for an absent one, whatever the case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Body

    def header(self, name: str) -> str | None:
        return self.headers.get(name)


@frozen
class Exchange:
    """One request on its way through: ``id`` names it everywhere, ``rest`` is what its path has after the route's."""

    id: str
    request: Request
    rest: str


@dataclass(slots=True, kw_only=True)
class Response:
    """``body`` is a text, or a stream or document that only the platform looks into."""

    status: int = 200
    body: str | OpaqueBody = ""
    headers: dict[str, str] = field(default_factory=dict)


def json_response(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A small JSON answer that the gateway makes itself."""
    return Response(status=status, body=encode(value), headers={"content-type": JSON, **(headers or {})})
