"""The Worker's event loop, on stand-ins for the engine: what one request leaves undone holds no other up."""

import asyncio
import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


class Engine:
    """The microtasks that were asked for."""

    def __init__(self) -> None:
        self.microtasks: list[Callable[[], None]] = []

    def run_microtasks(self) -> None:
        while self.microtasks:
            self.microtasks.pop(0)()


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    engine = Engine()
    modules: dict[str, dict[str, Any]] = {
        "js": {"queueMicrotask": engine.microtasks.append},
        "pyodide": {},
        "pyodide.ffi": {"JsProxy": object, "create_proxy": lambda function: function},
    }
    for name, values in modules.items():
        module = ModuleType(name)
        vars(module).update(values)
        monkeypatch.setitem(sys.modules, name, module)
    return engine


@pytest.fixture
def turns(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.delitem(sys.modules, "event_loop", raising=False)
    failures: list[dict[str, Any]] = []
    loop = SimpleNamespace(call_exception_handler=failures.append, failures=failures)
    yield importlib.import_module("event_loop").Turns(loop)
    asyncio._set_running_loop(None)
    del sys.modules["event_loop"]


def test_turns_are_taken_in_order_those_of_a_turn_as_well(engine: Engine, turns: Any) -> None:
    taken: list[str] = []

    def first() -> None:
        taken.append("first")
        turns.call_soon(taken.append, "third")

    turns.call_soon(first)
    turns.call_soon(taken.append, "second")
    turns.call_soon(taken.append, "never").cancel()

    engine.run_microtasks()

    assert taken == ["first", "second", "third"]


def test_a_turn_that_fails_holds_no_other_up(engine: Engine, turns: Any) -> None:
    taken: list[str] = []
    turns.call_soon(lambda: 1 / 0)
    turns.call_soon(taken.append, "next")

    engine.run_microtasks()

    assert taken == ["next"]
    assert [type(failure["exception"]) for failure in turns._loop.failures] == [ZeroDivisionError]


def test_a_turn_does_not_wait_for_a_microtask_that_was_lost(engine: Engine, turns: Any) -> None:
    taken: list[str] = []
    turns.call_soon(taken.append, "lost")
    engine.microtasks.clear()

    turns.call_soon(taken.append, "next")
    engine.run_microtasks()

    assert taken == ["lost", "next"]


def test_a_turn_does_not_wait_for_a_run_that_is_never_over(engine: Engine, turns: Any) -> None:
    taken: list[str] = []
    began, over = threading.Event(), threading.Event()

    def never_over() -> None:
        began.set()
        over.wait()

    turns.call_soon(never_over)
    stuck = threading.Thread(target=engine.microtasks.pop(), daemon=True)
    stuck.start()
    began.wait()

    turns.call_soon(taken.append, "next")
    engine.run_microtasks()

    assert taken == ["next"]
    over.set()
    stuck.join()
