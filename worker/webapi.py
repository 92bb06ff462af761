"""Web-standard JavaScript objects in the gateway's terms: Request, Response, fetch, streams, JSON.

Whatever is large stays a JavaScript object: it is parsed, written and piped by the runtime, and Python sees the fields
that it asks for. What is small costs less as plain Python data.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from time import time_ns
from typing import Any
from urllib.parse import unquote

import js
from js import Object
from js import Response as JsResponse
from pyodide.ffi import JsException, JsProxy, jsnull, to_js

from gateway.documents import parse_document
from gateway.fields import is_deep
from gateway.http import Request, Response
from gateway.ports import BodyTooLarge, Document, NotJson, OpaqueBody
from gateway.records import encode

SMALL_DOCUMENT = 16 * 1024
"""Up to this size, in bytes or characters, a document is held as plain Python data."""

READ_DEPTH = 8
"""How deep a field is converted; deeper parts stay JavaScript objects. A caller's nesting cannot exhaust the stack."""

# Looked up once, because each step of such a path is a call into the engine. A memory snapshot of the Worker keeps them
# by their paths; it can keep no other object of the engine, so none may be made while a module is loaded.
_get, _set, _delete = js.Reflect.get, js.Reflect.set, js.Reflect.deleteProperty
_parse_json = js.JSON.parse
_is_array, _keys, _values = js.Array.isArray, Object.keys, Object.values

_PLAIN = frozenset({str, int, float, bool, type(None)})
"""What primitives of the engine are in Python; its null has a type of its own."""


def now_ms() -> int:
    """The time, which in the runtime stands still while a request computes."""
    return time_ns() // 1_000_000


def to_object(value: Mapping[str, Any]) -> JsProxy:
    """A plain JavaScript object."""
    return to_js(value, dict_converter=Object.fromEntries)


def json_object(value: Mapping[str, Any]) -> JsProxy:
    """The same of JSON data: faster where objects lie in it."""
    return _parse_json(encode(value))


@cache
def options(**values: str | bool) -> JsProxy:
    """The same object each time; the runtime only reads it."""
    return to_object(values)


class Headers(Mapping[str, str]):
    """Request headers, asked one by one, so that only those that matter are converted."""

    def __init__(self, headers: JsProxy) -> None:
        self._headers = headers
        self._get = headers.get

    def __getitem__(self, name: str) -> str:
        value = self._get(name)
        if type(value) is not str:
            raise KeyError(name)
        return value

    def get(self, name: str, default: Any = None) -> Any:
        value = self._get(name)
        return value if type(value) is str else default

    def __iter__(self) -> Iterator[str]:
        return iter([entry[0] for entry in self._headers.entries()])

    def __len__(self) -> int:
        return sum(1 for _ in self)


class JsDocument:
    """The Document port over an object of the JavaScript engine. Where ``names`` are known, the engine is not asked for
    a field that is not there."""

    __slots__ = ("_names", "value")

    def __init__(self, value: JsProxy, names: Iterable[str] | None = None) -> None:
        self.value = value
        self._names = None if names is None else set(names)

    def names(self) -> list[str]:
        return list(_keys(self.value)) if self._names is None else list(self._names)

    def read(self, name: str) -> Any:
        if self._names is not None and name not in self._names:
            return None
        return _to_python(_get(self.value, name))

    def given(self, names: Collection[str]) -> dict[str, Any]:
        return {name: value for name in names if (value := self.read(name)) is not None}

    def write(self, name: str, value: Any) -> None:
        if isinstance(value, str):
            # As JSON, because a text out of Python is made of pieces, and JSON.stringify is slow for such a text.
            Object.assign(self.value, _parse_json(encode({name: value})))
        else:
            _set(self.value, name, to_object(value) if isinstance(value, dict) else to_js(value))
        if self._names is not None:
            self._names.add(name)

    def remove(self, name: str) -> None:
        if self._names is None:
            _delete(self.value, name)
        elif name in self._names:
            # JSON.stringify leaves out what is undefined, and is slow for an object that a field was deleted of.
            _set(self.value, name, None)
            self._names.discard(name)

    def items(self, name: str) -> "list[JsDocument]":
        if self._names is not None and name not in self._names:
            return []
        values = _get(self.value, name)
        if not is_object(values) or not _is_array(values):
            return []
        return [JsDocument(value) for value in values if is_object(value)]

    def has_list(self) -> bool:
        return bool(_values(self.value).some(_is_array))

    def detach(self, name: str) -> None:
        _set(self.value, name, js.structuredClone(_get(self.value, name)))

    def copy(self) -> "JsDocument":
        return JsDocument(Object.assign(Object.new(), self.value), self._names)

    def as_body(self) -> OpaqueBody:
        return OpaqueBody(self)


class JsBody:
    """The Body port over a Request."""

    def __init__(self, request: JsProxy, headers: Headers) -> None:
        self._request = request
        self._headers = headers

    async def document(self, *, limit_bytes: int) -> tuple[Document, int]:
        declared = self._headers.get("content-length", "")
        if declared.isdecimal():
            size_bytes = int(declared)
            if size_bytes > limit_bytes:
                raise BodyTooLarge
            return await _read_document(self._request, size_bytes), size_bytes
        gathered = await self._gather(limit_bytes)
        return await _read_document(JsResponse.new(gathered), gathered.size), gathered.size

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
    headers = Headers(request.headers)
    path = unquote(_path(request.url))
    return Request(method=request.method, path=path, headers=headers, body=JsBody(request, headers))


def _path(url: str) -> str:
    """Of a Request's URL, which the runtime has made complete and has normalized."""
    return "/" + url.split("/", 3)[3].partition("#")[0].partition("?")[0]


def response_to_js(response: Response) -> JsProxy:
    """A Response of the runtime. Header values that are not ASCII would be refused, so they are escaped."""
    headers = response.headers
    if not "".join(headers.values()).isascii():
        headers = {name: _escaped(value) for name, value in headers.items()}
    init = json_object({"status": response.status, "headers": headers})
    if isinstance(response.body, JsDocument):
        # Response.json writes the text inside the engine; JSON.stringify would bring it through Python.
        return JsResponse.json(response.body.value, init)
    return JsResponse.new(None if response.status == 204 else response.body, init)


def _escaped(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()


async def _read_document(carrier: JsProxy, size_bytes: int) -> Document:
    """The body of a Request or Response, where its size is known."""
    try:
        if size_bytes <= SMALL_DOCUMENT:
            return parse(await carrier.text())
        return document_of(await carrier.json())
    except JsException as error:
        raise NotJson from error


def parse(text: str) -> Document:
    """Raises NotJson for anything but an object."""
    if len(text) <= SMALL_DOCUMENT and not is_deep(text):
        return parse_document(text)
    try:
        return document_of(_parse_json(text))
    except JsException as error:
        raise NotJson from error


def set_body(options: JsProxy, document: Document) -> None:
    """Make a document the body of a call with these options."""
    body: Any = document.as_body()
    if isinstance(body, str):
        options.body = body
        return
    # The text stays in an array, out of which the engine alone takes it: by itself it would come through Python. What
    # ``map`` adds to its one argument would make JSON.stringify slow.
    stringify = js.Reflect.apply.bind(js.Reflect, js.JSON.stringify, None)
    entry = js.Array.of("body").concat(js.Array.of(js.Array.of(body.value)).map(stringify))
    Object.assign(options, Object.fromEntries(js.Array.of(entry)))


def document_of(value: Any) -> JsDocument:
    """Raises NotJson for anything but a plain object."""
    if not is_object(value) or _is_array(value):
        raise NotJson
    return JsDocument(value, _keys(value))


def is_object(value: Any) -> bool:
    """Whether a value is a JavaScript object: not null, undefined or a primitive. ``isinstance(value, JsProxy)`` says
    the same, and takes several calls of Python."""
    return type(value) not in _PLAIN and value is not jsnull


def _to_python(value: Any) -> Any:
    if type(value) in _PLAIN:
        return value
    return None if value is jsnull else _without_null(value.to_py(depth=READ_DEPTH))


def _without_null(value: Any) -> Any:
    """Pyodide keeps JavaScript's null apart from None, which stands for undefined."""
    if value is jsnull:
        return None
    if isinstance(value, dict):
        return {name: item if type(item) in _PLAIN else _without_null(item) for name, item in value.items()}
    if isinstance(value, list):
        return [item if type(item) in _PLAIN else _without_null(item) for item in value]
    return value
