"""``python -m control_plane``: serve on CONTROL_PLANE_PORT, and say so in one JSON line on stdout."""

import gc
import json
import socket
import sys

import uvicorn

from control_plane import logs
from control_plane.main import create_app
from control_plane.settings import Settings

GRACEFUL_SHUTDOWN_S = 2

COLLECTED_AFTER = 20_000
"""How many containers are made until the collector looks through them. A transaction of the intake makes 60,000, all of
which live until its end."""


class Server(uvicorn.Server):
    """Prints the ready line once it accepts requests."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.freeze()  # what is there now lives as long as the process, so it need not be looked through
        gc.set_threshold(COLLECTED_AFTER)
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
