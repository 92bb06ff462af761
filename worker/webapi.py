"""Web-standard JavaScript objects in the gateway's terms: Request, Response, fetch, streams, JSON.

Whatever can stay a JavaScript object does. A body is parsed, written, piped and copied by the runtime; Python sees the
fields that it asks for, the first events of a stream, and a few large pieces of its copy.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import js
from js import Object
from pyodide.ffi import JsException, JsProxy, jsnull, to_js

from gateway.http import Request, Response
from gateway.ports import BodyTooLarge, NotJson, OpaqueBody

READ_DEPTH = 8
"""How deep a field is converted; deeper parts stay JavaScript objects. A caller's nesting cannot exhaust the stack."""


def to_object(value: Mapping[str, Any]) -> JsProxy:
    """A plain JavaScript object."""
    return to_js(value, dict_converter=Object.fromEntries)


class Headers(Mapping[str, str]):
    """Request headers, asked one by one, so that only those that matter are converted."""

    def __init__(self, headers: JsProxy) -> None:
        self._headers = headers

    def __getitem__(self, name: str) -> str:
        value = self._headers.get(name)
        if not isinstance(value, str):
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter([entry[0] for entry in self._headers.entries()])

    def __len__(self) -> int:
        return sum(1 for _ in self)


class JsDocument:
    """The Document port over an object of the JavaScript engine."""

    __slots__ = ("value",)

    def __init__(self, value: JsProxy) -> None:
        self.value = value

    def names(self) -> list[str]:
        return list(Object.keys(self.value))

    def read(self, name: str) -> Any:
        return _to_python(js.Reflect.get(self.value, name))

    def write(self, name: str, value: Any) -> None:
        js.Reflect.set(self.value, name, to_object(value) if isinstance(value, dict) else to_js(value))

    def remove(self, name: str) -> None:
        js.Reflect.deleteProperty(self.value, name)

    def items(self, name: str) -> "list[JsDocument]":
        values = js.Reflect.get(self.value, name)
        if not js.Array.isArray(values):
            return []
        return [JsDocument(value) for value in values if is_object(value)]

    def detach(self, name: str) -> None:
        js.Reflect.set(self.value, name, js.structuredClone(js.Reflect.get(self.value, name)))

    def copy(self) -> "JsDocument":
        return JsDocument(Object.assign(Object.new(), self.value))

    def as_body(self) -> OpaqueBody:
        return OpaqueBody(self)


class JsBody:
    """The Body port over a Request."""

    def __init__(self, request: JsProxy) -> None:
        self._request = request

    async def document(self, *, limit_bytes: int) -> tuple[JsDocument, int]:
        declared = self._request.headers.get("content-length")
        try:
            if isinstance(declared, str) and declared.isdecimal():
                if int(declared) > limit_bytes:
                    raise BodyTooLarge
                return document_of(await self._request.json()), int(declared)
            gathered = await self._gather(limit_bytes)
            return document_of(await js.Response.new(gathered).json()), gathered.size
        except JsException as error:
            raise NotJson from error

    async def read(self, *, limit_bytes: int) -> bytes:
        gathered = await self._gather(limit_bytes)
        raw: bytes = (await gathered.arrayBuffer()).to_bytes()
        return raw

    async def _gather(self, limit_bytes: int) -> JsProxy:
        """The body as a Blob, given up as soon as it is too long."""
        pieces, size = js.Array.new(), 0
        if is_object(self._request.body):
            reader = self._request.body.getReader()
            while not (piece := await reader.read()).done:
                size += piece.value.length
                if size > limit_bytes:
                    await reader.cancel()
                    raise BodyTooLarge
                pieces.push(piece.value)
        return js.Blob.new(pieces)


def request_from_js(request: JsProxy) -> Request:
    """The gateway's view of a Request."""
    path = js.URL.new(request.url).pathname
    return Request(method=request.method, path=unquote(path), headers=Headers(request.headers), body=JsBody(request))


def response_to_js(response: Response) -> JsProxy:
    """A Response of the runtime. Header values that are not ASCII would be refused, so they are escaped."""
    headers = {name: value.encode("ascii", "backslashreplace").decode() for name, value in response.headers.items()}
    init = to_object({"status": response.status, "headers": headers})
    if isinstance(response.body, JsDocument):
        # Response.json writes the text inside the engine; JSON.stringify would bring it through Python.
        return js.Response.json(response.body.value, init)
    return js.Response.new(None if response.status == 204 else response.body, init)


def document_of(value: Any) -> JsDocument:
    """Raises NotJson for anything but a plain object."""
    if not is_object(value) or js.Array.isArray(value):
        raise NotJson
    return JsDocument(value)


def is_object(value: Any) -> bool:
    """Whether a value is a JavaScript object: not null, undefined or a primitive."""
    return isinstance(value, JsProxy)


def _to_python(value: Any) -> Any:
    if isinstance(value, JsProxy):
        return _without_null(value.to_py(depth=READ_DEPTH))
    return None if value is jsnull else value


def _without_null(value: Any) -> Any:
    """Pyodide keeps JavaScript's null apart from None, which stands for undefined."""
    if value is jsnull:
        return None
    if isinstance(value, dict):
        return {name: _without_null(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_null(item) for item in value]
    return value
