"""An upstream whose event stream a test sends, event by event."""

import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType


class ControlledUpstream:
    """Answers every GET with an event stream that carries what `send` is given, until `finish`."""

    def __init__(self) -> None:
        events: queue.Queue[bytes | None] = queue.Queue()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.end_headers()
                while (event := events.get()) is not None:
                    self.wfile.write(event)
                    self.wfile.flush()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
                """Says nothing."""

        self._events = events
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def send(self, event: bytes) -> None:
        self._events.put(event)

    def finish(self) -> None:
        self._events.put(None)

    def __enter__(self) -> "ControlledUpstream":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish()
        self._server.shutdown()
        self._server.server_close()
