"""Run PayPal: ``python -m local.paypal --port 0``. The first line on stdout says where it is and how to log in.

With ``--data``, certificates, credentials, books and the port are kept in that folder from one run to the next.
"""

import argparse
import json
import os
import socket
import tempfile
from pathlib import Path

import uvicorn

from local.labs.connection import BreakableProtocol
from local.paypal import certificates
from local.paypal.app import create_app
from local.paypal.desk import Desk
from local.paypal.merchant import Merchant

SHUTDOWN_S = 1


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="paypal-") as temporary:
        folder = arguments.data or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        listener = _listener(arguments.host, arguments.port, folder / "port")
        desk = _desk(folder, listener, arguments)
        # The listener takes connections from here on.
        print(json.dumps(_ready_line(desk, folder)), flush=True)
        config = uvicorn.Config(
            create_app(desk),
            http=BreakableProtocol,
            ws="none",
            access_log=False,
            server_header=False,
            log_level="error",
            timeout_graceful_shutdown=SHUTDOWN_S,
        )
        uvicorn.Server(config).run(sockets=[listener])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.paypal", description="A simulator of PayPal")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--data", type=Path, help="folder to keep certificates, credentials and books in")
    parser.add_argument("--webhook-url", default=os.environ.get("WEBHOOK_URL"), help="where webhooks are delivered")
    parser.add_argument("--retry-scale", type=float, default=1.0, help="factor on the gaps between delivery attempts")
    return parser.parse_args()


def _listener(host: str, port: int, kept: Path) -> socket.socket:
    """On the port asked for, else on the one of the run before, which links of that run still name, else a free one."""
    wanted = port or (int(kept.read_text()) if kept.exists() else 0)
    try:
        listener = socket.create_server((host, wanted))
    except OSError:
        if port:
            raise
        listener = socket.create_server((host, 0))
    kept.write_text(str(listener.getsockname()[1]))
    return listener


def _desk(folder: Path, listener: socket.socket, arguments: argparse.Namespace) -> Desk:
    host, port = listener.getsockname()[:2]
    return Desk.open(
        base_url=f"http://{host}:{port}",
        merchant=Merchant.load_or_make(folder / "merchant.json"),
        signing=certificates.load_or_make(folder),
        webhook_url=arguments.webhook_url,
        retry_scale=arguments.retry_scale,
        books_file=folder / "books.json" if arguments.data else None,
    )


def _ready_line(desk: Desk, folder: Path) -> dict[str, str]:
    return {
        "event": "ready",
        "base_url": desk.shapes.base_url,
        "client_id": desk.merchant.client_id,
        "client_secret": desk.merchant.client_secret,
        "webhook_id": desk.merchant.webhook_id,
        "merchant_id": desk.merchant.merchant_id,
        "trust_roots_file": str((folder / certificates.TRUST_ROOTS_FILE).absolute()),
    }


if __name__ == "__main__":
    main()
