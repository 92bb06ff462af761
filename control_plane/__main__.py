"""``python -m control_plane``: serve on CONTROL_PLANE_PORT, and say so in one JSON line on stdout."""

import json
import socket
import sys

import uvicorn

from control_plane import logs
from control_plane.main import create_app
from control_plane.settings import Settings

GRACEFUL_SHUTDOWN_S = 2


class Server(uvicorn.Server):
    """Prints the ready line once it accepts requests."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            host, port = sockets[0].getsockname()[:2]
            line = {"event": "ready", "control_plane_url": f"http://{host}:{port}"}
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()


def main() -> None:
    logs.configure()
    settings = Settings.from_environment()
    config = uvicorn.Config(
        create_app(settings),
        host=settings.control_plane_host,
        port=settings.control_plane_port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_S,
    )
    Server(config).run(sockets=[config.bind_socket()])


if __name__ == "__main__":
    main()
