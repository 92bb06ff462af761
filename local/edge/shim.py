"""The Python half of the local runtime, importable only inside Pyodide: describe the entry module, call its handlers.

The conversions are the SDK's and the platform's: arguments pass ``python_from_rpc``, results ``python_to_rpc``, and
the platform's own handlers may take fewer arguments than they are given. What costs the same on every call (finding
the method, reading its signature) is done once, when the handler is made.
"""

import os
import random
from collections.abc import Awaitable, Callable
from functools import cache
from inspect import Parameter, isawaitable, isclass, isfunction, signature
from types import CoroutineType, ModuleType
from typing import Any, NoReturn

import js
from pyodide.ffi import JsProxy, to_js
from workers import DurableObject, Request, Response, WorkerEntrypoint, python_from_rpc, python_to_rpc

KINDS = {"durable": DurableObject, "worker": WorkerEntrypoint}
PLATFORM_HANDLERS = frozenset({"fetch", "connect", "alarm", "scheduled", "trace", "queue"})

Handler = Callable[..., Awaitable[Any]]

_ENTROPY: list[tuple[ModuleType, str, Callable[..., Any]]] = [
    (os, "urandom", os.urandom),
    (random, "_urandom", os.urandom),
    *(
        (random, name, value)
        for name, value in vars(random).items()
        if getattr(value, "__self__", None) is random._inst
    ),
]


def refuse_randomness() -> None:
    """The platform has none while a Worker is imported, which is once for all its isolates; refuse it here too."""
    for module, name, _ in _ENTROPY:
        setattr(module, name, _refuse)


def allow_randomness() -> None:
    for module, name, function in _ENTROPY:
        setattr(module, name, function)


def _refuse(*_: object, **__: object) -> NoReturn:
    raise OSError("randomness is not available while the Worker is imported")


@cache
def _seed_once() -> None:
    """What seeded `random` at start-up was a fixed sequence; inside a request the real thing is there."""
    random.seed()


def describe(module: ModuleType) -> Any:
    """The entry's classes, as JS objects {name, kind, methods}."""
    names = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
    classes = [value for name in names if isclass(value := getattr(module, name))]
    found = [
        {"name": cls.__name__, "kind": kind, "methods": _public_methods(cls)}
        for cls in classes
        for kind, base in KINDS.items()
        if issubclass(cls, base) and cls is not base
    ]
    return to_js(found, dict_converter=js.Object.fromEntries)


def _public_methods(cls: type) -> list[str]:
    members = {name: value for ancestor in reversed(cls.__mro__) for name, value in vars(ancestor).items()}
    return sorted(name for name, value in members.items() if isfunction(value) and not name.startswith("_"))


def event_handler(cls: type, name: str) -> Handler:
    """For a WorkerEntrypoint: make the object and call the method, (ctx, env, *arguments) -> result."""
    call = _converting(cls, name)

    async def handle(ctx: Any, env: Any, *args: Any) -> Any:
        _seed_once()
        return await call(cls(ctx, env), *args)

    return handle


def constructor_of(cls: type) -> Callable[[Any, Any], Any]:
    """For a DurableObject: make the object that lives between events."""

    def construct(ctx: Any, env: Any) -> Any:
        _seed_once()
        return cls(ctx, env)

    return construct


def object_handler(cls: type, name: str) -> Handler:
    """For a DurableObject: call the method of an object made before, (object, *arguments) -> result."""
    return _converting(cls, name)


def _converting(cls: type, name: str) -> Handler:
    function = getattr(cls, name)
    if name in PLATFORM_HANDLERS:
        function = _relaxed(function)
    return _fetch(function) if name == "fetch" else _call(function)


def _relaxed(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as one that drops what arguments it does not take. ``pyodide.code.relaxed_wrap`` does the same, and
    binds the signature anew at every call."""
    kinds = [parameter.kind for parameter in signature(function).parameters.values()]
    if Parameter.VAR_POSITIONAL in kinds:
        return function
    taken = sum(kind is not Parameter.KEYWORD_ONLY and kind is not Parameter.VAR_KEYWORD for kind in kinds)
    return lambda *args: function(*args[:taken])


def _call(function: Callable[..., Any]) -> Handler:
    """Texts, which the conversions leave as they are, do not pass them."""

    async def call(instance: Any, *args: Any) -> Any:
        result = function(instance, *(arg if type(arg) is str else python_from_rpc(arg) for arg in args))
        if type(result) is CoroutineType or isawaitable(result):
            result = await result
        return result if type(result) is str else python_to_rpc(result)

    return call


def _fetch(function: Callable[..., Any]) -> Handler:
    """The hot path: what the two conversions do with a request and an answer, without first looking at all else."""

    async def fetch(instance: Any, request: JsProxy, *args: Any) -> Any:
        answer = function(instance, Request(request), *args)
        if type(answer) is CoroutineType or isawaitable(answer):
            answer = await answer
        if isinstance(answer, Response):
            return answer.js_object
        return answer if isinstance(answer, JsProxy) else python_to_rpc(answer)

    return fetch
