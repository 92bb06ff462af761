"""Whatever a lab's wire looks like, a customer gets from it what OpenAI's own types describe, and what the lab said."""

import json
from typing import Any

import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletionMessage

from tests.e2e.chat import WEATHER
from tests.e2e.contract import Case, Compared, compare, joined
from tests.e2e.wall import LABS, Wall

TOOLS = {"tools": [WEATHER]}
# What is asked: of the thinking model or not, in which words, with which fields.
FEATURES: dict[str, tuple[bool, str, dict[str, Any]]] = {
    "text": (False, "Hello [[lab tokens=12 cached=1]]", {}),
    "reasoning": (True, "Hello [[lab tokens=7 reasoning=5]]", {}),
    "tools": (False, "Lisbon [[lab tools=1]]", TOOLS),
    "parallel tools": (False, "Lisbon [[lab tools=3]]", TOOLS),
    "tools after reasoning": (True, "Lisbon [[lab tools=2 reasoning=3]]", TOOLS),
    "JSON mode": (False, "Answer in JSON [[lab tokens=5]]", {"response_format": {"type": "json_object"}}),
    "long Unicode": (False, "你好 🙂 [[lab unicode tokens=600 cut_bytes=61]]", {}),
    "an answer that is cut short": (False, "Hello [[lab tokens=12]]", {"max_tokens": 4}),
}
MODES: dict[str, tuple[bool, dict[str, Any]]] = {
    "whole": (False, {}),
    "stream": (True, {}),
    "stream with usage": (True, {"stream_options": {"include_usage": True}}),
}
STREAMS = ("stream", "stream with usage")
EACH = [(lab, feature) for lab in LABS for feature in FEATURES]
FINISHES = {
    "tools": "tool_calls",
    "parallel tools": "tool_calls",
    "tools after reasoning": "tool_calls",
    "an answer that is cut short": "length",
}
# Spark never says how an answer ended, so one that was cut short cannot be told from one that was not.
SAYS_NO_LENGTH = ("spark",)

Answers = dict[tuple[str, str, str], Compared]


@pytest.fixture(scope="module")
def answers(wall: Wall) -> Answers:
    """By lab, feature and mode."""
    return compare(
        wall,
        {
            (lab, feature, mode): Case(
                target=f"{lab} thinking" if thinking else lab, text=text, stream=stream, fields=fields | options
            )
            for lab in LABS
            for feature, (thinking, text, fields) in FEATURES.items()
            for mode, (stream, options) in MODES.items()
        },
    )


def finish_of(lab: str, feature: str) -> str:
    finish = FINISHES.get(feature, "stop")
    return "stop" if finish == "length" and lab in SAYS_NO_LENGTH else finish


def said(message: ChatCompletionMessage) -> tuple[Any, ...]:
    """What a message says, but for the ids of its calls, which are new in each answer."""
    calls = [
        (call.function.name, call.function.arguments) for call in message.tool_calls or [] if call.type == "function"
    ]
    return message.role, message.content or "", getattr(message, "reasoning_content", None) or "", calls


def counts(usage: CompletionUsage) -> tuple[int, int, int]:
    details = usage.prompt_tokens_details
    return usage.prompt_tokens, usage.completion_tokens, (details and details.cached_tokens) or 0


@pytest.mark.parametrize(("lab", "feature"), EACH)
def test_a_whole_answer_has_openai_s_fields_in_openai_s_types(answers: Answers, lab: str, feature: str) -> None:
    completion = answers[lab, feature, "whole"].completion

    assert completion.object == "chat.completion"
    assert [choice.finish_reason for choice in completion.choices] == [finish_of(lab, feature)]


@pytest.mark.parametrize("mode", STREAMS)
@pytest.mark.parametrize(("lab", "feature"), EACH)
def test_every_chunk_has_openai_s_fields_in_openai_s_types(answers: Answers, lab: str, feature: str, mode: str) -> None:
    chunks = answers[lab, feature, mode].chunks

    assert len({(chunk.id, chunk.object, chunk.model) for chunk in chunks}) == 1
    assert [chunk.choices[0].index for chunk in chunks if chunk.choices] == [0] * (len(chunks) - (mode != "stream"))


@pytest.mark.parametrize("mode", STREAMS)
@pytest.mark.parametrize(("lab", "feature"), EACH)
def test_a_stream_says_its_role_first_and_its_finish_last_each_once(
    answers: Answers, lab: str, feature: str, mode: str
) -> None:
    choices = [chunk.choices[0] for chunk in answers[lab, feature, mode].chunks if chunk.choices]

    assert [choice.delta.role for choice in choices] == ["assistant"] + [None] * (len(choices) - 1)
    assert [choice.finish_reason for choice in choices] == [None] * (len(choices) - 1) + [finish_of(lab, feature)]


@pytest.mark.parametrize("mode", STREAMS)
@pytest.mark.parametrize(("lab", "feature"), EACH)
def test_the_deltas_add_up_to_the_whole_answer(answers: Answers, lab: str, feature: str, mode: str) -> None:
    whole = answers[lab, feature, "whole"].completion.choices[0].message

    assert said(joined(answers[lab, feature, mode].chunks)) == said(whole)


@pytest.mark.parametrize("mode", STREAMS)
@pytest.mark.parametrize(("lab", "feature"), [case for case in EACH if FINISHES.get(case[1]) != "length"])
def test_the_openai_package_adds_them_up_alike(answers: Answers, lab: str, feature: str, mode: str) -> None:
    whole = answers[lab, feature, "whole"].completion.choices[0].message
    state = ChatCompletionStreamState()
    for chunk in answers[lab, feature, mode].chunks:
        state.handle_chunk(chunk)
    message = state.get_final_completion().choices[0].message

    assert (said(message)[1], said(message)[3]) == (said(whole)[1], said(whole)[3])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("lab", LABS)
@pytest.mark.parametrize(("feature", "count"), [("tools", 1), ("parallel tools", 3), ("tools after reasoning", 2)])
def test_each_tool_call_has_an_id_of_its_own_and_its_arguments_whole(
    answers: Answers, lab: str, feature: str, count: int, mode: str
) -> None:
    answer = answers[lab, feature, mode]
    message = answer.completion.choices[0].message if mode == "whole" else joined(answer.chunks)
    calls = message.tool_calls or []

    assert len({call.id for call in calls if call.id}) == count
    for call in calls:
        assert call.type == "function"
        assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "Lisbon"})


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("lab", LABS)
def test_reasoning_comes_beside_the_content(answers: Answers, lab: str, mode: str) -> None:
    answer = answers[lab, "reasoning", mode]
    message = answer.completion.choices[0].message if mode == "whole" else joined(answer.chunks)
    _, content, reasoning, _ = said(message)

    assert (len(reasoning.split()), len(content.split())) == (5, 7)


@pytest.mark.parametrize(("lab", "feature"), EACH)
def test_usage_that_was_not_asked_for_does_not_come(answers: Answers, lab: str, feature: str) -> None:
    chunks = answers[lab, feature, "stream"].chunks

    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert not any("usage" in (choice.model_extra or {}) for chunk in chunks for choice in chunk.choices)


@pytest.mark.parametrize(("lab", "feature"), EACH)
def test_usage_that_was_asked_for_comes_once_in_a_last_chunk_of_its_own(
    answers: Answers, lab: str, feature: str
) -> None:
    *others, last = answers[lab, feature, "stream with usage"].chunks

    assert (last.choices, last.usage is None) == ([], False)
    assert all(chunk.choices and chunk.usage is None for chunk in others)


@pytest.mark.parametrize(("lab", "feature"), EACH)
def test_lab_stream_answer_and_record_agree_on_usage(answers: Answers, lab: str, feature: str) -> None:
    whole, stream = answers[lab, feature, "whole"], answers[lab, feature, "stream with usage"]
    reported = CompletionUsage.model_validate(whole.lab_usage)
    cached = whole.lab_usage.get("cached_tokens", counts(reported)[2])
    expected = (reported.prompt_tokens, reported.completion_tokens, cached)
    usages = [whole.completion.usage, stream.chunks[-1].usage]

    assert [usage and counts(usage) for usage in usages] == [expected, expected]
    for mode in MODES:
        record = answers[lab, feature, mode].record
        assert (record["prompt_tokens"], record["completion_tokens"], record["cached_tokens"]) == expected
        assert (record["state"], record["estimated"]) == ("complete", False)


@pytest.mark.parametrize("lab", ["deepseek", "moonshot", "dashscope"])
def test_reasoning_tokens_are_told_where_the_lab_tells_them(answers: Answers, lab: str) -> None:
    usage = answers[lab, "reasoning", "stream with usage"].chunks[-1].usage

    assert usage is not None
    assert usage.completion_tokens_details is not None
    assert usage.completion_tokens_details.reasoning_tokens == 5
    assert {answers[lab, "reasoning", mode].record["reasoning_tokens"] for mode in MODES} == {5}


def test_long_text_of_any_script_arrives_as_the_lab_sent_it(answers: Answers) -> None:
    for lab in LABS:
        content = answers[lab, "long Unicode", "whole"].completion.choices[0].message.content or ""

        assert len(content.split()) == 600
        assert "山水有清音" in content


# Finish reasons that only their lab knows, and OpenAI's word for each; None: it is no end but a failure.
OWN_FINISHES = [
    ("zai", "sensitive", "content_filter"),
    ("zai", "model_context_window_exceeded", "length"),
    ("zai", "network_error", None),
    ("deepseek", "insufficient_system_resource", None),
    ("deepseek", "aborted", None),
]


@pytest.mark.parametrize(("lab", "finish", "told"), [case for case in OWN_FINISHES if case[2]])
def test_a_finish_that_only_one_lab_knows_is_told_in_openai_s_words(
    wall: Wall, lab: str, finish: str, told: str
) -> None:
    text = f"Hello [[lab tokens=5 finish={finish}]]"
    whole, stream = (wall.ask(lab, text, stream=stream) for stream in (False, True))

    assert whole.finishes == stream.finishes == (told,)
    assert stream.is_done


@pytest.mark.parametrize(("lab", "finish"), [case[:2] for case in OWN_FINISHES if not case[2]])
def test_a_failure_that_a_lab_tells_as_a_finish_is_told_as_an_error(wall: Wall, lab: str, finish: str) -> None:
    text = f"Hello [[lab tokens=5 finish={finish}]]"
    whole, stream = (wall.ask(lab, text, stream=stream) for stream in (False, True))

    assert whole.status in (502, 503)
    assert len(stream.text.split()) == 5
    assert (stream.code, stream.is_done) == ("upstream_error", False)
