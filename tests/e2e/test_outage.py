"""The control plane may die at any instruction: the edge serves on, and nothing is lost or counted twice."""

import asyncio
import itertools
from pathlib import Path

import httpx2

from tests.e2e.admin import Admin
from tests.e2e.chat import ONE_OF_EACH_LAB, prompt
from tests.e2e.parts import Parts

CALLERS = 4
CALLS_BEFORE, CALLS_DURING, CALLS_AFTER = 40, 200, 40
OUTAGE_S = 6
"""At least: so long that what the edge sends meanwhile is refused, and must come again."""


class Traffic:
    """Callers that make one call after another until told to stop; every answer is kept."""

    def __init__(self, base_url: str, api_key: str) -> None:
        self.answers: list[httpx2.Response] = []
        self._url, self._headers = f"{base_url}/chat/completions", {"authorization": f"Bearer {api_key}"}
        self._numbers = itertools.count()
        self._stopped = asyncio.Event()
        self._progress = asyncio.Condition()

    async def run(self) -> None:
        async with httpx2.AsyncClient(headers=self._headers, timeout=30) as client, asyncio.TaskGroup() as callers:
            for _ in range(CALLERS):
                callers.create_task(self._call_on(client))

    async def after(self, count: int) -> None:
        """Returns when so many more calls have been answered."""
        goal = len(self.answers) + count
        async with self._progress:
            await self._progress.wait_for(lambda: len(self.answers) >= goal)

    def stop(self) -> None:
        self._stopped.set()

    async def _call_on(self, client: httpx2.AsyncClient) -> None:
        while not self._stopped.is_set():
            number = next(self._numbers)
            model = ONE_OF_EACH_LAB[number % len(ONE_OF_EACH_LAB)]
            text = f"Call {number} [[lab tokens=5 delay_ms=10]]"
            # A small limit keeps the holds small, so that the demo's dollar is enough.
            body = prompt(text, model=model, max_tokens=100, stream=number % 2 == 1)
            self.answers.append(await client.post(self._url, json=body))
            async with self._progress:
                self._progress.notify_all()


async def test_calls_are_answered_without_the_control_plane_and_booked_once_when_it_is_back(tmp_path: Path) -> None:
    async with Parts.running(tmp_path / "data") as parts:
        demo = await parts.demo()
        traffic = Traffic(f"{demo.edge_url}/v1", demo.api_key)
        running = asyncio.create_task(traffic.run())

        await traffic.after(CALLS_BEFORE)
        await parts.kill_control_plane()
        await asyncio.gather(traffic.after(CALLS_DURING), asyncio.sleep(OUTAGE_S))
        await parts.start_control_plane()
        await traffic.after(CALLS_AFTER)
        traffic.stop()
        await running

        assert [answer.text for answer in traffic.answers if answer.status_code != 200] == []
        await asyncio.to_thread(check_books, demo.control_plane_url, demo.admin_token, demo.account_id, traffic)


def check_books(control_plane_url: str, admin_token: str, account_id: str, traffic: Traffic) -> None:
    admin = Admin(control_plane_url, admin_token)
    request_ids = {answer.headers["x-request-id"] for answer in traffic.answers}
    records = admin.records_of(account_id, request_ids)

    assert len(records) == len(admin.usage(account_id)) == len(traffic.answers)
    assert {record["state"] for record in records.values()} == {"complete"}
    assert admin.reconciled()["difference_nano_usd"] == 0
    assert admin.settled(account_id)["held_usd"] == "0.00"
    admin.close()
