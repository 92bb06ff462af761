"""A simulator in this process, a merchant who calls it, and the merchant's address for webhooks.

Each answer of PayPal's API is held to what PayPal publishes.
"""

import asyncio
import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import httpx2

from local.paypal.app import create_app
from local.paypal.certificates import Signing
from local.paypal.clock import Clock
from local.paypal.desk import Desk
from local.paypal.merchant import Merchant
from tests.contract.paypal.published import assert_answer_is_valid, assert_request_is_valid

BASE_URL = "http://paypal.test"
WEBHOOK_URL = "http://merchant.test/webhooks/paypal"
START_MS = 1_767_258_000_123  # 2026-01-01T09:00:00.123Z
HOUR_S = 3600
DAY_S = 24 * HOUR_S

Json = dict[str, Any]


class Receiver:
    """The merchant's address for webhooks. It answers as it was told, and then 200."""

    def __init__(self) -> None:
        self.requests: list[httpx2.Request] = []
        self.answers: list[int] = []
        self._arrived = asyncio.Condition()

    async def handle(self, request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        async with self._arrived:
            self.requests.append(request)
            self._arrived.notify_all()
        return httpx2.Response(self.answers.pop(0) if self.answers else 200)

    @property
    def events(self) -> list[Json]:
        return [json.loads(request.content) for request in self.requests]

    @property
    def event_types(self) -> list[str]:
        return [event["event_type"] for event in self.events]

    async def arrived(self, count: int) -> None:
        """Returns when that many have come in all."""
        async with asyncio.timeout(10), self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= count)


class Machine:
    """A clock that stands still."""

    def now_ms(self) -> int:
        return START_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    desk: Desk
    http: httpx2.AsyncClient
    receiver: Receiver = field(default_factory=Receiver)

    @classmethod
    def make(cls, signing: Signing) -> "World":
        receiver = Receiver()
        desk = Desk.open(
            base_url=BASE_URL,
            merchant=Merchant.make(),
            signing=signing,
            webhook_url=WEBHOOK_URL,
            clock=Clock(Machine().now_ms),
            webhook_transport=httpx2.MockTransport(receiver.handle),
        )
        http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=create_app(desk)), base_url=BASE_URL)
        return cls(desk=desk, http=http, receiver=receiver)

    async def call(
        self, method: str, path: str, body: Json | None = None, *, request_id: str | None = None, minimal: bool = False
    ) -> httpx2.Response:
        """A call of the API with a valid token, whose answer is as published."""
        headers = {"authorization": f"Bearer {await self.token()}"}
        if not minimal:
            headers["prefer"] = "return=representation"
        if request_id is not None:
            headers["paypal-request-id"] = request_id
        answer = await self.http.request(method, path, json=body, headers=headers)
        assert_answer_is_valid(method, path.partition("?")[0], answer.status_code, answer.json())
        return answer

    async def token(self) -> str:
        merchant = self.desk.merchant
        answer = await self.http.post(
            "/v1/oauth2/token",
            data={"grant_type": "client_credentials"},
            auth=(merchant.client_id, merchant.client_secret),
        )
        token: str = answer.json()["access_token"]
        return token

    async def create(self, value: str = "1.00", *, request_id: str = "create", **unit: Any) -> Json:
        body = order_request(value, **unit)
        assert_request_is_valid("POST", "/v2/checkout/orders", body)
        answer = await self.call("POST", "/v2/checkout/orders", body, request_id=request_id)
        assert answer.status_code in (200, 201), answer.text
        order: Json = answer.json()
        return order

    async def approved(self, funding: str = "balance", **unit: Any) -> str:
        """The id of an order that the buyer has approved."""
        order_id: str = (await self.create(**unit))["id"]
        await self.simulate("POST", f"/orders/{order_id}/approve", {"funding": funding})
        return order_id

    async def captured(self, funding: str = "balance", **unit: Any) -> Json:
        """The capture of an order that the buyer has approved."""
        order_id = await self.approved(funding, **unit)
        answer = await self.call("POST", f"/v2/checkout/orders/{order_id}/capture", {})
        assert answer.status_code == 201, answer.text
        return capture_in(answer.json())

    async def get(self, path: str) -> Json:
        answer = await self.call("GET", path)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    async def simulate(self, method: str, path: str, body: Json | None = None) -> Json:
        answer = await self.http.request(method, f"/simulator{path}", json=body)
        assert answer.is_success, answer.text
        said: Json = answer.json() if answer.content else {}
        return said

    async def advance(self, seconds: float) -> None:
        await self.simulate("POST", "/clock", {"advance_s": seconds})

    async def delivered(self) -> list[Json]:
        """The events that the merchant has had, once nothing more is due."""
        async with asyncio.timeout(10):
            await self.simulate("POST", "/deliveries/drain")
        return self.receiver.events

    async def page(self, order: Json) -> "Page":
        url = next(link["href"] for link in order["links"] if link["rel"] in ("approve", "payer-action"))
        return Page.read((await self.http.get(url)).text)


class Page(HTMLParser):
    """The page of an order: its text and its form."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self.fundings: list[str] = []
        self.buttons: dict[str, str] = {}
        self._button: str | None = None

    @classmethod
    def read(cls, html: str) -> "Page":
        page = cls()
        page.feed(html)
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        match tag, given.get("type"):
            case "form", _:
                self.action = given["action"]
            case "input", "hidden":
                self.fields[given["name"]] = given["value"]
            case "input", "radio":
                self.fundings.append(given["value"])
                if "checked" in given:
                    self.fields[given["name"]] = given["value"]
            case "button", _:
                self._button = given["value"]

    def handle_data(self, data: str) -> None:
        if self._button is not None:
            self.buttons[data.strip()] = self._button
            self._button = None
        self.text += data


def order_request(value: str = "1.00", currency: str = "USD", **unit: Any) -> Json:
    """What a merchant who sells prepaid credit asks for."""
    return {
        "intent": "CAPTURE",
        "purchase_units": [
            {
                "amount": {"currency_code": currency, "value": value},
                "custom_id": "topup_1",
                "description": "Prepaid credit",
                **unit,
            }
        ],
        "payment_source": {
            "paypal": {
                "experience_context": {
                    "brand_name": "Acme & Sons",
                    "landing_page": "GUEST_CHECKOUT",
                    "user_action": "PAY_NOW",
                    "shipping_preference": "NO_SHIPPING",
                    "payment_method_preference": "UNRESTRICTED",
                    "return_url": "http://merchant.test/back?top_up=1",
                    "cancel_url": "http://merchant.test/cancelled",
                }
            }
        },
    }


def capture_in(order: Json) -> Json:
    [capture] = order["purchase_units"][0]["payments"]["captures"]
    found: Json = capture
    return found


def issue_of(answer: httpx2.Response) -> str:
    issue: str = answer.json()["details"][0]["issue"]
    return issue


def linked(body: Json, rel: str) -> str:
    href: str = next(link["href"] for link in body["links"] if link.get("rel") == rel)
    return href
