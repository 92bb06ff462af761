"""Around every request: its id, a bound on its body, its line in the log, its figures, and the last resort."""

import time
from typing import Any

import structlog
from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from control_plane.api import problems
from control_plane.metrics import Metrics
from control_plane.randomness import RandomBytes

REQUEST_ID_HEADER = "x-request-id"
BODY_MAX_BYTES = 256 * 1024
# Batches of usage are larger and have a bound of their own.
UNBOUNDED_PREFIX = "/internal/"

log = structlog.get_logger()


class Observation:
    """ASGI middleware. A request that failed unexpectedly is answered 500 without a word of why."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, randomness: RandomBytes) -> None:
        self._app = app
        self._metrics = metrics
        self._randomness = randomness

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send, request_id=f"req_{self._randomness(12).hex()}")
        began = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request_id=answer.request_id):
            try:
                await self._app(scope, _bounded(scope, receive), answer.send)
            except Exception:
                log.exception("request_failed", method=scope["method"], route=_route(scope))
                if answer.status is not None:
                    raise
                await problems.render(problems.internal_error())(scope, receive, answer.send)
            self._record(scope, answer.status or 0, time.perf_counter() - began)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        method, route = scope["method"], _route(scope)
        self._metrics.requests.labels(method, route, str(status)).inc()
        self._metrics.request_seconds.labels(route).observe(seconds)
        log.info("request", method=method, route=route, status=status, ms=round(seconds * 1000, 1))


class _Answer:
    """Adds the request id to the answer, and remembers whether it has begun."""

    def __init__(self, send: Send, *, request_id: str) -> None:
        self._send = send
        self.request_id = request_id
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ()), (REQUEST_ID_HEADER.encode(), self.request_id.encode())]
            message = {**message, "headers": headers}
        await self._send(message)


def _bounded(scope: Scope, receive: Receive) -> Receive:
    """``receive`` that refuses a body of more than BODY_MAX_BYTES as soon as it is that long."""
    if scope["path"].startswith(UNBOUNDED_PREFIX):
        return receive
    received = 0

    async def bounded() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > BODY_MAX_BYTES:
            raise HTTPException(413, "Request too large")
        return message

    return bounded


def _route(scope: Scope) -> str:
    """The route's template, so that figures and logs hold no ids of their own."""
    route: Any = scope.get("route")
    return getattr(route, "path", "unmatched")
