"""The control plane and the edge may be killed at any instruction: nothing is lost, doubled, or held past its time."""

import asyncio
import itertools
import json
import random
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx2

from tests.e2e.admin import Account, Admin, Record
from tests.e2e.internal import Internal
from tests.e2e.parts import Parts
from tests.e2e.purse import MODEL, TARGET, nano_usd
from tests.e2e.waiting import eventually

SEED = 20261124
ROUNDS: dict["Victim", int] = {"control plane": 34, "edge": 8, "both": 8}
ACCOUNTS = 3
CALLERS_OF_EACH = 2
MOST_CALLS_BETWEEN = 10
SETTLING_LIMIT_S = 180
"""A hold of the last call expires after 18 s, and what was on its way is sent again after a minute."""

Victim = Literal["control plane", "edge", "both"]

# A hold expires when its call must have ended, and some seconds; so calls may not take long here.
PROVIDER = """
[providers.{name}]
dialect = "{name}"
base_url = "https://lab.invalid"
api_key_env = "{variable}_API_KEY"
first_event_timeout_ms = 1500
idle_timeout_ms = 1000
total_timeout_ms = 3000
"""
LABS = {"deepseek": "deepseek-flash", "spark": "4.0Ultra"}

FAULTS = ["", "", "", "", "fault=http-503", "fault=reset-mid at=4", "fault=stall at=4"]


def catalogue() -> str:
    providers = (PROVIDER.format(name=name, variable=name.upper()) for name in LABS)
    models = (
        MODEL.format(name=name, targets=TARGET.format(name=name, provider=name, model=model))
        for name, model in LABS.items()
    )
    return "".join((*providers, *models))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a caller saw of one call. ``tokens`` are those of the answer, None where it did not come whole.

    ``edge`` is the number of the edge process that it went to.
    """

    request_id: str | None
    status: int | None
    tokens: int | None
    edge: int


class Traffic:
    """Callers that make one call after another until told to stop; while the edge is down they wait for it."""

    def __init__(self, edge_url: str) -> None:
        self.seen: dict[str, list[Seen]] = {}
        self.edge = 0
        self.edge_is_up = asyncio.Event()
        self.edge_is_up.set()
        self._url = f"{edge_url}/v1/chat/completions"
        self._numbers = itertools.count()
        self._stopped = False
        self._answers = 0
        self._progress = asyncio.Condition()

    async def run(self, account: Account) -> None:
        seen = self.seen.setdefault(account.id, [])
        async with httpx2.AsyncClient(headers={"authorization": f"Bearer {account.api_key}"}, timeout=30) as client:
            while not self._stopped:
                await self.edge_is_up.wait()
                seen.append(await self._call(client, next(self._numbers)))
                async with self._progress:
                    self._answers += seen[-1].status is not None
                    self._progress.notify_all()

    async def after(self, count: int) -> None:
        """Returns when so many more calls have been answered, in whatever way."""
        goal = self._answers + count
        async with self._progress:
            await self._progress.wait_for(lambda: self._answers >= goal)

    def stop(self) -> None:
        self._stopped = True

    async def _call(self, client: httpx2.AsyncClient, number: int) -> Seen:
        body, edge, text, request_id, status = _body(number), self.edge, "", None, None
        try:
            async with client.stream("POST", self._url, json=body) as answer:
                request_id, status = answer.headers["x-request-id"], answer.status_code
                text = (await answer.aread()).decode()
        except httpx2.TransportError:
            return Seen(request_id=request_id, status=None, tokens=None, edge=edge)
        tokens = _tokens(text, stream=body["stream"]) if status == 200 else None
        return Seen(request_id=request_id, status=status, tokens=tokens, edge=edge)


def _body(number: int) -> dict[str, Any]:
    """Streams and whole answers of both labs, some of them spoilt by a fault."""
    fault = FAULTS[number % len(FAULTS)]
    text = f"Call {number} [[lab tokens={_asked(number)} reasoning=0 delay_ms=10 {fault}]]"
    return {
        "model": list(LABS)[number % 2],
        "messages": [{"role": "user", "content": text}],
        "max_tokens": 100,
        "stream": number % 3 > 0,
        "stream_options": {"include_usage": True},
    }


def _asked(number: int) -> int:
    return 5 + number % 11


def _tokens(text: str, *, stream: bool) -> int | None:
    """The completion tokens that an answer says it has, None where it broke off."""
    last = text
    if stream:
        events = [line.removeprefix("data:").strip() for line in text.splitlines() if line.startswith("data:")]
        if events[-1:] != ["[DONE]"]:
            return None
        last = events[-2]
    tokens: int = json.loads(last)["usage"]["completion_tokens"]
    return tokens


class Killer:
    """Kills parts at random moments, and starts them again."""

    def __init__(self, parts: Parts, traffic: Traffic) -> None:
        self.edges_killed: set[int] = set()
        self._parts, self._traffic = parts, traffic
        self._random = random.Random(SEED)  # noqa: S311 (moments, no secrets)

    async def run(self) -> None:
        victims = [victim for victim, count in ROUNDS.items() for _ in range(count)]
        self._random.shuffle(victims)
        for victim in victims:
            await self._traffic.after(self._random.randint(0, MOST_CALLS_BETWEEN))
            # So that it is at no particular step of a call.
            await asyncio.sleep(self._random.uniform(0, 0.1))
            await self._strike(victim)

    async def _strike(self, victim: Victim) -> None:
        async with asyncio.TaskGroup() as strikes:
            if victim != "edge":
                strikes.create_task(self._restart_control_plane())
            if victim != "control plane":
                strikes.create_task(self._restart_edge())

    async def _restart_control_plane(self) -> None:
        await self._parts.kill_control_plane()
        await self._parts.start_control_plane()

    async def _restart_edge(self) -> None:
        self._traffic.edge_is_up.clear()
        await self._parts.kill_edge()
        self.edges_killed.add(self._traffic.edge)
        self._traffic.edge += 1
        await self._parts.start_edge()
        self._traffic.edge_is_up.set()


async def test_50_kills_under_load_lose_double_and_hold_nothing(tmp_path: Path) -> None:
    (tmp_path / "catalogue.toml").write_text(catalogue())
    settings = {"HAOTOKAI_CATALOGUE": str(tmp_path / "catalogue.toml"), "TRIAL_CREDIT_USD": "0"}
    async with Parts.running(tmp_path / "data", settings=settings) as parts:
        await parts.demo()
        with closing(parts.admin()) as admin, closing(parts.internal()) as internal:
            accounts = [admin.open_account() for _ in range(ACCOUNTS)]
            traffic = Traffic(parts.edge_url)
            killer = Killer(parts, traffic)
            async with asyncio.TaskGroup() as running:
                for account in accounts * CALLERS_OF_EACH:
                    running.create_task(traffic.run(account))
                await killer.run()
                traffic.stop()

            for account in accounts:
                seen = traffic.seen[account.id]
                records = await asyncio.to_thread(settled_records, admin, internal, account)
                check_calls(seen, records, killer.edges_killed)
            reconciliation = admin.reconcile()
        quarantined = count_quarantined(parts.database)

    assert reconciliation["difference_nano_usd"] == 0
    assert [line["difference_nano_usd"] for line in reconciliation["accounts"]] == [0] * len(reconciliation["accounts"])
    assert {account.id for account in accounts} <= {line["account_id"] for line in reconciliation["accounts"]}
    assert quarantined == 0


def settled_records(admin: Admin, internal: Internal, account: Account) -> list[Record]:
    """The account's records, when its Wallet holds nothing and keeps nothing any more; all books are equal then."""
    wallet = eventually(
        lambda: internal.state(account.id),
        lambda state: state.open_holds == 0 and state.unacknowledged_records == 0,
        limit_s=SETTLING_LIMIT_S,
    )
    records = admin.usage(account.id)
    assert wallet.held_nano_usd == 0
    assert wallet.settled_nano_usd == nano_usd(admin.account(account.id)["spent_usd"])
    assert wallet.settled_nano_usd == sum(record["cost_nano_usd"] for record in records)
    return records


def count_quarantined(database: Path) -> int:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        count: int = connection.execute("SELECT COUNT(*) FROM quarantine").fetchone()[0]
    return count


def check_calls(seen: list[Seen], records: list[Record], edges_killed: set[int]) -> None:
    """Each call that was answered has one record, of what its caller saw; one that was cut has one at most."""
    by_id = {record["request_id"]: record for record in records}
    assert len(by_id) == len(records) <= len(seen)
    for call in seen:
        if call.status is None or call.request_id is None:
            continue
        record = by_id[call.request_id]
        if record["state"] == "abandoned":
            # The answer had gone out, but the edge died before it could tell the Wallet.
            assert (record["cost_nano_usd"], call.status, call.edge in edges_killed) == (0, 200, True)
        elif call.tokens is not None:
            assert (record["state"], record["completion_tokens"]) == ("complete", call.tokens)
        else:
            assert record["state"] == ("partial" if call.status == 200 else "failed")
    unsettled = sum(call.tokens is not None and by_id[call.request_id or ""]["state"] == "abandoned" for call in seen)
    states = Counter(record["state"] for record in records)
    print(f"{len(seen)} calls, {dict(states)}, {unsettled} of them answered whole")  # noqa: T201 (for who reads a failure)
