"""A provider that answers only when a test lets it, so that one can look at what is held meanwhile."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 7,
    "total_tokens": 18,
    "prompt_tokens_details": {"cached_tokens": 4},
}
"""What every answer reports."""

Json = dict[str, Any]


class GatedLab:
    """OpenAI's chat completions, streams and whole answers alike. ``requests`` are the bodies that came, in order."""

    def __init__(self) -> None:
        self.requests: list[Json] = []
        self._open = threading.Event()
        self._open.set()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self.base_url = f"http://127.0.0.1:{self._server.server_port}/v1"

    @contextmanager
    def running(self) -> "Iterator[GatedLab]":
        serving = threading.Thread(target=self._server.serve_forever, daemon=True)
        serving.start()
        try:
            yield self
        finally:
            self._open.set()
            self._server.shutdown()
            self._server.server_close()
            serving.join()

    @contextmanager
    def shut(self) -> Iterator[None]:
        """What is asked within is answered after."""
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        lab = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                lab.requests.append(body)
                lab._open.wait()
                content_type, answer = _stream() if body.get("stream") else _whole()
                self.send_response(200)
                self.send_header("content-type", content_type)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
                """Says nothing."""

        return Handler


class _Server(ThreadingHTTPServer):
    request_queue_size = 256


def _whole() -> tuple[str, bytes]:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": USAGE}
    return "application/json", json.dumps(body).encode()


def _stream() -> tuple[str, bytes]:
    chunks = [_chunk({"role": "assistant", "content": "Hello"}), _chunk({}, finish_reason="stop", usage=USAGE)]
    events = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return "text/event-stream", "".join([*events, "data: [DONE]\n\n"]).encode()


def _chunk(delta: Json, *, finish_reason: str | None = None, usage: Json | None = None) -> Json:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": usage,
    }
