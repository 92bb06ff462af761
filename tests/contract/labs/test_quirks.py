"""Any lab can frame its events as the standard allows, and leave out fields that clients rely on."""

import json

import pytest

from gateway.sse import Splitter, parse_event
from local.labs.directives import DirectiveError, Directives
from local.labs.quirks import FRAMINGS, OMITTABLE
from tests.contract.labs.calls import MODELS, ask, call, chunks, response


def datas(lab: str, text: str) -> list[str]:
    """The data of the events of a stream, however they are framed."""
    _, body = response(call(lab, text, stream=True), lab)
    events = [parse_event(raw) for raw in Splitter().feed(body)]
    return [event.data.strip() for event in events if event.data is not None]


@pytest.mark.parametrize("lab", MODELS)
@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_framing_changes_the_bytes_of_a_stream_and_not_what_it_says(lab: str, framing: str) -> None:
    text = f"hello [[lab framing={framing}]]"
    *events, done = datas(lab, text)
    deltas = [choice["delta"] for event in events for choice in json.loads(event)["choices"]]

    assert done == "[DONE]"
    assert (
        "".join(delta.get("content") or "" for delta in deltas) == ask(lab, text)[1]["choices"][0]["message"]["content"]
    )


@pytest.mark.parametrize("lab", MODELS)
@pytest.mark.parametrize("name", ["id", "object", "created", "model"])
def test_a_field_can_be_left_out_of_chunks_and_answers(lab: str, name: str) -> None:
    text = f"hello [[lab omit={name}]]"

    assert not any(name in chunk for chunk in chunks(lab, text))
    assert name not in ask(lab, text)[1]


@pytest.mark.parametrize("lab", MODELS)
def test_fields_of_a_choice_can_be_left_out_together(lab: str) -> None:
    sent = chunks(lab, "hello [[lab omit=index+role+finish_reason]]")
    choices = [choice for chunk in sent for choice in chunk["choices"]]

    assert not any("index" in choice or "role" in choice["delta"] for choice in choices)
    assert {choice["finish_reason"] for choice in choices if "finish_reason" in choice} <= {"stop"}


@pytest.mark.parametrize("directive", ["framing=none", "omit=choices", "omit=id+choices"])
def test_a_quirk_that_no_lab_knows_is_refused(directive: str) -> None:
    with pytest.raises(DirectiveError):
        Directives.parse(f"[[lab {directive}]]", "deepseek")


def test_all_that_can_be_left_out_leaves_what_is_said() -> None:
    sent = [json.loads(data) for data in datas("deepseek", f"hello [[lab omit={'+'.join(OMITTABLE)}]]")[:-1]]

    assert sum(bool(chunk["choices"][0]["delta"].get("content")) for chunk in sent) > 1
