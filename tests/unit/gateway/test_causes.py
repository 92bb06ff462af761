"""Every error that the providers word, its cause, and what the caller is told of it."""

import json
from typing import Any

import pytest

from gateway.causes import Cause, ProviderError, Rule, cause_of_finish, classify
from gateway.judging import GiveUp, TryLarger, judge
from gateway.providers import DIALECTS
from gateway.replies import AttemptFailed
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
        assert decision == TryLarger(context_length=CANDIDATE.context_length)


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


@worded
def test_the_body_alone_tells_the_cause(error: Worded) -> None:
    assert cause_at(error, 200) is error.cause


@worded
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("form", ["json", "first event"])
async def test_an_error_inside_a_200_is_the_same_error(error: Worded, stream: bool, form: str) -> None:
    if form == "first event" and not stream:
        return
    body = json.dumps(error.body, ensure_ascii=False)
    reply = Reply(pieces=[body.encode() if form == "json" else events(body)])

    answer, ports = await only_target(error, reply, stream=stream)

    assert (answer.status, answer.error()["code"]) == TOLD[error.cause]
    assert set(answer.attempts()) == {(error.provider, shown(error.cause))}
    assert ports.records()[0].cost_nano_usd == 0


def shown(cause: Cause) -> str:
    """A failed attempt's outcome as the caller sees it."""
    return "unavailable" if cause in (Cause.OUR_KEY, Cause.OUR_BALANCE) else cause.value


async def only_target(error: Worded, reply: Reply, **more: Any) -> tuple[Answer, FakePorts]:
    ports = FakePorts(catalogue=catalogue(model("deepseek-chat", target(error.provider, "only"))))
    ports.upstream.answer(error.provider, reply, reply)  # a last target may be asked again
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
        ("zai", 434, {"code": "434", "message": "no"}, Cause.OUR_KEY),
        ("zai", 434, {}, Cause.OUR_KEY),
        ("zai", 435, {"code": "435", "message": "too large"}, Cause.BAD_REQUEST),
        ("zai", 435, {}, Cause.BAD_REQUEST),
        ("zai", 429, {"code": "1112", "message": "locked"}, Cause.OUR_KEY),
        ("zai", 429, {"code": "1309", "message": "expired"}, Cause.OUR_BALANCE),
        ("zai", 200, {"code": "1234", "message": "network error"}, Cause.SERVER_ERROR),
        ("deepseek", 200, {"message": "Server is overloaded"}, Cause.OVERLOADED),
        ("deepseek", 200, {"type": "invalid_request_error", "message": "Rate limit reached"}, Cause.RATE_LIMIT),
        ("deepseek", 200, {"message": "out of order"}, Cause.SERVER_ERROR),
        ("moonshot", 403, {"message": "Your account has an insufficient balance"}, Cause.OUR_BALANCE),
        ("moonshot", 403, {"message": "forbidden"}, Cause.OUR_KEY),
        ("dashscope", 403, {"code": "AccessDenied.Unpurchased", "message": "m"}, Cause.OUR_KEY),
        ("dashscope", 503, {"code": "ServiceUnavailable", "message": "m"}, Cause.OVERLOADED),
        ("dashscope", 200, {"code": "InvalidParameter", "message": "m"}, Cause.BAD_REQUEST),
        ("dashscope", 500, {"code": "RequestTimeOut", "message": "m"}, Cause.TIMEOUT),
        ("spark", 200, {"code": 10110, "message": "busy"}, Cause.OVERLOADED),
        ("spark", 200, {"code": 10016, "message": "m"}, Cause.OUR_KEY),
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


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (
            "invalid temperature: only 1 is allowed for this model",
            "invalid temperature: only 1 is allowed for this model",
        ),
        ("invalid param temperature (sid: cha000a@dx19e5) here", "invalid param temperature here"),
        ("bad stop, request_id: 7f3a-11, try less", "bad stop, try less"),
        ("no such file, write to help@lab.example.com", "no such file, write to"),
        ("too long for org-446a70bb2cc542e3960c0b7f05e4e0e1 <ak-xxxx>", "too long for"),
        ("key sk-abc123 and LTAI5tQ and ****fcc2 are none", "key and and are none"),
        ("user-defined tools are not app-wide", "user-defined tools are not app-wide"),
        ("trace 8605e472-81b4-9cd7-b04d-878e89847c14 failed", "trace failed"),
        ("Your account acme is limited to 3", ""),
        ("The organization Acme Ltd may not", ""),
        ("Your api key: x is invalid", ""),
        ("\u8d26\u6237\u5df2\u6b20\u8d39", ""),
        ("", ""),
    ],
)
def test_what_a_provider_says_of_us_is_not_shown(message: str, shown: str) -> None:
    assert ProviderError.from_object(400, {"message": message}).public_message == shown


@worded
def test_what_helps_a_caller_is_shown_as_the_provider_says_it(error: Worded) -> None:
    if error.cause in THE_CALLER_S:
        assert ProviderError.from_object(error.status, error.body["error"]).public_message == error.message


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("insufficient_system_resource", Cause.OVERLOADED),
        ("aborted", Cause.SERVER_ERROR),
        ("network_error", Cause.SERVER_ERROR),
        ("sensitive", Cause.CONTENT_FILTER),
        ("content_filter", Cause.CONTENT_FILTER),
        ("model_context_window_exceeded", Cause.CONTEXT_LENGTH),
        ("stop", None),
        ("length", None),
        (None, None),
    ],
)
def test_a_finish_without_an_answer_tells_why_there_is_none(reason: str | None, cause: Cause | None) -> None:
    assert cause_of_finish(reason) is cause
