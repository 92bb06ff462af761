"""What a drill does follows from its name, and speaks OpenAI's wire."""

import json
import tomllib
from pathlib import Path

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway.drills import EVENT_STREAM, SILENT_MS, SLOW_MS, WORDS, Ask, Break, Pause, Performance, perform
from gateway.sse import parse_event

CATALOGUE = tomllib.loads((Path(__file__).parents[2] / "catalogue.toml").read_text())
TARGETS = [
    (name, target)
    for name, model in CATALOGUE["models"].items()
    for target in model["targets"]
    if CATALOGUE["providers"][target["provider"]]["base_url"] == "drill:"
]
WITHIN_AN_ANSWER = ("malformed-mid-stream", "error-mid-stream", "cut-mid-stream", "stall")


def act(name: str, *, stream: bool = True, number: int = 1) -> Performance:
    return perform(Ask(name=name, stream=stream, number=number))


def events(performance: Performance) -> list[str]:
    """The data of each event."""
    return [parse_event(step).data or "" for step in performance.steps if isinstance(step, bytes)]


def said(datas: list[str]) -> str:
    chunks = [json.loads(data) for data in datas]
    return "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"])


def test_a_sound_stream_is_openai_s_in_every_chunk() -> None:
    *chunks, done = events(act("ok"))

    assert done == "[DONE]"
    for chunk in chunks:
        ChatCompletionChunk.model_validate_json(chunk, strict=True)
    assert said(chunks) == "".join(WORDS)
    assert json.loads(chunks[-1])["usage"]["completion_tokens"] == len(WORDS)


def test_a_sound_answer_is_openai_s_and_says_what_the_stream_says() -> None:
    [step] = act("ok", stream=False).steps
    assert isinstance(step, bytes)
    completion = ChatCompletion.model_validate_json(step, strict=True)

    assert completion.choices[0].message.content == "".join(WORDS)
    assert completion.usage is not None
    assert completion.usage.completion_tokens == len(WORDS)


@pytest.mark.parametrize(("name", "status"), [("429-once", 429), ("500-once", 500)])
def test_a_fault_that_strikes_once_is_gone_at_the_next_call_of_the_request(name: str, status: int) -> None:
    assert [act(name, number=number).status for number in (1, 2, 3)] == [status, 200, 200]


@pytest.mark.parametrize(("name", "status"), [("429", 429), ("503", 503), ("content-filter", 400)])
def test_a_lasting_refusal_is_there_at_every_call(name: str, status: int) -> None:
    assert [act(name, number=number).status for number in (1, 2)] == [status, status]


def test_a_rate_limit_says_when_to_come_again() -> None:
    assert act("429").headers["retry-after"] == "1"


@pytest.mark.parametrize("name", WITHIN_AN_ANSWER)
def test_a_fault_within_a_stream_comes_behind_content(name: str) -> None:
    before = events(act(name))[:10]

    assert said(before) == "".join(WORDS[:9])


@pytest.mark.parametrize("name", ["cut-mid-stream", "stall"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_broken_connection_has_no_end(name: str, stream: bool) -> None:
    assert act(name, stream=stream).steps[-1] is Break.CUT


def test_a_late_answer_is_sound_behind_its_pause() -> None:
    pause, *rest = act("slow-first-token").steps

    assert pause == Pause(ms=SLOW_MS)
    assert tuple(rest)[-1] == act("ok").steps[-1]


def test_a_drill_without_response_keeps_even_its_head() -> None:
    assert act("timeout").wait_ms == SILENT_MS


@pytest.mark.parametrize(("name", "stream"), [("error-in-200", True), ("error-in-200", False), ("error-event", True)])
def test_an_error_may_come_with_a_success_s_status(name: str, stream: bool) -> None:
    performance = act(name, stream=stream)
    [step] = performance.steps
    assert isinstance(step, bytes)

    assert performance.status == 200
    assert performance.headers["content-type"].startswith(EVENT_STREAM) is (name == "error-event")
    assert b'"error"' in step


def test_an_empty_answer_finishes_without_a_word() -> None:
    *chunks, _ = events(act("empty"))

    assert said(chunks) == ""
    assert '"finish_reason":"stop"' in chunks[-2]


@pytest.mark.parametrize("stream", [False, True])
def test_malformed_is_no_json(stream: bool) -> None:
    [step] = act("malformed", stream=stream).steps
    assert isinstance(step, bytes)

    with pytest.raises(json.JSONDecodeError):
        json.loads((parse_event(step).data or "") if stream else step)


def test_a_drill_that_does_not_exist_is_a_model_that_does_not_exist() -> None:
    [step] = act("nothing").steps
    assert isinstance(step, bytes)

    assert act("nothing").status == 404
    assert json.loads(step)["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(("name", "target"), TARGETS)
def test_every_drill_of_the_catalogue_exists(name: str, target: dict[str, str]) -> None:
    assert act(target["model"]).status != 404


def test_drills_come_last_in_the_catalogue_and_cost_nothing() -> None:
    names = list(CATALOGUE["models"])
    first = next(index for index, name in enumerate(names) if name.startswith("drill/"))

    assert all(name.startswith("drill/") for name in names[first:])
    for name in names[first:]:
        assert [(row["input"], row["output"]) for row in CATALOGUE["models"][name]["prices"]] == [("0", "0")]
