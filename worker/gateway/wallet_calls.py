"""The Wallet's calls: a JSON text in, a JSON text out, one rule of the Wallet between.

A call takes along what is to be settled, so that most requests cost one call. That is settled first: a request that is
repeated with its Idempotency-Key must find its answer settled.
"""

import json
from collections.abc import Callable
from typing import Any, get_args

from gateway import wallet, wallet_delivery, wallet_spend
from gateway.fields import FieldError, Fields
from gateway.frozen import frozen
from gateway.records import Grant, SpendCapPeriod
from gateway.wallet_messages import HoldRequest, Settlement
from gateway.wallet_tables import Store


@frozen
class Reply:
    """What a call answers, and when something that it wrote falls due."""

    text: str
    due_ms: int | None = None


Rule = Callable[[Store, str, str, int], Reply]


def call(store: Store, operation: str, text: str, *, account_id: str, now_ms: int, lines: str = "") -> Reply:
    """Settle ``lines``, a settlement each, and run one operation by its name, on its text."""
    if lines:
        _settle(store, lines, now_ms)
    reply = OPERATIONS[operation](store, text, account_id, now_ms)
    return Reply(text=reply.text, due_ms=now_ms) if lines else reply


def _settle(store: Store, lines: str, now_ms: int) -> None:
    for line in lines.split("\n"):
        wallet.settle(store, Settlement.from_line(line), now_ms=now_ms)


def _nothing(store: Store, text: str, account_id: str, now_ms: int) -> Reply:
    """A call that was made for what it settles alone."""
    del store, text, account_id, now_ms
    return Reply(text="{}")


def _hold(store: Store, text: str, account_id: str, now_ms: int) -> Reply:
    del account_id, now_ms
    request = HoldRequest.from_text(text)
    return Reply(text=wallet.hold(store, request).to_text(), due_ms=request.expires_ms)


def _acknowledge(store: Store, text: str, account_id: str, now_ms: int) -> Reply:
    del account_id, now_ms
    wallet_delivery.acknowledge(store, Fields.parse(text, "acknowledgement").texts("request_ids"))
    return Reply(text="{}")


def _credits(store: Store, text: str, account_id: str, now_ms: int) -> Reply:
    key_id = Fields.parse(text, "question").text("key_id")
    spent = {period: wallet_spend.spent(store, key_id, period, now_ms=now_ms) for period in get_args(SpendCapPeriod)}
    return Reply(text=json.dumps({"state": wallet.state(store, account_id).to_json(), "spent": spent}))


def _signed(rule: Callable[[Store, Fields, str, int], Any]) -> Rule:
    """A call of the control plane: its nonce is used up in the same transaction as its effect."""

    def run(store: Store, text: str, account_id: str, now_ms: int) -> Reply:
        fields = Fields.parse(text, "signed call")
        if not wallet.use_nonce(store, fields.text("nonce"), now_ms=now_ms):
            return Reply(text=json.dumps({"refused": "nonce_used"}))
        try:
            answer = rule(store, fields.object("body"), account_id, now_ms)
        except FieldError as error:
            answer = {"refused": str(error)}
        return Reply(text=json.dumps(answer), due_ms=now_ms)

    return run


def _grants(store: Store, body: Fields, account_id: str, now_ms: int) -> dict[str, Any]:
    del account_id, now_ms
    try:
        return {"applied": wallet.grant(store, [Grant.from_fields(item) for item in body.objects("grants")])}
    except wallet.GrantConflict:
        return {"refused": "grant_conflict"}


def _revocations(store: Store, body: Fields, account_id: str, now_ms: int) -> dict[str, Any]:
    del account_id, now_ms
    return {"revoked": wallet.revoke(store, body.texts("key_ids"))}


def _state(store: Store, body: Fields, account_id: str, now_ms: int) -> dict[str, Any]:
    del body, now_ms
    return wallet.state(store, account_id).to_json()


def _replay(store: Store, body: Fields, account_id: str, now_ms: int) -> dict[str, Any]:
    del body, account_id
    return {"records": wallet_delivery.replay(store, now_ms=now_ms)}


OPERATIONS: dict[str, Rule] = {
    "hold": _hold,
    "settle": _nothing,
    "acknowledge": _acknowledge,
    "credits": _credits,
    "signed_grants": _signed(_grants),
    "signed_revocations": _signed(_revocations),
    "signed_state": _signed(_state),
    "signed_replay": _signed(_replay),
}
