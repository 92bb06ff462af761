"""What the edge reports is read as it was written, and one record that is none costs no other of its batch."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane import usage_reports
from control_plane.quarantine import Quarantined
from control_plane.usage_reports import RECORDS_MAX
from gateway.fields import MAX_INTEGER, FieldError
from gateway.money import MAX_NANO_USD, NanoUsd
from gateway.records import UsageRecord, encode
from tests.unit.control_plane.books import FREE_RECORD, RECORD, record_of

SECRET = "a text that no reason repeats"


def report(*values: object) -> bytes:
    return json.dumps({"records": list(values)}).encode()


def changed(path: str, value: object) -> Any:
    """The record's JSON with one thing changed; the path is a dotted one."""
    document = json.loads(encode(RECORD))
    *parents, last = [int(part) if part.isdecimal() else part for part in path.split(".")]
    place = document
    for part in parents:
        place = place[part]
    place[last] = value
    return document


def without(field: str) -> dict[str, Any]:
    values = RECORD.to_json()
    del values[field]
    return values


@pytest.mark.parametrize(
    "record",
    [
        RECORD,
        FREE_RECORD,
        replace(RECORD, attempts=RECORD.attempts * 3),
        replace(RECORD, attempts=()),
        replace(RECORD, cost_nano_usd=NanoUsd(MAX_NANO_USD)),
        replace(RECORD, usage=replace(RECORD.usage, cached_tokens=RECORD.usage.prompt_tokens)),
    ],
)
def test_a_record_is_read_as_the_edge_wrote_it(record: UsageRecord) -> None:
    assert usage_reports.read(f'{{"records":[{encode(record)}]}}'.encode()) == [record]


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_any_text_is_read_as_it_was_written(text: str) -> None:
    record = replace(RECORD, model=text)

    assert usage_reports.read(report(record.to_json())) == [record]


def test_fields_of_a_later_version_are_ignored() -> None:
    assert usage_reports.read(report(RECORD.to_json() | {"invented_later": True})) == [RECORD]


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (without("cost_nano_usd"), "cost_nano_usd: Field required"),
        (changed("account_id", None), "account_id: Input should be a valid string"),
        (changed("account_id", 7), "account_id: Input should be a valid string"),
        (changed("model", "\ud800"), None),
        (changed("provider", "a\0b"), "a text holds NUL"),
        (changed("state", SECRET), "state: Input should be 'complete', 'partial', 'failed' or 'abandoned'"),
        (changed("estimated", 0), "estimated: Input should be a valid boolean"),
        (changed("cost_nano_usd", -1), "a number is out of range"),
        (changed("cost_nano_usd", MAX_INTEGER + 1), "a number is out of range"),
        (changed("cost_nano_usd", 2**70), "a number is out of range"),
        (changed("cost_nano_usd", 1.0), "cost_nano_usd: Input should be a valid integer"),
        (changed("cost_nano_usd", SECRET), "cost_nano_usd: Input should be a valid integer"),
        (changed("total_ms", True), "total_ms: Input should be a valid integer"),
        (changed("first_event_ms", -1), "a number is out of range"),
        (changed("usage", None), "usage: Input should be an object"),
        (changed("usage.prompt_tokens", -1), "a number is out of range"),
        (
            changed("usage.cached_tokens", RECORD.usage.prompt_tokens + 1),
            "usage: more cached tokens than prompt tokens",
        ),
        (changed("attempts", None), "attempts: Input should be a valid array"),
        (changed("attempts.0.status", "429"), "attempts.0.status: Input should be a valid integer"),
        (changed("attempts.0.ms", MAX_INTEGER + 1), "a number is out of range"),
        (changed("attempts.0.outcome", "\0"), "a text holds NUL"),
    ],
)
def test_what_is_no_record_but_names_its_request_is_kept_as_it_came_with_the_reason(value: Any, fault: str) -> None:
    before, after = record_of("req_before"), record_of("req_after")
    first, item, last = usage_reports.read(report(before.to_json(), value, after.to_json()))

    assert [first, last] == [before, after]
    assert isinstance(item, Quarantined)
    assert item.request_id == RECORD.request_id
    assert json.loads(item.record) == value
    assert item.reason.startswith("malformed: ")
    assert fault is None or item.reason.removeprefix("malformed: ").startswith(fault)
    assert SECRET not in item.reason


@pytest.mark.parametrize(
    "value", [None, [], "req_1", without("request_id"), {"request_id": 7}, changed("request_id", "\ud800")]
)
def test_a_batch_in_which_a_record_does_not_name_its_request_is_refused(value: object) -> None:
    with pytest.raises(FieldError):
        usage_reports.read(report(RECORD.to_json(), value))


@pytest.mark.parametrize("last", [RECORD.to_json(), {"request_id": "req_odd"}], ids=["right", "malformed"])
def test_a_report_may_be_full_and_no_fuller_whatever_is_in_it(last: object) -> None:
    full = [*[RECORD.to_json()] * (RECORDS_MAX - 1), last]

    assert len(usage_reports.read(report(*full))) == RECORDS_MAX
    with pytest.raises(FieldError, match=f"more than {RECORDS_MAX}"):
        usage_reports.read(report(RECORD.to_json(), *full))


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b"{}", b'{"records":{}}', b'{"records":null}', b"7"])
def test_a_body_that_is_no_report_is_refused(body: bytes) -> None:
    with pytest.raises(FieldError):
        usage_reports.read(body)
