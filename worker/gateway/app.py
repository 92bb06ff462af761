"""The gateway's front door: the route table, and what every response carries."""

from collections.abc import Awaitable, Callable

from gateway import balance, internal, listing
from gateway.completion import complete
from gateway.errors import InternalError, MethodNotAllowed, NotFound, Refusal, envelope, where
from gateway.http import CORS_HEADERS, CORS_PREFLIGHT_HEADERS, Exchange, Request, Response, json_response
from gateway.ports import Ports

Handler = Callable[[Exchange, Ports], Awaitable[Response]]


async def healthz(exchange: Exchange, ports: Ports) -> Response:
    """The Worker runs; nothing that it depends on is asked."""
    del exchange, ports
    return json_response({"status": "ok"})


ROUTES: dict[str, dict[str, Handler]] = {
    "/v1/chat/completions": {"POST": complete},
    "/v1/models": {"GET": listing.list_models},
    "/v1/models/": {"GET": listing.show_model},
    "/v1/credits": {"GET": balance.show_credits},
    "/healthz": {"GET": healthz},
    "/internal/wallets/": {"POST": internal.call_wallet},
}


async def serve(request: Request, ports: Ports) -> Response:
    """Answer any request; never raises."""
    request_id = ports.new_request_id()
    try:
        response = await _dispatch(request_id, request, ports)
    except Refusal as refusal:
        response = _refused(refusal, request_id, ports)
    except Exception as error:
        ports.log("internal_error", request_id=request_id, error=type(error).__name__, at=where(error))
        response = _refused(
            InternalError("The gateway failed; the request id helps us find out why."), request_id, ports
        )
    response.headers["x-request-id"] = request_id
    response.headers.update(CORS_HEADERS)
    return response


async def _dispatch(request_id: str, request: Request, ports: Ports) -> Response:
    path, rest = _route(request.path)
    methods = ROUTES.get(path)
    if methods is None:
        raise NotFound(f"There is nothing at {request.path!r}.")
    if request.method == "OPTIONS":
        return Response(status=204, headers=dict(CORS_PREFLIGHT_HEADERS))
    handler = methods.get(request.method)
    if handler is None:
        allowed = ", ".join(sorted({*methods, "OPTIONS"}))
        raise MethodNotAllowed(f"{request.path} does not take {request.method}.", headers={"allow": allowed})
    return await handler(Exchange(id=request_id, request=request, rest=rest), ports)


def _route(path: str) -> tuple[str, str]:
    """The route's path and the rest: ``/v1/models/glm-4.6`` is ``/v1/models/`` and ``glm-4.6``."""
    if path in ROUTES and not path.endswith("/"):
        return path, ""
    for route in ROUTES:
        if route.endswith("/") and path.startswith(route) and len(path) > len(route):
            return route, path.removeprefix(route)
    return "", ""


def _refused(refusal: Refusal, request_id: str, ports: Ports) -> Response:
    ports.log("refused", request_id=request_id, status=refusal.status, code=refusal.code)
    return json_response(envelope(refusal), status=refusal.status, headers=refusal.headers)
