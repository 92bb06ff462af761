"""However a call ends, it is charged by the rules, has one record, and holds nothing afterwards."""

import asyncio
import itertools
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from tests.e2e.admin import Account, Record
from tests.e2e.purse import Bench, ask, body, error_of, nano_usd

PIECES = 40
MODELS = ["deepseek", "spark"]
"""Of one lab the events pass as they came, of the other each is rewritten."""

BEFORE_THE_FIRST_EVENT = {
    "http-503": "overloaded",
    "429": "rate_limit",
    "auth": "provider_key",
    "balance": None,
    "reset": "connect_error",
    "error-200": None,
    "empty": "empty_answer",
    "hang": "timeout",
}
"""Faults after which nothing was answered, and what the attempts' lines say (None: each lab words it otherwise)."""

MAY_PASS = {"overloaded", "connect_error", "empty_answer", "timeout"}
"""Outcomes that may be another a moment later, so the only target is asked once more."""

AFTER_SOME_EVENTS = ["reset-mid", "stall", "error-event", "no-finish"]

Case = tuple[str, str, bool]
"""A fault, a model, and whether a stream was asked for."""

FAILURES: list[Case] = list(itertools.product(BEFORE_THE_FIRST_EVENT, MODELS, (False, True)))
BREAKS: list[Case] = list(itertools.product(AFTER_SOME_EVENTS, MODELS, (True,)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A call that has ended: what its caller got, and its only record."""

    answer: httpx2.Response
    record: Record


def end_all(bench: Bench, contents: dict[Case, bytes]) -> dict[Case, Ended]:
    """Calls of one account, all at once. Afterwards its books are equal, and nothing is held."""
    account = bench.admin.open_account(credit_usd="10.00")

    async def ask_all() -> list[httpx2.Response]:
        async with bench.caller(account) as client:
            return await asyncio.gather(*(ask(client, content) for content in contents.values()))

    answers = asyncio.run(ask_all())
    records = bench.admin.records_of(account.id, [answer.headers["x-request-id"] for answer in answers])
    books = bench.books(account)
    books.assert_equal()
    assert len(books.records) == len(answers)
    return {
        case: Ended(answer=answer, record=records[answer.headers["x-request-id"]])
        for case, answer in zip(contents, answers, strict=True)
    }


@pytest.fixture(scope="module")
def failures(bench: Bench) -> dict[Case, Ended]:
    contents = {case: asking(f"fault={case[0]}", model=case[1], stream=case[2]) for case in FAILURES}
    return end_all(bench, contents)


@pytest.fixture(scope="module")
def breaks(bench: Bench) -> dict[Case, Ended]:
    directives = "tokens={} fault={} at=20"
    contents = {case: asking(directives.format(PIECES, case[0]), model=case[1], stream=case[2]) for case in BREAKS}
    return end_all(bench, contents)


@asynccontextmanager
async def new_caller(bench: Bench) -> AsyncIterator[tuple[Account, httpx2.AsyncClient]]:
    account = bench.admin.open_account(credit_usd="1.00")
    async with bench.caller(account) as client:
        yield account, client


def asking(directives: str, *, model: str, stream: bool) -> bytes:
    return body(stream=stream, model=model, text=f"Hello [[lab reasoning=0 {directives}]]", max_tokens=500)


async def only_record(bench: Bench, account: Account) -> Record:
    """The record of the account's only call, after which all books are equal and nothing is held."""
    await bench.state_when(account, lambda state: state.open_holds == 0)
    books = await asyncio.to_thread(bench.books, account)
    books.assert_equal()
    [record] = books.records
    return record


async def leave(client: httpx2.AsyncClient, content: bytes, *, after_events: int) -> None:
    """Asks for a stream, and leaves it after some of its events."""
    async with client.stream("POST", "/chat/completions", content=content) as answer:
        seen = 0
        async for line in answer.aiter_lines():
            seen += line.startswith("data:")
            if seen == after_events:
                return


@pytest.mark.parametrize("model", MODELS)
async def test_a_stream_that_was_left_is_charged_what_the_lab_reports_at_its_end(bench: Bench, model: str) -> None:
    entry_id = uuid.uuid4().hex
    async with new_caller(bench) as (account, client):
        content = asking(f"tokens={PIECES} delay_ms=20 id={entry_id}", model=model, stream=True)
        await leave(client, content, after_events=3)
        record = await only_record(bench, account)

    assert bench.labs.ended(entry_id)["ended"] == "completed"
    assert (record["state"], record["estimated"], record["completion_tokens"]) == ("complete", False, PIECES)


@pytest.mark.parametrize("model", MODELS)
async def test_a_lab_that_stalls_after_the_caller_left_is_given_up_and_the_answer_so_far_estimated(
    bench: Bench, model: str
) -> None:
    entry_id = uuid.uuid4().hex
    async with new_caller(bench) as (account, client):
        content = asking(f"tokens={PIECES} delay_ms=20 fault=stall at=30 id={entry_id}", model=model, stream=True)
        await leave(client, content, after_events=3)
        record = await only_record(bench, account)

    assert bench.labs.ended(entry_id)["ended"] == "client left"
    assert_estimated(record)


def assert_estimated(record: Record) -> None:
    assert (record["state"], record["estimated"]) == ("partial", True)
    assert record["completion_tokens"] > 0
    assert record["cost_nano_usd"] > 0


@pytest.mark.parametrize("case", BREAKS, ids=str)
def test_a_stream_that_breaks_ends_in_an_error_and_its_content_is_estimated(
    breaks: dict[Case, Ended], case: Case
) -> None:
    text = breaks[case].answer.text
    last = text.strip().rsplit("\n\n", 1)[-1]

    assert "error" in json.loads(last.removeprefix("data:"))
    assert "[DONE]" not in text
    assert_estimated(breaks[case].record)


@pytest.mark.parametrize("case", FAILURES, ids=str)
def test_a_call_that_failed_costs_nothing_and_its_record_says_why(failures: dict[Case, Ended], case: Case) -> None:
    ended, outcome = failures[case], BEFORE_THE_FIRST_EVENT[case[0]]

    assert ended.answer.status_code >= 500
    assert_failed(ended.record, error_of(ended.answer)["metadata"]["attempts"])
    outcomes = [attempt["outcome"] for attempt in ended.record["attempts"]]
    assert len(outcomes) == (2 if outcomes[0] in MAY_PASS else 1)
    assert set(outcomes) == {outcome} or (outcome is None and "ok" not in outcomes)


def assert_failed(record: Record, attempts: list[dict[str, Any]]) -> None:
    """A record of no cost, whose attempts are those that the caller was told of."""
    assert (record["state"], record["cost_nano_usd"], record["price_row"]) == ("failed", 0, None)
    assert (record["prompt_tokens"], record["completion_tokens"]) == (0, 0)
    assert [told_to_callers(attempt) for attempt in record["attempts"]] == attempts


def told_to_callers(attempt: dict[str, Any]) -> dict[str, Any]:
    """That the operator's own account at a lab is the trouble is the operator's business."""
    ours = attempt["outcome"] in ("provider_key", "provider_balance")
    return {**attempt, "outcome": "unavailable", "status": 0} if ours else attempt


@pytest.mark.parametrize("stream", [False, True])
async def test_failed_attempts_before_an_answer_cost_nothing(bench: Bench, stream: bool) -> None:
    await close_circuits(bench)
    async with new_caller(bench) as (account, client):
        directives = "deepseek.fault=error-200 deepseek.tokens=100 spark.tokens=5 deepseek.error=overloaded"
        answer = await ask(client, asking(directives, model="failover", stream=stream))
        record = await only_record(bench, account)

    assert answer.status_code == 200
    assert (record["state"], record["estimated"], record["completion_tokens"]) == ("complete", False, 5)
    assert [attempt["provider"] for attempt in record["attempts"]] == ["deepseek", "spark"]
    assert [attempt["outcome"] for attempt in record["attempts"]][1:] == ["ok"]
    assert record["attempts"] == json.loads(answer.headers["x-haotokai-attempts"])


async def close_circuits(bench: Bench) -> None:
    """A target that failed for other tests would come last; an answer of it puts it back in its place."""
    async with new_caller(bench) as (_, client):
        for model in MODELS:
            answer = await ask(client, asking("tokens=1", model=model, stream=False))
            assert answer.status_code == 200


async def test_a_call_whose_every_attempt_failed_is_one_record_of_all_attempts(bench: Bench) -> None:
    await close_circuits(bench)
    async with new_caller(bench) as (account, client):
        answer = await ask(client, asking("fault=http-503", model="failover", stream=True))
        record = await only_record(bench, account)

    assert_failed(record, error_of(answer)["metadata"]["attempts"])
    assert [attempt["provider"] for attempt in record["attempts"]] == ["deepseek", "spark", "spark"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
async def test_what_the_request_itself_caused_costs_nothing(bench: Bench, model: str, stream: bool) -> None:
    async with new_caller(bench) as (account, client):
        answer = await ask(client, asking("fault=content-filter", model=model, stream=stream))
        record = await only_record(bench, account)

    assert answer.status_code == 400
    assert_failed(record, error_of(answer)["metadata"]["attempts"])


async def test_a_refused_call_has_no_record(bench: Bench) -> None:
    async with new_caller(bench) as (account, client):
        for content in (body(stream=False, model="unknown"), b"[]", body(stream=False, max_tokens=0)):
            assert (await ask(client, content)).status_code in (400, 404)

    assert bench.admin.usage(account.id) == []
    assert bench.internal.state(account.id).settled_nano_usd == nano_usd("0")
