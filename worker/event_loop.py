"""Python's event loop with less work behind each step.

Pyodide's loop gives every turn a closure, a proxy and a stack to suspend on, and every task and promise a turn more to
count it out. Here what is ready waits in a queue, and one microtask takes all of it; tasks and futures are asyncio's
own. Nothing of two requests mixes, because a request's microtasks are done before another one's event begins.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any

from js import queueMicrotask
from pyodide.ffi import JsProxy, create_proxy

from webapi import now_ms


class Turn:
    """A callback that waits for its turn: what asyncio calls a Handle."""

    __slots__ = ("args", "callback", "context", "is_cancelled")

    def __init__(self, callback: Callable[..., Any], args: tuple[Any, ...], context: Context) -> None:
        self.callback = callback
        self.args = args
        self.context = context
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True

    def cancelled(self) -> bool:
        return self.is_cancelled


class Turns:
    """The turns that are due in one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ready: deque[Turn] = deque()
        self._running_ms: int | None = None
        self._run_proxy: JsProxy | None = None

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> Turn:
        """As ``asyncio.AbstractEventLoop.call_soon``."""
        turn = Turn(callback, args, copy_context() if context is None else context)
        self._ready.append(turn)
        # Where the platform ends a request by force, its microtask is lost, or its run is never over. So nobody waits
        # for another's microtask, nor for a run that began at another time.
        if self._running_ms is None or self._running_ms != now_ms():
            self._await_microtask()
        return turn

    def create_future(self) -> asyncio.Future[Any]:
        """As ``asyncio.AbstractEventLoop.create_future``."""
        return asyncio.Future(loop=self._loop)

    def create_task(self, work: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:
        """As ``asyncio.AbstractEventLoop.create_task``, but it begins at once, not in a turn of its own."""
        self._be_running()
        return asyncio.Task(work, loop=self._loop, eager_start=True, **options)  # type: ignore[call-arg]

    def _await_microtask(self) -> None:
        if self._run_proxy is None:  # not earlier: a memory snapshot of the Worker can keep no proxy
            self._run_proxy = create_proxy(self._run)
        queueMicrotask(self._run_proxy)

    def _run(self) -> None:
        self._be_running()
        ready = self._ready
        self._running_ms = now_ms()
        try:
            while ready:
                turn = ready.popleft()
                if not turn.is_cancelled:
                    turn.context.run(turn.callback, *turn.args)
        except Exception as error:
            self._loop.call_exception_handler({"message": "a callback of the event loop failed", "exception": error})
        finally:
            self._running_ms = None
            if ready:
                self._await_microtask()

    def _be_running(self) -> None:
        """A handler that may suspend runs in a thread state of its own, which knows of no loop."""
        if asyncio._get_running_loop() is not self._loop:
            asyncio._set_running_loop(self._loop)


def make_lean() -> None:
    """The loop that is there, from now on."""
    loop = asyncio.get_event_loop()
    turns = Turns(loop)
    loop.call_soon = turns.call_soon  # type: ignore[method-assign,assignment]
    loop.create_future = turns.create_future  # type: ignore[method-assign]
    loop.get_debug = bool  # type: ignore[method-assign] # false, and asked for each future and task
    loop.create_task = turns.create_task  # type: ignore[method-assign,assignment]
