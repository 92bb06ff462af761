"""The journal shows what reached a lab: enough to check what a gateway sent, never a message or a key."""

from typing import Any

from local.labs.journal import Entry, Journal
from tests.contract.labs.calls import MODELS
from tests.contract.labs.conftest import RunningLabs


def test_a_request_is_journaled_without_its_messages_and_its_key(labs: RunningLabs) -> None:
    text = "a secret [[lab id=journal-1]]"
    labs.post("deepseek", text, key="sk-very-long-1234", temperature=0.5, user="u-1")

    (entry,) = labs.journal("journal-1")

    assert (entry["lab"], entry["path"]) == ("deepseek", "/deepseek/chat/completions")
    assert entry["body_keys"] == ["model", "messages", "temperature", "user"]
    assert entry["parameters"] == {"model": "deepseek-flash", "temperature": 0.5, "user": "u-1"}
    assert ["authorization", "Bearer ...1234"] in entry["headers"]
    assert ["content-type", "application/json"] in entry["headers"]
    assert "secret" not in str(entry)
    assert (entry["status"], entry["ended"]) == (200, "completed")


def test_requests_with_one_id_stand_in_order_whichever_lab_they_reached(labs: RunningLabs) -> None:
    for lab in MODELS:
        labs.post(lab, "hello [[lab id=journal-2 zai.fault=http-500]]")

    assert [entry["lab"] for entry in labs.journal("journal-2")] == list(MODELS)
    assert [entry["status"] for entry in labs.journal("journal-2")] == [200, 200, 200, 500, 200]


def test_refused_requests_are_journaled_too(labs: RunningLabs) -> None:
    labs.post("zai", "hello [[lab id=journal-3]]", key="bad")

    assert labs.journal("journal-3")[0]["status"] == 401


def test_the_journal_can_be_cleared(labs: RunningLabs) -> None:
    labs.post("spark", "hello [[lab id=journal-4]]")

    assert labs.http.delete(f"{labs.origin}/journal").status_code == 204
    assert labs.journal("journal-4") == []


def entry(entry_id: str, **fields: Any) -> Entry:
    return Entry(id=entry_id, lab="zai", path="/", headers=[], body_keys=[], parameters={}, at_ms=0, **fields)


def test_the_oldest_entries_give_way_to_new_ones() -> None:
    journal = Journal(max_entries=2)
    for entry_id in ("a", "b", "a", "c"):
        journal.add(entry(entry_id))

    assert [kept.id for kept in journal.entries()] == ["a", "c"]
    assert journal.count("a", "zai") == 1
    assert journal.entries("b") == []
