"""Every error that the providers word, its cause, and what the caller is told of it."""

import json
from typing import Any

import pytest

from gateway.attempt import AttemptFailed
from gateway.causes import Cause, ProviderError, Rule, classify
from gateway.failover import GiveUp, TryNext, judge
from gateway.providers import DIALECTS
from gateway.routing import Candidate
from tests.unit.gateway.catalogues import FLAT, PROVIDERS, catalogue, model, target
from tests.unit.gateway.catalogues import two_targets as served_by
from tests.unit.gateway.fakes import Answer, FakePorts, chat
from tests.unit.gateway.provider_errors import WORDED, Worded
from tests.unit.gateway.shapes import events
from tests.unit.gateway.upstreams import Reply, json_reply

OURS = {Cause.OUR_KEY, Cause.OUR_BALANCE}
THE_CALLER_S = {
    Cause.BAD_REQUEST: (400, "invalid_request"),
    Cause.CONTENT_FILTER: (400, "content_filter"),
    Cause.CONTEXT_LENGTH: (400, "context_length_exceeded"),
}
TOLD = {
    **dict.fromkeys(Cause, (502, "upstream_error")),
    **THE_CALLER_S,
    Cause.RATE_LIMIT: (503, "upstream_overloaded"),
    Cause.OVERLOADED: (503, "upstream_overloaded"),
    Cause.TIMEOUT: (504, "upstream_timeout"),
}
PRIVATE = (
    "org-",
    "ak-",
    "fcc2",
    "account",
    "Insufficient",
    "recharge",
    "api key",
    "API key",
    "sid",
    "Arrearage",
    "good standing",
)
ANSWER = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "from the mirror"}}]}

CANDIDATE = Candidate(
    model=model("deepseek-chat", target("mirror", "m")),
    target=target("mirror", "m"),
    provider=PROVIDERS["mirror"],
    price=FLAT,
)

worded = pytest.mark.parametrize("error", WORDED, ids=lambda error: error.name)


@pytest.mark.parametrize("cause", Cause)
def test_what_the_request_itself_caused_is_given_up_and_all_else_tried_elsewhere(cause: Cause) -> None:
    decision = judge(AttemptFailed(cause), CANDIDATE, is_second=False, is_last=False)

    assert isinstance(decision, GiveUp) == (cause in (Cause.CONTENT_FILTER, Cause.BAD_REQUEST))
    if cause is Cause.CONTEXT_LENGTH:
        assert decision == TryNext(context_length=CANDIDATE.context_length)


@worded
def test_the_cause_of_an_error_is_told_from_its_body_and_its_status(error: Worded) -> None:
    assert cause_at(error, error.status) is error.cause


@worded
async def test_the_next_target_is_asked_unless_the_request_itself_is_at_fault(error: Worded) -> None:
    ports = FakePorts(catalogue=served_by(error.provider))
    ports.upstream.answer(error.provider, json_reply(error.body, status=error.status))
    ports.upstream.answer("mirror", json_reply(ANSWER))

    answer = await chat(ports)

    if error.cause in THE_CALLER_S:
        assert (answer.status, answer.error()["code"]) == THE_CALLER_S[error.cause]
        assert answer.error()["message"].startswith(error.message[:40])
        assert ports.upstream.names() == [error.provider]
    else:
        assert answer.status == 200
        assert answer.attempts() == [(error.provider, shown(error.cause)), ("mirror", "ok")]
        assert [attempt.outcome for attempt in ports.records()[0].attempts] == [error.cause, "ok"]


@worded
async def test_a_caller_is_told_what_helps_and_nothing_of_our_account_there(error: Worded) -> None:
    answer, ports = await only_target(error, json_reply(error.body, status=error.status))

    assert (answer.status, answer.error()["code"]) == TOLD[error.cause]
    if error.cause not in THE_CALLER_S:
        assert error.message not in answer.text
        assert not [word for word in PRIVATE if word in answer.text or word in json.dumps(ports.logs)]
    assert answer.status not in {401, 402, 403}
    [record] = ports.records()
    assert (record.state, record.cost_nano_usd, record.price_row) == ("failed", 0, None)
    assert ports.open_holds() == 0


def cause_at(error: Worded, status: int) -> Cause:
    return classify(ProviderError.from_object(status, error.body["error"]), DIALECTS[error.provider].rules)


TOLD_BY_BODY = [error for error in WORDED if cause_at(error, 200) is error.cause]


@pytest.mark.parametrize("error", TOLD_BY_BODY, ids=lambda error: error.name)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("form", ["json", "first event"])
async def test_an_error_inside_a_200_is_the_same_error(error: Worded, stream: bool, form: str) -> None:
    if form == "first event" and not stream:
        return
    body = json.dumps(error.body, ensure_ascii=False)
    reply = Reply(pieces=[body.encode() if form == "json" else events(body)])

    answer, ports = await only_target(error, reply, stream=stream)

    assert (answer.status, answer.error()["code"]) == TOLD[error.cause]
    assert answer.attempts() == [(error.provider, shown(error.cause))]
    assert ports.records()[0].cost_nano_usd == 0


def shown(cause: Cause) -> str:
    """A failed attempt's outcome as the caller sees it."""
    return "unavailable" if cause in (Cause.OUR_KEY, Cause.OUR_BALANCE) else cause.value


async def only_target(error: Worded, reply: Reply, **more: Any) -> tuple[Answer, FakePorts]:
    ports = FakePorts(catalogue=catalogue(model("deepseek-chat", target(error.provider, "only"))))
    ports.upstream.answer(error.provider, reply)
    return await chat(ports, **more), ports


@pytest.mark.parametrize(
    ("dialect", "status", "error", "cause"),
    [
        ("deepseek", 400, {"message": "The supported API model names are deepseek-flash"}, Cause.MODEL_MISSING),
        (
            "moonshot",
            400,
            {"message": "Invalid request: Your request exceeded model token limit: 131072"},
            Cause.CONTEXT_LENGTH,
        ),
        ("moonshot", 400, {"message": "Input token length too long"}, Cause.CONTEXT_LENGTH),
        ("dashscope", 404, {"code": "model_not_found", "message": "m"}, Cause.MODEL_MISSING),
        ("dashscope", 403, {"code": "AllocationQuota.FreeTierOnly", "message": "m"}, Cause.OUR_BALANCE),
        ("dashscope", 429, {"code": "PrepaidBillOverdue", "message": "m"}, Cause.OUR_BALANCE),
        (
            "dashscope",
            429,
            {"code": "Throttling.RateQuota", "message": "Requests rate limit exceeded"},
            Cause.RATE_LIMIT,
        ),
        (
            "dashscope",
            200,
            {"code": "Throttling.RateQuota", "message": "Requests rate limit exceeded"},
            Cause.RATE_LIMIT,
        ),
        ("dashscope", 429, {"code": "insufficient_quota", "message": "m"}, Cause.RATE_LIMIT),
        ("zai", 429, {"code": "1312", "message": "busy"}, Cause.OVERLOADED),
        ("zai", 429, {"code": "1308", "message": "limit"}, Cause.RATE_LIMIT),
        ("zai", 200, {"code": 401, "message": "token expired or incorrect"}, Cause.OUR_KEY),
        ("zai", 434, {"code": "434", "message": "no"}, Cause.BAD_REQUEST),
        ("spark", 200, {"code": 11202, "message": "AppIdQpsOverFlowError"}, Cause.RATE_LIMIT),
        ("spark", 200, {"code": 10013, "message": "m"}, Cause.CONTENT_FILTER),
        ("spark", 200, {"code": "10907", "message": "m"}, Cause.CONTEXT_LENGTH),
        ("spark", 400, {"code": "10005", "message": "invalid param temperature"}, Cause.BAD_REQUEST),
        ("openai", 400, {"message": "your credit with us is no matter of words"}, Cause.BAD_REQUEST),
    ],
)
def test_further_errors_of_the_providers_pages(dialect: str, status: int, error: dict[str, Any], cause: Cause) -> None:
    assert classify(ProviderError.from_object(status, error), DIALECTS[dialect].rules) is cause


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (200, Cause.SERVER_ERROR),
        (302, Cause.SERVER_ERROR),
        (400, Cause.BAD_REQUEST),
        (401, Cause.OUR_KEY),
        (402, Cause.OUR_BALANCE),
        (403, Cause.OUR_KEY),
        (404, Cause.MODEL_MISSING),
        (408, Cause.TIMEOUT),
        (409, Cause.SERVER_ERROR),
        (422, Cause.BAD_REQUEST),
        (425, Cause.SERVER_ERROR),
        (429, Cause.RATE_LIMIT),
        (499, Cause.BAD_REQUEST),
        (500, Cause.SERVER_ERROR),
        (502, Cause.SERVER_ERROR),
        (503, Cause.OVERLOADED),
        (504, Cause.TIMEOUT),
        (529, Cause.OVERLOADED),
        (599, Cause.SERVER_ERROR),
    ],
)
def test_an_error_that_no_rule_knows_is_told_by_its_status(status: int, cause: Cause) -> None:
    assert classify(ProviderError.from_object(status, {}), ()) is cause


def test_a_rule_fits_only_where_all_that_it_names_fits() -> None:
    rule = Rule(cause=Cause.OUR_KEY, codes=frozenset({"7"}), message="no key", status=403)

    def fits(status: int, **error: Any) -> bool:
        return rule.fits(ProviderError.from_object(status, error))

    assert fits(403, code=7, message="There is NO KEY here")
    assert fits(403, type="7", message="no key")
    assert not fits(401, code=7, message="no key")
    assert not fits(403, code=8, message="no key")
    assert not fits(403, code=7, message="no")
