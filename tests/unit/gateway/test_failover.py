"""Which target is asked next, when an answer counts as begun, and what is told when none did."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.attempt import MAX_UNSTREAMED_TOKENS, SLOWEST_MS_PER_TOKEN
from gateway.circuits import FAILURES_TO_OPEN
from gateway.failover import MAX_ATTEMPTS
from gateway.judging import AGAIN_AFTER_MS
from gateway.ports import UpstreamFailed, UpstreamSilent
from gateway.replies import MAX_ERROR_BODY_BYTES, MAX_HEAD_BYTES, MAX_PROVIDER_MESSAGE_CHARS
from gateway.sse import MAX_EVENT_BYTES
from tests.unit.gateway.catalogues import catalogue, model, target, two_targets, whole_answer
from tests.unit.gateway.fakes import Answer, FakePorts, chat
from tests.unit.gateway.shapes import ERROR, FLAT_ERROR, compact, deepseek, events, shape
from tests.unit.gateway.upstreams import Pause, Piece, Reply, json_reply

CONTENT = events(deepseek({"content": "from the mirror"}, "stop"), "[DONE]")
ROLE_ONLY = events(deepseek({"role": "assistant", "content": ""}))
FILTERED = {"error": {"message": "Content Exists Risk"}}


async def ask_two(
    first: Reply | UpstreamFailed, *, stream: bool, provider: str = "deepseek"
) -> tuple[Answer, FakePorts]:
    """A call whose first target gives this reply, and whose second, a mirror, answers well."""
    ports = FakePorts(catalogue=two_targets(provider))
    ports.upstream.answer(provider, first)
    ports.upstream.answer("mirror", Reply(pieces=[CONTENT]) if stream else json_reply(whole_answer("from the mirror")))
    # A short answer of one that does not think is asked for as JSON where the caller wants JSON.
    return await chat(ports, stream=stream, thinking={"type": "disabled"}, max_tokens=9), ports


async def ask_one(reply: Reply | UpstreamFailed, *, stream: bool = False) -> tuple[Answer, FakePorts]:
    ports = FakePorts()
    ports.upstream.answer("deepseek", reply)
    return await chat(ports, stream=stream), ports


FAILS_WHOLE: list[tuple[str, Reply | UpstreamFailed]] = [
    ("connect_error", UpstreamFailed("refused")),
    ("timeout", UpstreamSilent("late")),
    ("connect_error", Reply(pieces=[b'{"choices":', UpstreamFailed("reset")])),
    ("timeout", Reply(pieces=[b'{"choices":', UpstreamSilent("late")])),
    ("malformed_answer", Reply(pieces=[b"<html>"])),
    ("malformed_answer", Reply(pieces=[b"[]"])),
    ("malformed_answer", Reply()),
    ("empty_answer", json_reply({})),
    ("empty_answer", json_reply(whole_answer(""))),
    ("empty_answer", json_reply({"choices": []})),
    ("empty_answer", json_reply({"choices": [{"message": None}]})),
    ("server_error", json_reply({"error": {"message": "m"}})),
    ("server_error", json_reply(whole_answer(error={"message": "m"}))),
    ("server_error", json_reply({"error": "m"}, status=501)),
    ("server_error", Reply(pieces=[b"<html>bad gateway"], status=502)),
    ("server_error", Reply(status=302, headers={"location": "https://elsewhere.example"})),
    ("overloaded", Reply(pieces=[b"x" * (MAX_ERROR_BODY_BYTES + 1)], status=503)),
    ("connect_error", Reply(pieces=[UpstreamFailed("reset")], status=500)),
]
FAILS_STREAM: list[tuple[str, list[Piece]]] = [
    ("cut_stream", []),
    ("cut_stream", [ROLE_ONLY]),
    ("cut_stream", [b": keep-alive\n\n"]),
    ("cut_stream", [events(deepseek({"content": "x"}))[:-2]]),
    ("connect_error", [ROLE_ONLY, UpstreamFailed("reset")]),
    ("timeout", [ROLE_ONLY, Pause(15_001), CONTENT]),
    ("timeout", [b": keep-alive\n\n", Pause(8_000), b": keep-alive\n\n", Pause(8_000), CONTENT]),
    ("empty_answer", [ROLE_ONLY, events(deepseek({}, "stop"), "[DONE]")]),
    ("empty_answer", [ROLE_ONLY, events(deepseek({}, "stop"))]),
    ("empty_answer", [events("[DONE]")]),
    ("overloaded", [events(ERROR, "[DONE]")]),
    ("overloaded", [ROLE_ONLY, events(ERROR)]),
    ("overloaded", [events(ERROR)[:-2]]),
    ("overloaded", [events(ERROR, deepseek({"content": "x"}))]),
    ("overloaded", [events(deepseek({"content": "x"}), ERROR)]),
    ("server_error", [events(compact({"error": "text"}))]),
    ("malformed_answer", [events("oops")]),
    ("malformed_answer", [events("[1]")]),
    ("malformed_answer", [b"data: " + b"x" * MAX_EVENT_BYTES]),
    ("empty_answer", [b": " + b"x" * MAX_HEAD_BYTES]),
]


@pytest.mark.parametrize(("cause", "reply"), FAILS_WHOLE)
async def test_a_whole_answer_that_is_none_is_asked_for_at_the_next_target(
    cause: str, reply: Reply | UpstreamFailed
) -> None:
    answer, ports = await ask_two(reply, stream=False)

    assert answer.status == 200
    assert answer.json()["choices"][0]["message"]["content"] == "from the mirror"
    assert answer.attempts() == [("deepseek", cause), ("mirror", "ok")]
    assert len(ports.records()) == 1


@pytest.mark.parametrize(("cause", "pieces"), FAILS_STREAM)
async def test_a_stream_that_fails_before_its_first_content_is_asked_for_at_the_next_target(
    cause: str, pieces: list[Piece]
) -> None:
    reply = Reply(pieces=pieces)

    answer, ports = await ask_two(reply, stream=True)

    assert answer.attempts() == [("deepseek", cause), ("mirror", "ok")]
    assert answer.events()[0]["choices"][0]["delta"] == {"content": "from the mirror"}
    assert [record.state for record in ports.records()] == ["complete"]


async def test_a_failed_stream_is_closed() -> None:
    for _, pieces in FAILS_STREAM:
        reply = Reply(pieces=pieces)

        await ask_two(reply, stream=True)

        assert reply.closed or any(isinstance(piece, UpstreamFailed | Pause) for piece in pieces)


@pytest.mark.parametrize("provider", ["zai", "spark"])
async def test_a_code_as_the_first_event_is_an_error(provider: str) -> None:
    answer, _ = await ask_two(Reply(pieces=[events(FLAT_ERROR, before="data:")]), stream=True, provider=provider)

    assert answer.attempts()[-1] == ("mirror", "ok")


@pytest.mark.parametrize(
    "delta",
    [
        {"content": "x"},
        {"reasoning_content": "x"},
        {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": ""}}]},
        {"refusal": "no"},
    ],
    ids=lambda delta: next(iter(delta)),
)
async def test_content_reasoning_a_tool_call_or_a_refusal_is_an_answer(delta: dict[str, Any]) -> None:
    streamed, _ = await ask_one(Reply(pieces=[events(deepseek(delta), deepseek({}, "stop"), "[DONE]")]), stream=True)
    message = {"role": "assistant", "content": None, **delta}
    whole, _ = await ask_one(json_reply(whole_answer(choices=[{"index": 0, "message": message}])))

    assert streamed.attempts() == [("deepseek", "ok")]
    assert whole.attempts() == [("deepseek", "ok")]


async def test_nothing_else_is_asked_after_the_commit_point() -> None:
    answer, ports = await ask_two(Reply(pieces=[events(deepseek({"content": "x"})), events(ERROR)]), stream=True)

    assert ports.upstream.names() == ["deepseek"]
    assert answer.status == 200
    assert "error" in answer.events()[-1]


@pytest.mark.parametrize(("delay_ms", "outcome"), [(15_000, "ok"), (15_001, "timeout")])
async def test_a_stream_s_first_event_may_take_as_long_as_its_limit(delay_ms: int, outcome: str) -> None:
    by_head, _ = await ask_two(Reply(pieces=[CONTENT], delay_ms=delay_ms), stream=True)
    by_event, _ = await ask_two(Reply(pieces=[Pause(delay_ms), CONTENT]), stream=True)

    by_both, _ = await ask_two(Reply(pieces=[Pause(delay_ms - 9_000), CONTENT], delay_ms=9_000), stream=True)

    assert {answer.attempts()[0] for answer in (by_head, by_event, by_both)} == {("deepseek", outcome)}


@pytest.mark.parametrize(("max_tokens", "delay_ms", "status"), [(10, 16_000, 200), (10, 16_001, 504), (1, 15_101, 504)])
async def test_a_short_answer_in_one_piece_has_the_time_of_its_tokens_beyond_that_of_a_first_event(
    max_tokens: int, delay_ms: int, status: int
) -> None:
    ports = FakePorts()
    slow = Reply(pieces=json_reply(whole_answer()).pieces, delay_ms=delay_ms)
    ports.upstream.answer("deepseek", slow, slow)

    answer = await chat(ports, max_tokens=max_tokens, thinking={"type": "disabled"})

    assert answer.status == status


@pytest.mark.parametrize(
    ("max_tokens", "is_streamed"), [(MAX_UNSTREAMED_TOKENS, False), (MAX_UNSTREAMED_TOKENS + 1, True), (None, True)]
)
async def test_an_answer_that_may_be_long_is_streamed_to_us_so_that_a_silent_target_is_left_in_time(
    max_tokens: int | None, is_streamed: bool
) -> None:
    ports = FakePorts(catalogue=two_targets("deepseek"))
    ports.upstream.answer("deepseek", UpstreamSilent("nothing"))
    ports.upstream.answer("mirror", json_reply(whole_answer("from the mirror")))

    answer = await chat(ports, max_tokens=max_tokens, thinking={"type": "disabled"})

    (_, first), (_, second) = ports.upstream.calls
    assert answer.json()["choices"][0]["message"]["content"] == "from the mirror"
    assert [document.get("stream", False) for document in ports.upstream.documents()] == [is_streamed] * 2
    work_ms = 0 if is_streamed else MAX_UNSTREAMED_TOKENS * SLOWEST_MS_PER_TOKEN
    assert [first.headers_timeout_ms, second.headers_timeout_ms] == [15_000 + work_ms] * 2


async def test_each_target_is_asked_once_and_no_more_than_the_limit() -> None:
    targets = [target("mirror", f"open-{number}") for number in range(MAX_ATTEMPTS + 2)]
    ports = FakePorts(catalogue=catalogue(model("deepseek-chat", *targets)))
    ports.upstream.answer("mirror", *(Reply(status=502) for _ in targets))

    answer = await chat(ports)

    asked = [document["model"] for document in ports.upstream.documents()]
    assert asked == [f"open-{number}" for number in range(MAX_ATTEMPTS)]
    assert len(answer.attempts()) == MAX_ATTEMPTS


async def test_a_provider_without_a_key_of_ours_is_passed_over() -> None:
    ports = FakePorts(catalogue=two_targets("deepseek"))
    del ports.secrets["deepseek"]
    ports.upstream.answer("mirror", json_reply(whole_answer()))

    answer = await chat(ports)

    assert answer.attempts() == [("deepseek", "unavailable"), ("mirror", "ok")]
    assert ports.upstream.names() == ["mirror"]


async def test_one_target_that_is_only_busy_decides_what_the_caller_is_told() -> None:
    ports = FakePorts(catalogue=two_targets("deepseek"))
    ports.upstream.answer("deepseek", Reply(status=429))
    ports.upstream.answer("mirror", Reply(status=404))

    answer = await chat(ports)

    assert (answer.status, answer.error()["code"]) == (503, "upstream_overloaded")
    lines = answer.error()["metadata"]["attempts"]
    assert [(line["provider"], line["outcome"], line["status"]) for line in lines] == [
        ("deepseek", "rate_limit", 429),
        ("mirror", "model_missing", 404),
    ]
    assert answer.attempts() == [("deepseek", "rate_limit"), ("mirror", "model_missing")]


async def test_a_request_at_fault_is_given_up_after_other_failures() -> None:
    ports = FakePorts(catalogue=two_targets("mirror", "deepseek"))
    ports.upstream.answer("mirror", Reply(status=502))
    ports.upstream.answer("deepseek", json_reply(FILTERED, status=400))

    answer = await chat(ports)

    assert (answer.status, answer.error()["code"]) == (400, "content_filter")
    assert len(answer.attempts()) == 2


@pytest.mark.parametrize("name", ["retry-after", "msh-cooldown-seconds"])
async def test_a_provider_s_word_on_when_to_come_back_is_passed_on(name: str) -> None:
    answer, _ = await ask_one(Reply(status=429, headers={name: "7"}))

    assert (answer.status, answer.headers["retry-after"]) == (503, "7")


async def test_a_long_message_of_a_provider_is_cut() -> None:
    answer, _ = await ask_one(json_reply({"error": {"message": "m" * 2_000}}, status=400))

    assert len(answer.error()["message"]) == MAX_PROVIDER_MESSAGE_CHARS


async def test_a_failed_call_costs_nothing_and_leaves_no_hold() -> None:
    for stream in (False, True):
        answer, ports = await ask_one(Reply(status=404), stream=stream)

        [record] = ports.records()
        assert answer.status == 502
        assert (record.state, record.cost_nano_usd, record.price_row) == ("failed", 0, None)
        assert [attempt.outcome for attempt in record.attempts] == ["model_missing"]
        assert (record.provider, record.served_model) == (None, None)
        assert ports.open_holds() == 0


async def test_a_failed_attempt_s_time_is_measured() -> None:
    answer, ports = await ask_two(Reply(pieces=[Pause(200), UpstreamFailed("reset")]), stream=True)

    [record] = ports.records()
    assert [attempt.ms for attempt in record.attempts] == [200, 0]
    assert '"ms":200' in answer.headers["x-haotokai-attempts"]


async def test_all_attempts_together_end_before_the_hold_does() -> None:
    targets = [target("mirror", f"open-{number}") for number in range(3)]
    served = catalogue(model("deepseek-chat", *targets))
    hasty = {"mirror": replace(served.providers["mirror"], total_timeout_ms=20_000)}
    ports = FakePorts(catalogue=replace(served, providers=served.providers | hasty))
    ports.upstream.answer("mirror", *(Reply(delay_ms=12_000, status=502) for _ in targets))

    answer = await chat(ports)

    assert ports.clock.now_ms - ports.records()[0].started_at_ms == 20_000
    assert answer.attempts() == [("mirror", "server_error"), ("mirror", "timeout")]
    assert len(ports.upstream.calls) == 2
    assert ports.records()[0].state == "failed"


async def test_an_error_of_our_own_during_an_attempt_settles_the_hold_at_nothing() -> None:
    ports = FakePorts()  # the provider has no reply: the stand-in raises what the gateway does not know

    answer = await chat(ports)

    assert answer.status == 500
    assert ports.records()[0].cost_nano_usd == 0
    assert ports.open_holds() == 0


async def test_the_shapes_that_begin_with_an_error_never_reach_a_caller() -> None:
    for name in ("deepseek-error-first", "spark-code-first"):
        failing = shape(name)

        answer, _ = await ask_two(Reply(pieces=[failing.wire]), stream=True, provider=failing.dialect)

        assert answer.attempts()[-1] == ("mirror", "ok")


async def test_a_single_500_is_asked_of_the_same_target_once_more() -> None:
    ports = FakePorts(catalogue=two_targets("deepseek"))
    ports.upstream.answer("deepseek", Reply(status=500), json_reply(whole_answer("after all")))

    answer = await chat(ports)

    assert answer.json()["choices"][0]["message"]["content"] == "after all"
    assert answer.attempts() == [("deepseek", "server_error"), ("deepseek", "ok")]
    assert len(ports.records()) == 1


@pytest.mark.parametrize(
    "reply",
    [
        UpstreamFailed("refused"),
        UpstreamSilent("late"),
        Reply(status=502),
        Reply(status=503),
        Reply(pieces=[b"<html>"]),
        json_reply({}),
        Reply(pieces=[b'{"choices":', UpstreamFailed("reset")]),
    ],
)
async def test_a_fault_that_may_pass_is_tried_once_more_at_the_last_target(reply: Reply | UpstreamFailed) -> None:
    ports = FakePorts()
    ports.upstream.answer("deepseek", reply, json_reply(whole_answer()))
    began_ms = ports.clock.now_ms

    answer = await chat(ports)

    assert [outcome == "ok" for _, outcome in answer.attempts()] == [False, True]
    assert ports.clock.now_ms - began_ms == AGAIN_AFTER_MS
    assert [record.state for record in ports.records()] == ["complete"]


async def test_the_last_target_is_not_asked_a_third_time() -> None:
    ports = FakePorts(catalogue=two_targets("deepseek"))
    ports.upstream.answer("deepseek", Reply(status=502))
    ports.upstream.answer("mirror", Reply(status=502), Reply(status=500), json_reply(whole_answer()))

    answer = await chat(ports)

    assert answer.attempts() == [("deepseek", "server_error"), ("mirror", "server_error"), ("mirror", "server_error")]
    assert answer.status == 502


async def test_a_target_that_answers_500_twice_is_left() -> None:
    ports = FakePorts(catalogue=two_targets("deepseek"))
    ports.upstream.answer("deepseek", Reply(status=500), Reply(status=500))
    ports.upstream.answer("mirror", json_reply(whole_answer()))

    answer = await chat(ports)

    assert answer.attempts() == [("deepseek", "server_error"), ("deepseek", "server_error"), ("mirror", "ok")]


@pytest.mark.parametrize(("seconds", "asked"), [("2", 2), ("0.5", 2), ("2.1", 1), ("Wed, 25 Nov 2026", 1), (None, 1)])
async def test_only_a_short_retry_after_of_the_last_target_is_waited_for(seconds: str | None, asked: int) -> None:
    ports = FakePorts()
    headers = {} if seconds is None else {"retry-after": seconds}
    ports.upstream.answer("deepseek", Reply(status=429, headers=headers), json_reply(whole_answer()))

    answer = await chat(ports)

    assert len(ports.upstream.calls) == asked
    assert answer.status == (200 if asked == 2 else 503)


async def test_a_short_retry_after_is_not_waited_for_where_another_target_is_free() -> None:
    answer, ports = await ask_two(Reply(status=429, headers={"retry-after": "1"}), stream=False)

    assert answer.attempts() == [("deepseek", "rate_limit"), ("mirror", "ok")]
    assert ports.upstream.names() == ["deepseek", "mirror"]


async def test_the_least_time_to_wait_is_told() -> None:
    ports = FakePorts(catalogue=two_targets("deepseek"))
    ports.upstream.answer("deepseek", Reply(status=429, headers={"retry-after": "30"}))
    ports.upstream.answer("mirror", Reply(status=503, headers={"retry-after": "9"}))

    answer = await chat(ports)

    assert answer.headers["retry-after"] == "9"


TOO_LONG = json_reply({"error": {"message": "This model's maximum context length is 8 tokens."}}, status=400)


@pytest.mark.parametrize(("lengths", "asked"), [((8_000, 8_000), 1), ((8_000, 9_000), 2), ((9_000, 8_000), 1)])
async def test_a_request_that_is_too_long_goes_only_to_a_target_that_takes_more(
    lengths: tuple[int, int], asked: int
) -> None:
    first, second = (
        replace(target(name, "m"), context_length=length)
        for name, length in zip(("deepseek", "mirror"), lengths, strict=True)
    )
    ports = FakePorts(catalogue=catalogue(model("deepseek-chat", first, second)))
    ports.upstream.answer("deepseek", TOO_LONG)
    ports.upstream.answer("mirror", json_reply(whole_answer()))

    answer = await chat(ports)

    assert len(ports.upstream.calls) == asked
    assert answer.status == (200 if asked == 2 else 400)
    if asked == 1:
        assert answer.error()["code"] == "context_length_exceeded"


async def test_a_limited_key_is_left_for_the_next_and_rests() -> None:
    ports = FakePorts()
    ports.secrets["deepseek"] = "sk-one, sk-two"
    ports.upstream.answer("deepseek", Reply(status=429), *(json_reply(whole_answer()) for _ in range(3)))

    answers = [await chat(ports) for _ in range(3)]

    used = [call.headers["authorization"].removeprefix("Bearer ") for _, call in ports.upstream.calls]
    assert answers[0].attempts() == [("deepseek", "rate_limit"), ("deepseek", "ok")]
    assert used[0] != used[1]
    assert used[1:] == [used[1]] * 3


async def test_a_provider_whose_keys_are_all_refused_comes_last_for_a_while() -> None:
    ports = FakePorts(catalogue=two_targets("deepseek"))
    ports.secrets["deepseek"] = "sk-one,sk-two"
    ports.upstream.answer("deepseek", Reply(status=401), Reply(status=401))
    ports.upstream.answer("mirror", json_reply(whole_answer()), json_reply(whole_answer()))

    first, second = await chat(ports), await chat(ports)

    assert first.attempts() == [("deepseek", "unavailable"), ("deepseek", "unavailable"), ("mirror", "ok")]
    assert second.attempts() == [("mirror", "ok")]


async def test_a_flapping_target_is_passed_over_once_it_has_failed_in_a_row() -> None:
    ports = FakePorts(catalogue=two_targets("deepseek"))
    ports.upstream.answer("deepseek", *(Reply(status=503) for _ in range(FAILURES_TO_OPEN)))
    ports.upstream.answer("mirror", *(json_reply(whole_answer()) for _ in range(FAILURES_TO_OPEN + 1)))

    answers = [await chat(ports) for _ in range(FAILURES_TO_OPEN + 1)]

    assert all(answer.status == 200 for answer in answers)
    assert answers[-1].attempts() == [("mirror", "ok")]


async def test_the_model_that_answered_is_named() -> None:
    answer, _ = await ask_two(Reply(status=503), stream=False)

    assert answer.headers["x-haotokai-model"] == "deepseek-chat"
    assert answer.headers["x-haotokai-provider"] == "mirror"
