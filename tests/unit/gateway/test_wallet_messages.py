"""What passes between a request and its Wallet arrives as it was, whatever a text has in it."""

import json
from dataclasses import fields, replace

import pytest

from gateway import wallet
from gateway.money import NanoUsd
from gateway.records import KeyLimits, encode, to_object
from gateway.wallet_calls import call
from gateway.wallet_messages import BEFORE_RECORD, HoldReply, HoldRequest, RateState, Settlement, UsageMessage
from tests.unit.gateway.catalogues import ACCOUNT, NOW_MS
from tests.unit.gateway.shapes import usage
from tests.unit.gateway.wallets import funded, hold, hold_request, record

LIMITS = KeyLimits(requests_per_minute=3, spend_cap_period="day")
RATE = RateState(limit=3, remaining=2, reset_ms=60_000)


@pytest.mark.parametrize("request_", [hold_request("r1", 10), hold_request("r1", 10, modest=4, limits=LIMITS)])
def test_a_hold_request_arrives_as_it_was(request_: HoldRequest) -> None:
    assert HoldRequest.from_text(request_.to_text()) == request_


@pytest.mark.parametrize("reply", [HoldReply(), HoldReply(refused="key_revoked", requests=RATE, tokens=RATE)])
def test_a_hold_reply_arrives_as_it_was(reply: HoldReply) -> None:
    assert HoldReply.from_text(reply.to_text()) == reply


@pytest.mark.parametrize("text", ["", "\t", "\n", "a\tb\r\n\tc", "\u2028\x85\x0b", '"\\t"', "\u4e2d", "\ud800"])
def test_a_settlement_is_one_line_and_arrives_as_it_was(text: str) -> None:
    settlement = Settlement.of(replace(record("r1", 5, usage=usage(60, 39)), model=text))
    line = settlement.to_line()

    assert "\n" not in line
    assert Settlement.from_line(line) == settlement
    assert json.loads(settlement.record)["model"] == text


def test_usage_on_its_way_up_arrives_as_it_was() -> None:
    records = ",".join(encode(replace(record(name, 5), model="\t\n,\u4e2d")) for name in ("r1", "r2"))
    message = UsageMessage(ACCOUNT, ["r1", "r2"], records)

    assert UsageMessage.from_text(message.to_text()) == message
    assert [item["request_id"] for item in json.loads(f"[{message.records}]")] == message.request_ids


def test_a_message_as_it_was_before_it_had_a_head_is_passed_over() -> None:
    message = UsageMessage(ACCOUNT, ["r1"], encode(record("r1", 5)))
    earlier = [f"[{encode(record(name, 5))}]" for name in ("r2", "r3")]

    assert UsageMessage.read_all([earlier[0], message.to_text(), earlier[1], "[]"]) == [message]


def test_what_the_version_before_wrote_is_understood() -> None:
    """During a deployment a request may be of one version, and its Wallet of the other."""
    asked = (
        '{"request_id":"r1","account_id":"acct_1","key_id":"key_1","wanted_nano_usd":10,"least_nano_usd":10,'
        '"modest_nano_usd":null,"tokens":10,"limits":{"requests_per_minute":3,"tokens_per_minute":null,'
        '"concurrent_requests":null,"spend_cap_nano_usd":null,"spend_cap_period":"day"},"idempotency_key":null,'
        '"now_ms":1,"expires_ms":600001}'
    )
    answered = (
        '{"granted_nano_usd":10,"refused":null,"available_nano_usd":90,"requests":{"limit":3,"remaining":2,'
        '"reset_ms":60000},"tokens":null,"retry_after_ms":null,"limit":null,"first_request_id":null,'
        '"first_cost_nano_usd":null}'
    )
    request, reply = HoldRequest.from_text(asked), HoldReply.from_text(answered)
    settlement = Settlement.from_line('["r1","key_1",5,null,true]\t{"request_id":"r1"}')

    assert (request.request_id, request.modest_nano_usd, request.limits) == ("r1", None, LIMITS)
    assert reply == HoldReply(granted_nano_usd=NanoUsd(10), available_nano_usd=NanoUsd(90), requests=RATE)
    assert (settlement.cost_nano_usd, settlement.tokens, settlement.is_answered) == (5, None, True)
    assert settlement.record == '{"request_id":"r1"}'


def test_the_version_before_finds_every_field_of_a_hold_request() -> None:
    asked = json.loads(hold_request("r1", 10).to_text())

    assert set(asked) == {field.name for field in fields(HoldRequest)}


def test_fields_that_the_next_version_adds_are_passed_over() -> None:
    request, reply = hold_request("r1", 10, limits=LIMITS), HoldReply(requests=RATE)
    settlement = Settlement.of(record("r1", 5))
    head, _, text = settlement.to_line().partition(BEFORE_RECORD)
    line = json.dumps([*json.loads(head), "later"]) + BEFORE_RECORD + text
    limits = {**to_object(request.limits), "later": 1}

    assert HoldRequest.from_text(json.dumps({**to_object(request), "limits": limits, "later": 1})) == request
    assert HoldReply.from_text(encode({**to_object(reply), "later": 1})) == reply
    assert Settlement.from_line(line) == settlement

    message = UsageMessage(ACCOUNT, ["r1"], text)
    head, _, text = message.to_text().partition(BEFORE_RECORD)
    later = json.dumps([*json.loads(head), "later"]) + BEFORE_RECORD + text
    assert UsageMessage.from_text(later) == message


def test_a_call_settles_each_of_its_lines_and_keeps_each_record_as_it_came() -> None:
    store = funded(100)
    records = [replace(record(name, cost), model="\t\n") for name, cost in (("r1", 5), ("r2", 7))]
    for name in ("r1", "r2"):
        assert hold(store, hold_request(name, 10)).refused is None

    lines = "\n".join(Settlement.of(item).to_line() for item in records)
    call(store, "settle", "", account_id=ACCOUNT, now_ms=NOW_MS, lines=lines)

    assert wallet.state(store, ACCOUNT).settled_nano_usd == 12
    assert store.records() == records
