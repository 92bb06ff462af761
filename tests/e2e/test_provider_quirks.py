"""A lab may frame its events as it likes, put usage anywhere, leave fields out: its customer sees none of it."""

from typing import Any

import pytest

from local.labs.app import LABS as SIMULATED
from local.labs.quirks import FRAMINGS, OMITTABLE
from tests.e2e.chat import WEATHER
from tests.e2e.contract import Case, Compared, compare, joined
from tests.e2e.wall import LABS, Wall

REPAIRED = ("zai", "spark")
"""The labs that leave fields out, so that each of their chunks is looked at; of the others what was seen is listed."""

USAGE_PLACES = [(lab.name, place) for lab in SIMULATED for place in lab.usage_places]
FIELDS: dict[str, dict[str, Any]] = {"asked for usage": {"stream_options": {"include_usage": True}}, "not asked": {}}
QUIRKS = [
    *[(lab, f"framing={framing}") for lab in LABS for framing in FRAMINGS],
    *[(lab, f"omit={name}") for lab in REPAIRED for name in (*OMITTABLE, "+".join(OMITTABLE))],
    ("moonshot", "omit=object"),
    *[(lab, "omit=finish_reason") for lab in LABS if lab not in REPAIRED],
    *[(lab, f"usage={place}") for lab, place in USAGE_PLACES],
    *[(lab, "keepalive=3") for lab in LABS],
    *[(lab, "unicode cut_bytes=7") for lab in LABS],
    # Without its end mark a stream of Spark's, which says no finish, cannot be told from one that was cut.
    *[(lab, "fault=no-done") for lab in LABS if lab != "spark"],
    ("spark", "tool_object"),
]
EACH = [(lab, quirk, fields) for lab, quirk in QUIRKS for fields in FIELDS]

Streams = dict[tuple[str, str, str, bool], Compared]


@pytest.fixture(scope="module")
def streams(wall: Wall) -> Streams:
    """By lab, quirk, whether usage was asked for, and whether it calls tools."""
    return compare(
        wall,
        {
            (lab, quirk, fields, tools): Case(
                target=lab,
                text=f"Lisbon [[lab tokens=9 cached=1 tools={int(tools) * 2} {quirk}]]",
                stream=True,
                fields=FIELDS[fields] | ({"tools": [WEATHER]} if tools else {}),
            )
            for lab, quirk, fields in EACH
            for tools in (False, True)
        },
    )


@pytest.mark.parametrize(("lab", "quirk", "fields"), EACH)
def test_text_comes_as_openai_would_send_it(streams: Streams, lab: str, quirk: str, fields: str) -> None:
    chunks = streams[lab, quirk, fields, False].chunks
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    message = joined(chunks)

    assert (message.role, len((message.content or "").split())) == ("assistant", 9)
    assert [choice.finish_reason for choice in choices if choice.finish_reason] == ["stop"]
    assert all(chunk.id and chunk.model for chunk in chunks)


@pytest.mark.parametrize(("lab", "quirk", "fields"), EACH)
def test_tool_calls_come_as_openai_would_send_them(streams: Streams, lab: str, quirk: str, fields: str) -> None:
    chunks = streams[lab, quirk, fields, True].chunks
    calls = joined(chunks).tool_calls or []

    # A call as an object has room for one.
    assert len(calls) == len({call.id for call in calls}) == (1 if quirk == "tool_object" else 2)
    assert {call.function.arguments for call in calls if call.type == "function"} == {'{"city": "Lisbon"}'}
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "tool_calls"


@pytest.mark.parametrize(("lab", "quirk", "fields"), EACH)
def test_usage_is_what_the_lab_reports(streams: Streams, lab: str, quirk: str, fields: str) -> None:
    for tools in (False, True):
        stream = streams[lab, quirk, fields, tools]
        usages = [chunk.usage for chunk in stream.chunks if chunk.usage is not None]

        assert len(usages) == (fields == "asked for usage")
        for usage in usages:
            assert usage.completion_tokens == stream.lab_usage["completion_tokens"]
        assert stream.record["completion_tokens"] == stream.lab_usage["completion_tokens"]
        assert (stream.record["state"], stream.record["estimated"]) == ("complete", False)
