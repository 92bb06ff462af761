"""Run the labs: ``python -m local.labs --port 0``. The first line on stdout says where they are."""

import argparse
import json
import socket

import uvicorn

from local.labs.app import LABS, create_app
from local.labs.connection import BreakableProtocol

BACKLOG = 2048
SHUTDOWN_S = 1


def main() -> None:
    arguments = _arguments()
    listener = socket.create_server((arguments.host, arguments.port), backlog=BACKLOG)
    config = uvicorn.Config(
        create_app(),
        http=BreakableProtocol,
        loop="uvloop",
        ws="none",
        lifespan="off",
        access_log=False,
        server_header=False,
        log_level="error",
        backlog=BACKLOG,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    # The listener takes connections from here on.
    print(json.dumps({"event": "ready", "base_urls": _base_urls(listener)}), flush=True)
    uvicorn.Server(config).run(sockets=[listener])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.labs", description="Simulators of the labs")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    return parser.parse_args()


def _base_urls(listener: socket.socket) -> dict[str, str]:
    host, port = listener.getsockname()[:2]
    paths = {name: path for lab in LABS for name, path in {lab.name: next(iter(lab.bases)), **lab.versions}.items()}
    return {f"{name.upper()}_BASE_URL": f"http://{host}:{port}{path}" for name, path in paths.items()}


if __name__ == "__main__":
    main()
