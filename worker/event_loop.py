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


class Turn(list[Any]):
    """A callback that waits for its turn, what asyncio calls a Handle: its context, itself, its arguments; nothing once
    it is cancelled."""

    __slots__ = ()

    def cancel(self) -> None:
        self.clear()

    def cancelled(self) -> bool:
        return not self


class Turns:
    """The turns that are due in one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ready: deque[Turn] = deque()
        self._run_proxy: JsProxy | None = None

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> Turn:
        """As ``asyncio.AbstractEventLoop.call_soon``."""
        turn = Turn((copy_context() if context is None else context, callback, args))
        self._ready.append(turn)
        # A microtask for each, though the first takes all that is ready: where the platform ends a request by force,
        # its microtask is lost, or never over.
        if self._run_proxy is None:  # not earlier: a memory snapshot of the Worker can keep no proxy
            self._run_proxy = create_proxy(self._run)
        queueMicrotask(self._run_proxy)
        return turn

    def create_future(self) -> asyncio.Future[Any]:
        """As ``asyncio.AbstractEventLoop.create_future``."""
        return asyncio.Future(loop=self._loop)

    def create_task(self, work: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:
        """As ``asyncio.AbstractEventLoop.create_task``, but it begins at once, not in a turn of its own."""
        # A handler that may suspend runs in a thread state of its own, which knows of no loop.
        asyncio._set_running_loop(self._loop)
        return asyncio.Task(work, loop=self._loop, eager_start=True, **options)  # type: ignore[call-arg]

    def _run(self) -> None:
        asyncio._set_running_loop(self._loop)
        ready = self._ready
        while ready:
            if turn := ready.popleft():
                context, callback, args = turn
                try:
                    context.run(callback, *args)
                except Exception as error:
                    told = {"message": "a callback of the event loop failed", "exception": error}
                    self._loop.call_exception_handler(told)


def make_lean() -> None:
    """The loop that is there, from now on."""
    loop = asyncio.get_event_loop()
    turns = Turns(loop)
    loop.call_soon = turns.call_soon  # type: ignore[method-assign,assignment]
    loop.create_future = turns.create_future  # type: ignore[method-assign]
    loop.get_debug = bool  # type: ignore[method-assign] # false, and asked for each future and task
    loop.create_task = turns.create_task  # type: ignore[method-assign,assignment]
