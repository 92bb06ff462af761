"""One call's usage is the same in a stream, in a whole answer, in its record and in the ledger, for every lab."""

import asyncio
import itertools
import json
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from local.labs.app import LABS
from tests.e2e.admin import Account, Admin, Record
from tests.e2e.chat import ONE_OF_EACH_LAB, prompt
from tests.e2e.internal import Internal
from tests.e2e.purse import nano_usd
from tests.e2e.stack import Stack
from tests.e2e.waiting import eventually

MODEL_OF_LAB = dict(zip((lab.name for lab in LABS), ONE_OF_EACH_LAB, strict=True))
CASES = [(lab.name, place) for lab in LABS for place in lab.usage_places]
UNREPORTED = [lab.name for lab in LABS]
SILENT_ABOUT_REASONING = {"zai"}
"""Labs that tell only in whole answers how much of the completion was reasoning, which has no price of its own."""

Case = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """One prompt, asked for in each way: the usage that the caller was shown in it, and the records of all three."""

    whole: dict[str, Any]
    stream: dict[str, Any]
    records: list[Record]


def bodies_of(case: Case) -> list[dict[str, Any]]:
    """A whole answer, a stream that shows its usage, and one that does not."""
    lab, place = case
    body = prompt(f"Hello [[lab tokens=9 cached=3 usage={place}]]", model=MODEL_OF_LAB[lab], max_tokens=100)
    shown, plain = ({"stream": True, "stream_options": {"include_usage": shows}} for shows in (True, False))
    return [body, body | shown, body | plain]


@pytest.fixture(scope="module")
def account(admin: Admin) -> Account:
    return admin.open_account()


@pytest.fixture(scope="module")
def calls(stack: Stack, admin: Admin, account: Account) -> dict[Case, Calls]:
    """All cases at once. The records are complete, and there are no others."""
    cases = CASES + [(lab, "none") for lab in UNREPORTED]

    async def ask_all() -> list[list[httpx2.Response]]:
        headers = {"authorization": f"Bearer {account.api_key}"}
        async with httpx2.AsyncClient(base_url=stack.base_url, headers=headers, timeout=60) as client:
            posts = [[client.post("/chat/completions", json=body) for body in bodies_of(case)] for case in cases]
            return await asyncio.gather(*(asyncio.gather(*posts_of_case) for posts_of_case in posts))

    answers = dict(zip(cases, asyncio.run(ask_all()), strict=True))
    ids = {case: [answer.headers["x-request-id"] for answer in of_case] for case, of_case in answers.items()}
    records = admin.records_of(account.id, itertools.chain.from_iterable(ids.values()))
    assert len(admin.usage(account.id)) == len(records)
    return {
        case: Calls(
            whole={
                **whole.json().get("usage", {}),
                "cost_nano_usd": nano_usd(whole.headers["x-haotokai-cost-usd"]),
            },
            stream=last_usage(shown),
            records=[records[request_id] for request_id in ids[case]],
        )
        for case, (whole, shown, _) in answers.items()
    }


def last_usage(answer: httpx2.Response) -> dict[str, Any]:
    """What the final usage event of a stream says."""
    events = [line.removeprefix("data:").strip() for line in answer.text.splitlines() if line.startswith("data:")]
    assert events[-1] == "[DONE]"
    usage: dict[str, Any] = json.loads(events[-2])["usage"]
    return {**usage, "cost_nano_usd": nano_usd(f"{usage['cost']:.9f}")}


def tokens(usage: dict[str, Any]) -> dict[str, int]:
    return {name: usage[name] for name in ("prompt_tokens", "completion_tokens", "cost_nano_usd")}


def charged(record: Record) -> dict[str, Any]:
    names = ["prompt_tokens", "cached_tokens", "completion_tokens", "cost_nano_usd", "estimated"]
    if record["provider"] not in SILENT_ABOUT_REASONING:
        names.append("reasoning_tokens")
    return {name: record[name] for name in names}


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_stream_and_whole_answer_and_record_agree_wherever_usage_stands(calls: dict[Case, Calls], case: Case) -> None:
    of_case = calls[case]

    assert tokens(of_case.whole) == tokens(of_case.stream) == tokens(of_case.records[0])
    assert charged(of_case.records[0]) == charged(of_case.records[1]) == charged(of_case.records[2])
    assert of_case.records[0]["estimated"] is False
    assert of_case.stream["prompt_tokens_details"]["cached_tokens"] == of_case.records[0]["cached_tokens"]
    assert {record["state"] for record in of_case.records} == {"complete"}


@pytest.mark.parametrize("lab", UNREPORTED)
def test_where_a_lab_reports_no_usage_it_is_estimated_and_charged(calls: dict[Case, Calls], lab: str) -> None:
    of_case = calls[lab, "none"]

    for record in of_case.records:
        assert (record["state"], record["estimated"]) == ("complete", True)
        assert record["prompt_tokens"] > 0
        assert record["completion_tokens"] > 0
    assert tokens(of_case.stream) == tokens(of_case.records[1])
    assert of_case.whole["cost_nano_usd"] == of_case.records[0]["cost_nano_usd"]


def test_the_ledger_and_the_wallet_have_spent_what_the_records_say(
    stack: Stack, admin: Admin, account: Account, calls: dict[Case, Calls]
) -> None:
    internal = Internal(edge_url=stack.edge_url, control_plane_url=stack.control_plane_url, data=stack.data)
    wallet = eventually(lambda: internal.state(account.id), lambda state: state.unacknowledged_records == 0)
    internal.close()
    cost_nano_usd = sum(record["cost_nano_usd"] for of_case in calls.values() for record in of_case.records)

    assert wallet.open_holds == 0
    assert wallet.settled_nano_usd == nano_usd(admin.account(account.id)["spent_usd"]) == cost_nano_usd
