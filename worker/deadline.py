"""How long a call to a provider may take, step by step and as a whole."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from js import AbortController, clearTimeout, setTimeout
from pyodide.ffi import JsException, JsProxy

from gateway.ports import UpstreamFailed, UpstreamSilent


class Deadline:
    """Aborts a call when a step of it, or the whole, takes too long."""

    def __init__(self) -> None:
        self._controller = AbortController.new()
        self._abort = self._controller.abort.bind(self._controller)
        self._total: int | None = None
        self.signal: JsProxy = self._controller.signal

    def set_total(self, timeout_ms: int) -> None:
        """From now on, in place of what was set before."""
        self.end()
        self._total = setTimeout(self._abort, timeout_ms)

    async def wait(self, promise: Awaitable[Any], timeout_ms: int) -> Any:
        """The promise's value; raises UpstreamSilent when it was aborted, UpstreamFailed when it failed."""
        timer = setTimeout(self._abort, timeout_ms)
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
        self._abort()
