"""How long a call to a provider may take, step by step and as a whole."""

import asyncio
from collections.abc import Awaitable
from functools import cache
from typing import Any

from js import AbortController, Function, clearTimeout, setTimeout
from pyodide.ffi import JsException, JsProxy

from gateway.ports import UpstreamFailed, UpstreamSilent


class Deadline:
    """Aborts a call when a step of it, or the whole, takes too long."""

    def __init__(self) -> None:
        self._controller = AbortController.new()
        self._total: int | None = None
        self.signal: JsProxy = self._controller.signal

    def set_total(self, timeout_ms: int) -> None:
        """From now on, in place of what was set before."""
        self.end()
        self._total = setTimeout(_abort(), timeout_ms, self._controller)

    async def wait(self, promise: Awaitable[Any], timeout_ms: int) -> Any:
        """The promise's value; raises UpstreamSilent when it was aborted, UpstreamFailed when it failed."""
        timer = setTimeout(_abort(), timeout_ms, self._controller)
        try:
            return await promise
        except JsException as error:
            aborted = self._controller.signal.aborted
            self.end()
            raise (UpstreamSilent if aborted else UpstreamFailed)(error.name) from error
        except asyncio.CancelledError:
            self.abort()
            raise
        finally:
            clearTimeout(timer)

    def end(self) -> None:
        """Nothing more is awaited."""
        if self._total is not None:
            clearTimeout(self._total)

    def abort(self) -> None:
        """Drop the connection."""
        self.end()
        self._controller.abort()


@cache
def _abort() -> JsProxy:
    """Aborts the controller that it is given."""
    return Function.prototype.call.bind(AbortController.prototype.abort)
