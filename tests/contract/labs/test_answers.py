"""The answer follows from the prompt alone, and its size from the directives."""

import json
from typing import Any

import pytest

from local.labs.call import IMAGE_TOKENS
from tests.contract.labs.calls import BY_NAME, MODELS, WEATHER, ask, call, deltas, user


def content(lab: str, text: str, **parameters: Any) -> str:
    said: str = ask(lab, text, **parameters)[1]["choices"][0]["message"]["content"]
    return said


def usage(lab: str, text: str, **parameters: Any) -> dict[str, Any]:
    used: dict[str, Any] = ask(lab, text, **parameters)[1]["usage"]
    return used


@pytest.mark.parametrize("lab", MODELS)
def test_the_same_prompt_gets_the_same_answer_and_another_prompt_another(lab: str) -> None:
    assert content(lab, "hello") == content(lab, "hello")
    assert content(lab, "hello") != content(lab, "good morning")


def test_the_answer_is_the_same_at_each_lab() -> None:
    assert len({content(lab, "hello").lstrip("\n") for lab in MODELS}) == 1


@pytest.mark.parametrize("lab", MODELS)
def test_each_piece_of_content_and_reasoning_is_one_token(lab: str) -> None:
    text = "hello [[lab tokens=20 reasoning=7]]"
    pieces = [delta.get("content") or delta.get("reasoning_content") for delta in deltas(lab, text)]

    assert len([piece for piece in pieces if piece]) == usage(lab, text)["completion_tokens"]
    assert usage(lab, text)["completion_tokens"] in (20, 27)


def test_a_piece_holds_as_many_words_as_asked() -> None:
    text = "hello [[lab tokens=5 words=3]]"

    assert len(content("dashscope", text).split()) == 15
    assert usage("dashscope", text)["completion_tokens"] == 5


def test_prompt_tokens_grow_with_bytes_images_and_tools() -> None:
    plain = usage("dashscope", "x" * 400)["prompt_tokens"]
    wide = usage("dashscope", "字" * 400)["prompt_tokens"]
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    parts = [{"role": "user", "content": [{"type": "text", "text": "x" * 400}, image]}]

    assert plain == 100
    assert wide == 300
    assert usage("dashscope", "", messages=parts)["prompt_tokens"] == plain + IMAGE_TOKENS
    assert usage("dashscope", "x" * 400, tools=[WEATHER])["prompt_tokens"] > plain


def test_cached_tokens_are_never_more_than_the_prompt() -> None:
    used = usage("dashscope", "hello [[lab cached=100000]]")

    assert used["prompt_tokens_details"]["cached_tokens"] == used["prompt_tokens"]


@pytest.mark.parametrize("lab", MODELS)
def test_max_tokens_cuts_the_answer_and_one_more_does_not(lab: str) -> None:
    text = "hello [[lab tokens=10 reasoning=4]]"
    whole = usage(lab, text)["completion_tokens"]

    assert usage(lab, text, max_tokens=whole - 1)["completion_tokens"] == whole - 1
    assert usage(lab, text, max_tokens=whole)["completion_tokens"] == whole
    if lab != "spark":
        assert ask(lab, text, max_tokens=whole - 1)[1]["choices"][0]["finish_reason"] == "length"
        assert ask(lab, text, max_tokens=whole)[1]["choices"][0]["finish_reason"] == "stop"


def test_only_moonshot_knows_max_completion_tokens() -> None:
    cut = {
        lab for lab in MODELS if usage(lab, "hello [[lab tokens=9]]", max_completion_tokens=3)["completion_tokens"] == 3
    }

    assert cut == {"moonshot"}


def test_thinking_may_use_up_all_tokens() -> None:
    _, body = ask("deepseek", "hello [[lab reasoning=9]]", max_tokens=9)

    assert body["choices"][0]["message"]["content"] == ""
    assert body["usage"]["completion_tokens_details"]["reasoning_tokens"] == 9
    assert body["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("size", [1_000, 1_000_000])
@pytest.mark.parametrize("flag", ["", "unicode"])
def test_content_is_padded_to_the_byte(size: int, flag: str) -> None:
    text = f"hello [[lab tokens=7 bytes={size} {flag}]]"

    assert len(content("dashscope", text).encode()) == size
    assert usage("dashscope", text)["completion_tokens"] == 7


def test_unicode_text_has_characters_of_every_width() -> None:
    widths = {len(character.encode()) for character in content("dashscope", "hello [[lab unicode tokens=60]]")}

    assert widths == {1, 2, 3, 4}


def test_json_mode_answers_with_a_json_object() -> None:
    text = "hello, as json [[lab tokens=5]]"

    reply = json.loads(content("deepseek", text, response_format={"type": "json_object"}))

    assert len(reply["reply"].split()) == 5


def test_a_json_schema_is_filled_as_it_requires() -> None:
    schema = {
        "type": "object",
        "$defs": {"Town": {"type": "string"}},
        "properties": {
            "town": {"$ref": "#/$defs/Town"},
            "mood": {"enum": ["fine", "foul"]},
            "days": {"type": "array", "items": {"type": ["integer", "null"], "minimum": 3}},
            "sure": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
            "extra": {"type": "string"},
        },
        "required": ["town", "mood", "days", "sure"],
    }
    response_format = {"type": "json_schema", "json_schema": {"name": "forecast", "schema": schema}}

    filled = json.loads(content("moonshot", "Lisbon tomorrow", response_format=response_format))

    assert filled == {"town": "Lisbon", "mood": "fine", "days": [3], "sure": True}


def test_a_schema_that_requires_itself_comes_to_an_end() -> None:
    schema = {
        "$ref": "#/$defs/Node",
        "$defs": {"Node": {"properties": {"next": {"$ref": "#/$defs/Node"}}, "required": ["next"]}},
    }
    response_format = {"type": "json_schema", "json_schema": {"name": "list", "schema": schema}}

    assert "null" in content("moonshot", "hello", response_format=response_format)


def tool_calls(lab: str, text: str = "Lisbon please", **parameters: Any) -> list[dict[str, Any]]:
    called: list[dict[str, Any]] = ask(lab, text, **parameters)[1]["choices"][0]["message"].get("tool_calls", [])
    return called


def test_a_user_with_a_tool_at_hand_gets_it_called_with_a_word_of_the_prompt() -> None:
    (called,) = tool_calls("dashscope", tools=[WEATHER])

    assert called["function"]["name"] == "weather"
    assert json.loads(called["function"]["arguments"]) == {"city": "Lisbon"}


def test_as_many_tools_are_called_as_asked_for_each_in_turn() -> None:
    other = {"type": "function", "function": {"name": "clock"}}
    text = "Lisbon [[lab tools=3]]"

    called = tool_calls("dashscope", text, tools=[WEATHER, other])

    assert [tool["function"]["name"] for tool in called] == ["weather", "clock", "weather"]
    assert len({tool["id"] for tool in called}) == 3
    assert len(tool_calls("dashscope", text, tools=[WEATHER], parallel_tool_calls=False)) == 1
    assert tool_calls("dashscope", "Lisbon [[lab tools=0]]", tools=[WEATHER]) == []


def test_the_tool_that_is_named_is_called() -> None:
    other = {"type": "function", "function": {"name": "clock"}}
    choice = {"type": "function", "function": {"name": "clock"}}

    (called,) = tool_calls("dashscope", tools=[WEATHER, other], tool_choice=choice)

    assert called["function"]["name"] == "clock"


def test_no_tool_is_called_when_the_choice_is_none_or_after_a_result() -> None:
    result = [user("Lisbon?"), {"role": "tool", "tool_call_id": "1", "content": "22 degrees"}]

    assert tool_calls("dashscope", tools=[WEATHER], tool_choice="none") == []
    assert tool_calls("dashscope", tools=[WEATHER], messages=result) == []
    assert "22 degrees" in content("dashscope", "", tools=[WEATHER], messages=result)


def test_the_name_of_a_lab_is_in_its_list_of_models() -> None:
    for name, lab in BY_NAME.items():
        listed = [entry["id"] for entry in lab.models(call(name).base)["data"]]

        assert MODELS[name] in listed
