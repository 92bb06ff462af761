"""The Wallet's calls: a JSON text in, a JSON text out, one rule of wallet.py between."""

import json
from collections.abc import Callable
from typing import Any, get_args

from gateway import wallet
from gateway.fields import FieldError, Fields
from gateway.holds import HoldRequest
from gateway.records import Grant, SpendCapPeriod, UsageRecord, dump
from gateway.wallet import Store


def call(store: Store, operation: str, text: str, *, account_id: str, now_ms: int) -> str:
    """Run one operation by its name; raises FieldError for a text that does not fit."""
    return OPERATIONS[operation](store, Fields.parse(text or "{}", operation), account_id, now_ms)


def _hold(store: Store, fields: Fields, account_id: str, now_ms: int) -> str:
    del account_id, now_ms
    return dump(wallet.hold(store, HoldRequest.from_fields(fields)))


def _settle(store: Store, fields: Fields, account_id: str, now_ms: int) -> str:
    del account_id
    records = [UsageRecord.from_fields(item) for item in fields.objects("records")]
    return json.dumps({"settled": [wallet.settle(store, record, now_ms=now_ms) for record in records]})


def _acknowledge(store: Store, fields: Fields, account_id: str, now_ms: int) -> str:
    del account_id, now_ms
    wallet.acknowledge(store, fields.texts("request_ids"))
    return "{}"


def _credits(store: Store, fields: Fields, account_id: str, now_ms: int) -> str:
    key_id = fields.text("key_id")
    spent = {period: wallet.spent(store, key_id, period, now_ms=now_ms) for period in get_args(SpendCapPeriod)}
    return json.dumps({"state": wallet.state(store, account_id).to_json(), "spent": spent})


def _signed(rule: Callable[[Store, Fields, str, int], Any]) -> Callable[[Store, Fields, str, int], str]:
    """A call of the control plane: its nonce is used up in the same transaction as its effect."""

    def run(store: Store, fields: Fields, account_id: str, now_ms: int) -> str:
        if not wallet.use_nonce(store, fields.text("nonce"), now_ms=now_ms):
            return json.dumps({"refused": "nonce_used"})
        try:
            return json.dumps(rule(store, fields.object("body"), account_id, now_ms))
        except FieldError as error:
            return json.dumps({"refused": str(error)})

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
    return {"records": wallet.replay(store, now_ms=now_ms)}


OPERATIONS: dict[str, Callable[[Store, Fields, str, int], str]] = {
    "hold": _hold,
    "settle": _settle,
    "acknowledge": _acknowledge,
    "credits": _credits,
    "signed_grants": _signed(_grants),
    "signed_revocations": _signed(_revocations),
    "signed_state": _signed(_state),
    "signed_replay": _signed(_replay),
}
