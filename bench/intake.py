"""How fast the control plane books usage: signed batches, posted as the edge's queue consumer posts them."""

import asyncio
import json
import secrets
import statistics
import time
from dataclasses import replace
from typing import Any

import httpx2

from bench.peers import GATEWAY, Field, Peer
from bench.results import Measurement, Section, Target
from bench.stack import CALL_LIMIT_S, Stack
from gateway.money import NanoUsd
from gateway.records import Attempt, Usage, UsageRecord
from gateway.request_ids import RANDOM_BYTES, make_request_id
from gateway.signing import SignedCall, sign

NAME = "intake"
PEERS = (GATEWAY,)
PATH = "/internal/usage"
BATCH_RECORDS = 100
POSTS_AT_ONCE = 24
"""Cloudflare runs as many consumers of a busy queue at once as it needs, up to 250."""

BATCHES = 400
QUICK_BATCHES = 50
ROUNDS = 5
"""The median of them counts: a round takes some eight seconds, and machines have faster and slower ones."""

CONTROL_PLANE = "control plane"
POLL_S = 0.2


async def measure(field: Field, *, quick: bool) -> Section:
    stack, batches = field.stack, QUICK_BATCHES if quick else BATCHES
    async with httpx2.AsyncClient(base_url=stack.control_plane_url, timeout=CALL_LIMIT_S) as client:
        pattern = await _booked_record(client, field[GATEWAY], stack)
        events_per_s = statistics.median(
            [await _round(client, pattern, stack, batches) for _ in range(1 if quick else ROUNDS)]
        )
    case = f"{batches} batches of {BATCH_RECORDS}, {POSTS_AT_ONCE} at once"
    measurement = Measurement(case=case, peer=CONTROL_PLANE, metric="booked_events_per_s", value=events_per_s)
    target = Target(
        name="usage intake on SQLite", bound="at least", limit=5000, measured=events_per_s, unit="events a second"
    )
    return Section(name=NAME, measurements=(measurement,), targets=(target,))


async def _round(client: httpx2.AsyncClient, pattern: UsageRecord, stack: Stack, batches: int) -> float:
    """Records booked a second."""
    bodies = [_batch(pattern) for _ in range(batches)]
    turn = asyncio.Semaphore(POSTS_AT_ONCE)
    began_s = time.monotonic()
    booked = await asyncio.gather(*(_post(client, body, stack, turn) for body in bodies))
    return sum(booked) / (time.monotonic() - began_s)


async def _booked_record(client: httpx2.AsyncClient, peer: Peer, stack: Stack) -> UsageRecord:
    """The record of a real request, from which the others are made."""
    body = peer.body("Hello. ", stream=False)
    async with httpx2.AsyncClient(timeout=CALL_LIMIT_S) as caller:
        (await caller.post(peer.completions_url, content=body, headers=peer.request_headers)).raise_for_status()
    async with asyncio.timeout(CALL_LIMIT_S):
        while not (items := await _usage(client, stack)):  # noqa: ASYNC110 (it comes from another process)
            await asyncio.sleep(POLL_S)
    return _record(items[0], stack.account_id)


async def _usage(client: httpx2.AsyncClient, stack: Stack) -> list[dict[str, Any]]:
    headers = {"authorization": f"Bearer {stack.admin_token}"}
    answer = await client.get("/admin/v1/usage", params={"account_id": stack.account_id}, headers=headers)
    items: list[dict[str, Any]] = answer.raise_for_status().json()["items"]
    return items


def _record(shown: dict[str, Any], account_id: str) -> UsageRecord:
    tokens = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens")
    return UsageRecord(
        request_id=shown["request_id"],
        account_id=account_id,
        key_id=shown["key_id"],
        model=shown["model"],
        served_model=shown["served_model"],
        provider=shown["provider"],
        usage=Usage(**{name: shown[name] for name in tokens}),
        cost_nano_usd=NanoUsd(shown["cost_nano_usd"]),
        price_row=shown["price_row"],
        state="complete",
        estimated=False,
        stream=False,
        attempts=(Attempt(provider=shown["provider"], model="deepseek-flash", outcome="ok", status=200, ms=5),),
        started_at_ms=int(time.time() * 1000),
        first_event_ms=None,
        total_ms=5,
    )


def _batch(pattern: UsageRecord) -> bytes:
    records = [replace(pattern, request_id=_request_id()).to_json() for _ in range(BATCH_RECORDS)]
    return json.dumps({"records": records}, separators=(",", ":")).encode()


def _request_id() -> str:
    return make_request_id(int(time.time() * 1000), secrets.token_bytes(RANDOM_BYTES))


async def _post(client: httpx2.AsyncClient, body: bytes, stack: Stack, turn: asyncio.Semaphore) -> int:
    """How many of the batch were booked."""
    call = SignedCall(method="POST", path=PATH, body=body)
    async with turn:
        now_s = int(time.time())
        headers = sign(call, secret=stack.internal_secret, now_s=now_s, nonce=secrets.token_hex(16))
        answer = await client.post(PATH, content=body, headers=headers)
    return len(answer.raise_for_status().json()["booked"])
