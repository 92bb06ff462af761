"""The process: over real HTTP, with a merchant that takes webhooks, and again after a restart."""

import contextlib
import http.server
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509

from tests.contract.paypal.world import capture_in, order_request

ROOT = Path(__file__).parents[3]
WAIT_S = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    ready: dict[str, str]
    http: httpx2.Client

    def token(self) -> str:
        auth = (self.ready["client_id"], self.ready["client_secret"])
        answer = self.http.post("/v1/oauth2/token", data={"grant_type": "client_credentials"}, auth=auth)
        token: str = answer.json()["access_token"]
        return token

    def call(self, method: str, path: str, body: Any = None, request_id: str = "1") -> Any:
        headers = {"authorization": f"Bearer {self.token()}", "paypal-request-id": request_id}
        return self.http.request(method, path, json=body, headers=headers).json()


@contextlib.contextmanager
def running(*options: str) -> Iterator[Running]:
    command = [sys.executable, "-m", "local.paypal", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            with httpx2.Client(base_url=ready["base_url"], timeout=WAIT_S) as client:
                yield Running(ready=ready, http=client)
        finally:
            process.terminate()


@pytest.fixture
def webhooks() -> Iterator[tuple[str, "queue.Queue[dict[str, Any]]"]]:
    """An address for webhooks, and what arrives there."""
    arrived: queue.Queue[dict[str, Any]] = queue.Queue()

    class Merchant(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            arrived.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the library's name)
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Merchant) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/webhooks/paypal", arrived
        server.shutdown()
        thread.join()


def test_an_order_is_paid_over_http_and_announced(webhooks: tuple[str, "queue.Queue[dict[str, Any]]"]) -> None:
    url, arrived = webhooks
    with running("--webhook-url", url) as paypal:
        assert paypal.ready["event"] == "ready"
        assert x509.load_pem_x509_certificates(Path(paypal.ready["trust_roots_file"]).read_bytes())
        order = paypal.call("POST", "/v2/checkout/orders", order_request())
        back = paypal.http.post("/checkoutnow", data={"token": order["id"], "action": "pay", "funding": "balance"})
        assert back.headers["location"].startswith("http://merchant.test/back?")

        captured = paypal.call("POST", f"/v2/checkout/orders/{order['id']}/capture", {})

        assert capture_in(captured)["status"] == "COMPLETED"
        types = [arrived.get(timeout=WAIT_S)["event_type"] for _ in range(2)]
        assert types == ["CHECKOUT.ORDER.APPROVED", "PAYMENT.CAPTURE.COMPLETED"]


def test_a_dropped_call_ends_without_an_answer(tmp_path: Path) -> None:
    with running() as paypal:
        order = paypal.call("POST", "/v2/checkout/orders", order_request())
        paypal.http.post("/simulator/faults", json={"operation": "orders.get", "answer": "dropped"})

        with pytest.raises(httpx2.TransportError):
            paypal.call("GET", f"/v2/checkout/orders/{order['id']}")

        assert paypal.call("GET", f"/v2/checkout/orders/{order['id']}")["id"] == order["id"]


def test_a_call_may_wait_for_an_answer_that_never_comes() -> None:
    with running() as paypal:
        order = paypal.call("POST", "/v2/checkout/orders", order_request())
        token = paypal.token()
        paypal.http.post("/simulator/faults", json={"operation": "orders.get", "answer": "timeout"})

        with pytest.raises(httpx2.ReadTimeout):
            paypal.http.get(
                f"/v2/checkout/orders/{order['id']}", headers={"authorization": f"Bearer {token}"}, timeout=0.2
            )


def test_a_later_run_knows_the_payments_of_an_earlier_one(tmp_path: Path) -> None:
    options = ("--data", str(tmp_path / "paypal"))
    with running(*options) as first:
        order = first.call("POST", "/v2/checkout/orders", order_request())

    with running(*options) as second:
        assert second.ready == first.ready
        assert second.call("GET", f"/v2/checkout/orders/{order['id']}")["status"] == "PAYER_ACTION_REQUIRED"
        assert second.call("POST", "/v2/checkout/orders", order_request())["id"] == order["id"]
