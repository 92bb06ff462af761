"""What each provider does with each parameter: nothing is changed in silence, and what is refused is named."""

from typing import Any

import pytest

from gateway.documents import PlainDocument
from gateway.errors import InvalidRequest, Refusal, UnsupportedParameter
from gateway.providers import DIALECTS
from gateway.providers.lab import Lab
from gateway.providers.parameters import COMMON, NO_EFFECT
from tests.unit.gateway.catalogues import CHAT, catalogue, model, target, two_targets, whole_answer
from tests.unit.gateway.fakes import FakePorts, chat
from tests.unit.gateway.upstreams import json_reply

LABS = {
    "deepseek": "deepseek-flash",
    "moonshot": "kimi-k2.6",
    "dashscope": "qwen3-max",
    "zai": "glm-4.6",
    "spark": "generalv3.5",
}
FUNCTION = {"type": "function", "function": {"name": "weather"}}
NAMED = {"type": "function", "function": {"name": "weather"}}
ON, OFF = {"type": "enabled"}, {"type": "disabled"}

labs = pytest.mark.parametrize("lab", LABS)


def asked(lab: str, /, upstream: str = "", inject: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """The document that is sent for these fields; raises the refusal."""
    name = upstream or LABS[lab]
    dialect, served = DIALECTS[lab], target(lab, name, inject=inject)
    document = PlainDocument({**CHAT, **fields})
    dialect.check(document, frozenset(document.names()), served)
    document.write("model", name)
    dialect.inject(document, served.inject)
    dialect.prepare(document)
    return document.values


def refused(lab: str, /, upstream: str = "", inject: dict[str, Any] | None = None, **fields: Any) -> Refusal:
    with pytest.raises(InvalidRequest) as caught:
        asked(lab, upstream, inject, **fields)
    return caught.value


REFUSED: list[tuple[str, str, Any]] = [
    ("deepseek", "temperature", 2.1),
    ("deepseek", "temperature", -0.1),
    ("deepseek", "top_p", 0),
    ("deepseek", "response_format", {"type": "json_schema", "json_schema": {}}),
    ("deepseek", "n", 2),
    ("deepseek", "top_logprobs", 21),
    ("deepseek", "stop", ["x"] * 17),
    ("deepseek", "enable_thinking", True),
    ("deepseek", "top_k", 5),
    ("moonshot", "temperature", 0.7),
    ("moonshot", "top_p", 1),
    ("moonshot", "n", 2),
    ("moonshot", "presence_penalty", 0.1),
    ("moonshot", "frequency_penalty", -1),
    ("moonshot", "tool_choice", "required"),
    ("moonshot", "stop", ["x"] * 6),
    ("moonshot", "stop", "x" * 33),
    ("moonshot", "stop", "\u4f60" * 11),
    ("moonshot", "logprobs", True),
    ("moonshot", "reasoning_effort", "high"),
    ("moonshot", "parallel_tool_calls", False),
    ("dashscope", "temperature", 2),
    ("dashscope", "tool_choice", "required"),
    ("dashscope", "logprobs", True),
    ("dashscope", "frequency_penalty", 1),
    ("dashscope", "n", 2),
    ("dashscope", "thinking", {"type": "enabled"}),
    ("dashscope", "thinking_budget", 0),
    ("dashscope", "reasoning_effort", "high"),
    ("dashscope", "response_format", {"type": "json_schema", "json_schema": {}}),
    ("zai", "temperature", 1.01),
    ("zai", "top_p", 0),
    ("zai", "tool_choice", "required"),
    ("zai", "tool_choice", NAMED),
    ("zai", "stop", list("abcde")),
    ("zai", "response_format", {"type": "json_schema"}),
    ("zai", "reasoning_effort", "high"),
    ("zai", "tools", [FUNCTION] * 129),
    ("zai", "thinking", {"type": "enabled", "budget_tokens": 5}),
    ("spark", "presence_penalty", -0.1),
    ("spark", "frequency_penalty", 1.1),
    ("spark", "top_k", 7),
    ("spark", "seed", 1),
    ("spark", "stop", "END"),
    ("spark", "top_p", 0),
    ("spark", "thinking", {"type": "enabled"}),
]


@pytest.mark.parametrize(("lab", "name", "value"), REFUSED)
def test_what_a_provider_cannot_do_exactly_is_refused_by_name(lab: str, name: str, value: Any) -> None:
    refusal = refused(lab, **{name: value})

    assert isinstance(refusal, UnsupportedParameter)
    assert refusal.param == name
    assert f"'{name}'" in refusal.message or name == "tools"
    assert LABS[lab] in refusal.message


UNIVERSAL: list[tuple[str, Any]] = [
    ("seed", 2**53),
    ("seed", 1e300),
    ("seed", -1),
    ("logit_bias", {"1": 5}),
    ("store", True),
    ("service_tier", "flex"),
    ("modalities", ["text", "audio"]),
    ("verbosity", "low"),
    ("audio", {"voice": "alloy"}),
    ("functions", [{"name": "f"}]),
    ("function_call", "auto"),
    ("enable_search", "yes please"),
    ("invented", 1),
]


@labs
@pytest.mark.parametrize(("name", "value"), UNIVERSAL)
def test_what_no_lab_knows_is_refused_by_all_of_them(lab: str, name: str, value: Any) -> None:
    assert refused(lab, **{name: value}).param == name


TAKEN: list[tuple[str, str, Any]] = [
    ("deepseek", "temperature", 2),
    ("deepseek", "top_p", 1),
    ("deepseek", "presence_penalty", -2),
    ("deepseek", "logprobs", True),
    ("deepseek", "top_logprobs", 20),
    ("deepseek", "seed", 2**53 - 1),
    ("deepseek", "stop", "END"),
    ("deepseek", "tool_choice", "none"),
    ("moonshot", "response_format", {"type": "json_schema", "json_schema": {}}),
    ("moonshot", "stop", ["x" * 32] * 5),
    ("moonshot", "thinking", {"type": "enabled", "keep": "all"}),
    ("dashscope", "temperature", 1.99),
    ("dashscope", "temperature", 0),
    ("dashscope", "top_k", 20),
    ("dashscope", "seed", 0),
    ("dashscope", "parallel_tool_calls", False),
    ("dashscope", "tool_choice", NAMED),
    ("dashscope", "thinking_budget", 1024),
    ("zai", "temperature", 1),
    ("zai", "top_p", 0.01),
    ("zai", "stop", list("abcd")),
    ("zai", "do_sample", False),
    ("zai", "thinking", {"type": "enabled", "clear_thinking": False}),
    ("spark", "presence_penalty", 2),
    ("spark", "top_k", 6),
    ("spark", "tool_choice", "required"),
    ("spark", "response_format", {"type": "json_object"}),
]


@pytest.mark.parametrize(("lab", "name", "value"), TAKEN)
def test_what_a_provider_can_do_reaches_it_as_it_is(lab: str, name: str, value: Any) -> None:
    assert asked(lab, **{"tools": [FUNCTION], name: value})[name] == value


WITHOUT_EFFECT: dict[str, Any] = {
    "user": "u",
    "metadata": {"a": "b"},
    "prediction": {"type": "content", "content": "x"},
    "prompt_cache_key": "k",
    "safety_identifier": "s",
    "store": False,
    "service_tier": "auto",
    "n": 1,
    "logit_bias": {},
    "logprobs": False,
    "modalities": ["text"],
    "verbosity": "medium",
    "seed": None,
    "functions": None,
    "invented": None,
}


@labs
def test_what_has_no_effect_on_an_answer_is_taken_and_left_out(lab: str) -> None:
    assert asked(lab, **WITHOUT_EFFECT).keys() & WITHOUT_EFFECT.keys() <= ({"logprobs"} if lab == "deepseek" else set())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", "warm"),
        ("temperature", True),
        ("top_p", "0.5"),
        ("n", 1.5),
        ("n", "two"),
        ("seed", "7"),
        ("seed", 1.5),
        ("stop", 5),
        ("stop", [1]),
        ("stop", {"a": 1}),
        ("logprobs", 1),
        ("store", "no"),
        ("response_format", "json_object"),
        ("logit_bias", []),
        ("tool_choice", 1),
        ("tool_choice", ["auto"]),
        ("tools", "weather"),
        ("tools", {"type": "function"}),
        ("tools", [1]),
        ("thinking", True),
        ("thinking", "enabled"),
        ("reasoning_effort", 3),
        ("enable_thinking", "true"),
        ("modalities", "text"),
        ("parallel_tool_calls", "yes"),
        ("service_tier", 1),
    ],
)
@labs
def test_a_value_of_another_type_means_nothing_anywhere(lab: str, name: str, value: Any) -> None:
    refusal = refused(lab, **{name: value})

    assert not isinstance(refusal, UnsupportedParameter)
    assert refusal.param == name


def test_openai_s_own_wire_is_not_judged() -> None:
    fields: dict[str, Any] = {"temperature": "warm", "invented": 1, "n": 5}

    assert asked("openai", "m", **fields).items() >= fields.items()


@labs
def test_an_ordinary_call_is_sent_as_it_is(lab: str) -> None:
    document = asked(lab, max_tokens=5, stream=True)

    assert {**document, "tools": None} == {**CHAT, "model": LABS[lab], "max_tokens": 5, "stream": True, "tools": None}


@labs
def test_the_check_of_an_ordinary_call_reads_no_field_but_the_switches(lab: str) -> None:
    class Reads(PlainDocument):
        seen: list[str]

        def read(self, name: str) -> Any:
            self.seen.append(name)
            return super().read(name)

    document = Reads({**CHAT, "stream": True, "max_tokens": 5, "temperature": 1})
    document.seen = []

    DIALECTS[lab].check(document, frozenset({"model", "messages", "stream", "max_tokens", "user"}), target(lab, "m"))

    assert document.seen == []


@pytest.mark.parametrize(
    ("thinking", "temperature", "sends"), [(ON, 1, True), (OFF, 0.6, True), (ON, 0.6, False), (OFF, 1, False)]
)
def test_kimi_s_temperature_is_pinned_by_its_thinking(thinking: Any, temperature: float, sends: bool) -> None:
    if not sends:
        assert refused("moonshot", inject={"thinking": thinking}, temperature=temperature).param == "temperature"
        return

    document = asked("moonshot", inject={"thinking": thinking}, temperature=temperature, top_p=0.95, presence_penalty=0)

    assert document == {**CHAT, "model": "kimi-k2.6", "thinking": thinking}


FORCED: list[tuple[str, str, dict[str, Any], Any, bool]] = [
    ("deepseek", "deepseek-flash", {}, "required", False),
    ("deepseek", "deepseek-flash", {}, NAMED, False),
    ("deepseek", "deepseek-flash", {"thinking": OFF}, "required", True),
    ("deepseek", "deepseek-flash", {"thinking": OFF}, NAMED, True),
    ("deepseek", "deepseek-flash", {"reasoning_effort": "none"}, NAMED, True),
    ("moonshot", "kimi-k2.6", {}, NAMED, False),
    ("moonshot", "kimi-k2.6", {"thinking": OFF}, NAMED, True),
    ("moonshot", "kimi-k3", {}, "required", True),
    ("moonshot", "kimi-k3", {}, NAMED, False),
    ("dashscope", "qwen3-max", {}, NAMED, True),
    ("dashscope", "qwen3-max", {"enable_thinking": True}, NAMED, False),
    ("dashscope", "qwen2.5-72b-instruct", {}, NAMED, True),
    ("dashscope", "glm-4.6", {}, NAMED, False),
    ("spark", "4.0Ultra", {}, NAMED, True),
]


@pytest.mark.parametrize(("lab", "upstream", "fields", "choice", "can"), FORCED)
def test_a_tool_is_forced_only_where_the_model_can_be_forced(
    lab: str, upstream: str, fields: dict[str, Any], choice: Any, can: bool
) -> None:
    if can:
        assert asked(lab, upstream, tools=[FUNCTION], tool_choice=choice, **fields)["tool_choice"] == choice
    else:
        assert refused(lab, upstream, tools=[FUNCTION], tool_choice=choice, **fields).param == "tool_choice"


SWITCHED: list[tuple[str, str, dict[str, Any], dict[str, Any], bool]] = [
    ("deepseek", "deepseek-flash", {}, {}, True),
    ("deepseek", "deepseek-flash", {"thinking": OFF}, {"thinking": OFF}, False),
    ("deepseek", "deepseek-flash", {"reasoning_effort": "none"}, {"thinking": OFF}, False),
    ("deepseek", "deepseek-flash", {"reasoning_effort": "minimal"}, {"reasoning_effort": "low"}, True),
    ("deepseek", "deepseek-flash", {"reasoning_effort": "medium"}, {"reasoning_effort": "high"}, True),
    ("deepseek", "deepseek-flash", {"reasoning_effort": "xhigh"}, {"reasoning_effort": "high"}, True),
    ("deepseek", "deepseek-flash", {"reasoning_effort": "max"}, {"reasoning_effort": "max"}, True),
    ("moonshot", "kimi-k2.6", {}, {}, True),
    ("moonshot", "kimi-k2.6", {"reasoning_effort": "none"}, {"thinking": OFF}, False),
    ("moonshot", "kimi-k2.7-code", {"thinking": ON}, {"thinking": ON}, True),
    ("moonshot", "kimi-k3", {"reasoning_effort": "max"}, {"reasoning_effort": "max"}, True),
    ("dashscope", "qwen3-max", {}, {}, False),
    ("dashscope", "qwen3-max", {"enable_thinking": True}, {"enable_thinking": True}, True),
    ("dashscope", "qwen3-max", {"reasoning_effort": "none"}, {"enable_thinking": False}, False),
    ("dashscope", "qwen2.5-72b-instruct", {"enable_thinking": False}, {}, False),
    ("dashscope", "glm-4.6", {}, {}, True),
    ("dashscope", "deepseek-v3.2", {}, {}, False),
    ("dashscope", "kimi-k3", {"enable_thinking": True}, {}, True),
    ("zai", "glm-4.6", {}, {}, True),
    ("zai", "glm-4.6", {"reasoning_effort": "minimal"}, {"thinking": OFF}, False),
    ("zai", "glm-5.2", {"reasoning_effort": "medium"}, {"reasoning_effort": "medium"}, True),
    ("zai", "glm-5.3", {}, {}, True),
    ("zai", "glm-4-flash", {}, {}, False),
    ("spark", "generalv3.5", {}, {}, False),
    ("spark", "spark-x", {}, {}, True),
    ("spark", "spark-x", {"thinking": OFF}, {"thinking": OFF}, False),
]
SWITCHES = ("thinking", "reasoning_effort", "enable_thinking")


@pytest.mark.parametrize(("lab", "upstream", "fields", "told", "thinks"), SWITCHED)
def test_thinking_is_switched_in_the_provider_s_own_words(
    lab: str, upstream: str, fields: dict[str, Any], told: dict[str, Any], thinks: bool
) -> None:
    document = asked(lab, upstream, **fields)

    assert {name: document[name] for name in SWITCHES if name in document} == told
    assert DIALECTS[lab].thinks(PlainDocument(document)) is thinks


@pytest.mark.parametrize(
    ("lab", "upstream", "fields", "param"),
    [
        ("moonshot", "kimi-k2.7-code", {"thinking": OFF}, "thinking"),
        ("moonshot", "kimi-k2.7-code", {"reasoning_effort": "none"}, "reasoning_effort"),
        ("moonshot", "kimi-k3", {"thinking": ON}, "thinking"),
        ("moonshot", "kimi-k3", {"reasoning_effort": "medium"}, "reasoning_effort"),
        ("zai", "glm-5.3", {"thinking": OFF}, "thinking"),
        ("zai", "glm-5.3", {"reasoning_effort": "none"}, "reasoning_effort"),
        ("dashscope", "qwen2.5-72b-instruct", {"enable_thinking": True}, "enable_thinking"),
        ("dashscope", "qwen2.5-72b-instruct", {"thinking_budget": 5}, "thinking_budget"),
        ("dashscope", "kimi-k3", {"enable_thinking": False}, "enable_thinking"),
        ("dashscope", "kimi-k3", {"reasoning_effort": "none"}, "reasoning_effort"),
        ("spark", "lite", {"tools": [FUNCTION]}, "tools"),
        ("deepseek", "deepseek-flash", {"thinking": OFF, "reasoning_effort": "high"}, "reasoning_effort"),
        ("deepseek", "deepseek-flash", {"thinking": ON, "reasoning_effort": "none"}, "reasoning_effort"),
        ("deepseek", "deepseek-flash", {"reasoning_effort": "a lot"}, "reasoning_effort"),
    ],
)
def test_what_a_model_cannot_be_told_of_its_thinking_is_refused(
    lab: str, upstream: str, fields: dict[str, Any], param: str
) -> None:
    assert refused(lab, upstream, **fields).param == param


INJECTED_OFF, INJECTED_HIGH = {"thinking": OFF}, {"thinking": ON, "reasoning_effort": "high"}


@pytest.mark.parametrize(
    ("inject", "fields", "told"),
    [
        (INJECTED_OFF, {}, INJECTED_OFF),
        (INJECTED_OFF, {"thinking": None}, INJECTED_OFF),
        (INJECTED_OFF, {"thinking": ON}, {"thinking": ON}),
        (INJECTED_OFF, {"reasoning_effort": "low"}, {"reasoning_effort": "low"}),
        (INJECTED_HIGH, {}, INJECTED_HIGH),
        (INJECTED_HIGH, {"thinking": OFF}, {"thinking": OFF}),
        (INJECTED_HIGH, {"reasoning_effort": "max"}, {"reasoning_effort": "max"}),
        (INJECTED_HIGH, {"reasoning_effort": "none"}, {"thinking": OFF}),
    ],
)
def test_a_caller_s_switch_of_thinking_replaces_all_that_the_model_s_name_stands_for(
    inject: dict[str, Any], fields: dict[str, Any], told: dict[str, Any]
) -> None:
    document = asked("deepseek", inject=inject, **fields)

    assert {name: document[name] for name in SWITCHES if name in document} == told


def test_a_bound_of_thinking_is_no_switch() -> None:
    document = asked("dashscope", inject={"enable_thinking": True}, thinking_budget=1024)

    assert (document["enable_thinking"], document["thinking_budget"]) == (True, 1024)


def test_several_answers_are_had_only_of_a_model_that_gives_them_and_without_tools() -> None:
    assert asked("dashscope", "qwen-plus", n=4)["n"] == 4
    assert refused("dashscope", "qwen-plus", n=5).param == "n"
    assert refused("dashscope", "qwen-plus", n=2, enable_thinking=True).param == "n"
    assert refused("dashscope", "qwen-plus", n=2, tools=[FUNCTION]).param == "n"


CALLED = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
}
RESULT = {"role": "tool", "tool_call_id": "c", "content": "12"}
QUESTION = {"role": "user", "content": "Hello"}


@pytest.mark.parametrize("lab", ["deepseek", "moonshot"])
def test_the_reasoning_that_led_to_tool_calls_must_come_back_while_a_model_thinks(lab: str) -> None:
    explained = {**CALLED, "reasoning_content": "I need the weather."}

    refusal = refused(lab, messages=[QUESTION, CALLED, RESULT], tools=[FUNCTION])
    kept = asked(lab, messages=[QUESTION, explained, RESULT], tools=[FUNCTION])["messages"]

    assert refusal.param == "messages[1].reasoning_content"
    assert kept[1]["reasoning_content"] == "I need the weather."


@labs
@pytest.mark.parametrize(
    ("messages", "fields"),
    [
        ([QUESTION, CALLED, RESULT, {"role": "assistant", "content": "12"}, QUESTION], {}),
        ([QUESTION, {**CALLED, "reasoning_content": ""}, RESULT], {}),
        ([QUESTION, CALLED, RESULT], {"reasoning_effort": "none"}),
    ],
    ids=["an earlier turn", "empty reasoning", "not thinking"],
)
def test_no_reasoning_is_asked_for_where_it_is_not_needed(
    lab: str, messages: list[dict[str, Any]], fields: dict[str, Any]
) -> None:
    more = {} if lab == "spark" else fields

    assert asked(lab, messages=messages, tools=[FUNCTION], **more)["messages"][1]["tool_calls"] == CALLED["tool_calls"]


async def test_what_is_refused_is_never_sent_and_costs_nothing() -> None:
    ports = FakePorts(catalogue=catalogue(model("deepseek-chat", target("zai", "glm-4.6"))))

    answer = await chat(ports, {**CHAT, "temperature": 1.5})

    assert (answer.status, answer.error()["code"], answer.error()["param"]) == (
        400,
        "unsupported_parameter",
        "temperature",
    )
    assert ports.upstream.calls == []
    assert ports.records() == []


async def test_a_target_that_cannot_do_what_is_asked_is_passed_over_for_one_that_can() -> None:
    ports = FakePorts(catalogue=two_targets("zai", "mirror"))
    ports.upstream.answer("mirror", json_reply(whole_answer()))

    answer = await chat(ports, temperature=1.5)

    assert answer.attempts() == [("mirror", "ok")]


@labs
def test_every_table_has_what_all_have_in_common(lab: str) -> None:
    dialect = DIALECTS[lab]
    assert isinstance(dialect, Lab)

    for thinking in (False, True):
        assert COMMON.keys() <= dialect.parameters(LABS[lab], thinking=thinking).keys()
    assert dialect.parameters(LABS[lab], thinking=False)["user"] is NO_EFFECT
