"""Usage on its way up: from the queue to the control plane, and back to the Wallet the word that it has arrived.

Each step may happen again; the control plane books a request id once."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import js
from pyodide.ffi import JsException

from bindings import ENV, EdgePorts, log
from gateway.fields import FieldError, Fields
from gateway.ports import PlatformError
from gateway.records import dead_letters_kv_name
from gateway.signing import SignedCall, sign
from gateway.wallet_messages import UsageMessage
from webapi import now_ms, to_object

POST_TIMEOUT_MS = 15_000
RETRY_DELAY_S = 5
USAGE_PATH = "/internal/usage"
HEARTBEAT_PATH = "/internal/heartbeat"
MAX_RECORDS_PER_POST = 100
DEAD_LETTER_SUFFIX = "-dead"


class NotDelivered(Exception):
    """The control plane did not take it; it is tried again."""


async def deliver(batch: Any) -> None:
    """Post the records of a batch of messages, and acknowledge them to their Wallets and to the queue."""
    # Behind the SDK's wrapper, which refers to itself: it would keep all its messages until Python's garbage collector
    # runs, for which nothing else here gives a reason.
    batch = getattr(batch, "_binding", batch)
    messages = UsageMessage.read_all(message.body for message in batch.messages)
    if str(batch.queue).endswith(DEAD_LETTER_SUFFIX):
        await _report_dead(messages)
        batch.ackAll()
        return
    ports = EdgePorts()
    try:
        for group in _posts(messages):
            await _deliver(group, ports)
    except (NotDelivered, PlatformError) as error:
        log("usage_not_delivered", messages=len(messages), error=type(error).__name__)
        batch.retryAll(to_object({"delaySeconds": RETRY_DELAY_S}))
        return
    batch.ackAll()


async def heartbeat() -> None:
    """Tell the control plane that the edge is up and which catalogue it serves."""
    ports = EdgePorts()
    try:
        version = (await ports.catalogue()).version
        await _post(HEARTBEAT_PATH, json.dumps({"catalogue_version": version, "at_ms": ports.now_ms()}))
    except (NotDelivered, PlatformError) as error:
        log("heartbeat_failed", error=type(error).__name__)


def _posts(messages: Sequence[UsageMessage]) -> Iterator[list[UsageMessage]]:
    """The messages in groups that one call may bring."""
    group: list[UsageMessage] = []
    size = 0
    for message in messages:
        size += len(message.request_ids)
        if group and size > MAX_RECORDS_PER_POST:
            yield group
            group, size = [], len(message.request_ids)
        group.append(message)
    if group:
        yield group


async def _report_dead(messages: Sequence[UsageMessage]) -> None:
    """Name the Wallets whose records the queue gave up. They still hold them; the operator may have them sent again."""
    for account_id in sorted({message.account_id for message in messages}):
        log("usage_dead_letters", account_id=account_id)
        await ENV.KV.put(dead_letters_kv_name(account_id), json.dumps({"at_ms": now_ms()}))


async def _deliver(messages: Sequence[UsageMessage], ports: EdgePorts) -> None:
    records = ",".join(message.records for message in messages)
    reply = await _post(USAGE_PATH, f'{{"records":[{records}]}}')
    try:
        taken = _taken(Fields.parse(reply, "usage reply"))
    except FieldError as error:
        raise NotDelivered from error
    by_account: defaultdict[str, list[str]] = defaultdict(list)
    for message in messages:
        if request_ids := [request_id for request_id in message.request_ids if request_id in taken]:
            by_account[message.account_id] += request_ids
    for account_id, request_ids in by_account.items():
        await ports.wallet(account_id, "acknowledge", json.dumps({"request_ids": request_ids}))


def _taken(fields: Fields) -> set[str]:
    quarantined = {item.text("request_id") for item in fields.objects("quarantined")}
    return {*fields.texts("booked"), *fields.texts("known"), *quarantined}


async def _post(path: str, body: str) -> str:
    """A signed POST to the control plane; raises NotDelivered unless it answers with success."""
    call = SignedCall(method="POST", path=path, body=body.encode())
    nonce = str(js.crypto.randomUUID())
    headers = sign(call, secret=ENV.INTERNAL_SECRET, now_s=now_ms() // 1000, nonce=nonce)
    init = {
        "method": "POST",
        "headers": {"content-type": "application/json", **headers},
        "body": body,
        "signal": js.AbortSignal.timeout(POST_TIMEOUT_MS),
    }
    try:
        response = await js.fetch(ENV.CONTROL_PLANE_URL + path, to_object(init))
        text: str = await response.text()
    except JsException as error:
        raise NotDelivered(error.name) from error
    if not response.ok:
        raise NotDelivered(f"status {response.status}")
    return text
