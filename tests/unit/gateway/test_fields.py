"""Every reader of ``Fields`` takes what fits and refuses the rest by name, without showing the value."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.fields import MAX_DEPTH, MAX_INTEGER, FieldError, Fields, parse_json
from tests.unit.gateway.test_metering import MODEST

Read = Callable[[Fields], object]


@pytest.mark.parametrize(
    ("value", "read", "expected"),
    [
        ("a", lambda fields: fields.text("f"), "a"),
        ("", lambda fields: fields.text("f"), ""),
        ("流", lambda fields: fields.text("f"), "流"),
        (False, lambda fields: fields.boolean("f"), False),
        (0, lambda fields: fields.integer("f"), 0),
        (MAX_INTEGER, lambda fields: fields.integer("f"), MAX_INTEGER),
        (-5, lambda fields: fields.integer("f", minimum=-5), -5),
        ({"a": [1]}, lambda fields: fields.raw_object("f"), {"a": [1]}),
        ([], lambda fields: fields.texts("f"), ()),
        (["a", "b"], lambda fields: fields.texts("f"), ("a", "b")),
        ([1, 2], lambda fields: fields.integers("f"), (1, 2)),
        ([[1, 2]], lambda fields: list(fields.integer_pairs("f")), [(1, 2)]),
        ("b", lambda fields: fields.choice("f", ("a", "b")), "b"),
        ({"g": 1}, lambda fields: fields.object("f").integer("g"), 1),
        ([{"g": 1}], lambda fields: [item.integer("g") for item in fields.objects("f")], [1]),
        ({"k": {"g": 1}}, lambda fields: [(key, item.integer("g")) for key, item in fields.items("f")], [("k", 1)]),
        (None, lambda fields: fields.optional(fields.text, "f"), None),
        ("a", lambda fields: fields.optional(fields.text, "f"), "a"),
        (0, lambda fields: fields.optional(fields.integer, "f"), 0),
    ],
)
def test_what_fits_is_read(value: object, read: Read, expected: object) -> None:
    assert read(Fields({"f": value}, "record")) == expected


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (1, lambda fields: fields.text("f")),
        ("half \ud800 of a pair", lambda fields: fields.text("f")),
        ("a\0b", lambda fields: fields.text("f")),
        (1, lambda fields: fields.boolean("f")),
        (True, lambda fields: fields.integer("f")),
        (1.0, lambda fields: fields.integer("f")),
        ("1", lambda fields: fields.integer("f")),
        (-1, lambda fields: fields.integer("f")),
        (-6, lambda fields: fields.integer("f", minimum=-5)),
        (MAX_INTEGER + 1, lambda fields: fields.integer("f")),
        ([], lambda fields: fields.object("f")),
        ([], lambda fields: fields.raw_object("f")),
        ({}, lambda fields: list(fields.objects("f"))),
        ([1], lambda fields: list(fields.objects("f"))),
        ([], lambda fields: list(fields.items("f"))),
        ({"k": 1}, lambda fields: list(fields.items("f"))),
        ("ab", lambda fields: fields.texts("f")),
        (["a", 1], lambda fields: fields.texts("f")),
        ([1, True], lambda fields: fields.integers("f")),
        ([[1]], lambda fields: list(fields.integer_pairs("f"))),
        ([[1, 2, 3]], lambda fields: list(fields.integer_pairs("f"))),
        ([[1, True]], lambda fields: list(fields.integer_pairs("f"))),
        ([1], lambda fields: list(fields.integer_pairs("f"))),
        ("c", lambda fields: fields.choice("f", ("a", "b"))),
        ([], lambda fields: fields.choice("f", ("a", "b"))),
        (1, lambda fields: fields.optional(fields.text, "f")),
    ],
)
def test_what_does_not_fit_is_refused_by_the_fields_name(value: object, read: Read) -> None:
    with pytest.raises(FieldError, match=r"^record\.f"):
        read(Fields({"f": value}, "record"))


@pytest.mark.parametrize(
    "read",
    [
        lambda fields: fields.text("f"),
        lambda fields: fields.integer("f"),
        lambda fields: fields.object("f"),
        lambda fields: list(fields.objects("f")),
        lambda fields: fields.choice("f", ("a",)),
    ],
)
@pytest.mark.parametrize("values", [{}, {"f": None}], ids=["absent", "null"])
def test_an_absent_field_is_refused_unless_it_is_optional(values: dict[str, Any], read: Read) -> None:
    with pytest.raises(FieldError):
        read(Fields(values, "record"))


def test_a_refusal_names_the_whole_path_and_never_the_value() -> None:
    fields = Fields({"outer": {"list": [{"name": 31_337}]}}, "record")
    [item] = fields.object("outer").objects("list")

    with pytest.raises(FieldError) as refused:
        item.text("name")

    assert str(refused.value) == "record.outer.list[0].name: not of type str"


@pytest.mark.parametrize("text", ['{"f": 1}', b'{"f": 1}'])
def test_json_objects_are_parsed(text: str | bytes) -> None:
    assert Fields.parse(text, "record").integer("f") == 1


@pytest.mark.parametrize("text", ["", "{", "[]", "1", "null", b"\xff", "9" * 5_000])
def test_other_texts_are_refused(text: str | bytes) -> None:
    with pytest.raises(FieldError, match=r"^record: not"):
        Fields.parse(text, "record")


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def test_json_may_lie_as_deep_as_the_limit_and_no_deeper() -> None:
    assert parse_json(nested(MAX_DEPTH), "text") is not None
    for text in (nested(MAX_DEPTH + 1), nested(100_000), "[" * 100_000, '{"a":' * 100_000, nested(200).encode()):
        with pytest.raises(FieldError, match="text: too deep"):
            parse_json(text, "text")


def test_many_brackets_side_by_side_or_in_a_text_are_not_deep() -> None:
    values = [{}, [], "[" * 500, '\\"' + "{" * 500, {"a": [[]]}] * 200

    assert parse_json(json.dumps(values), "text") == values


@MODEST
@given(st.recursive(st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_within_the_limit_is_read_as_it_was_written(value: object) -> None:
    assert parse_json(json.dumps([value] * (MAX_DEPTH + 1)), "text") == [value] * (MAX_DEPTH + 1)


@pytest.mark.parametrize("text", ["", "{", "nul", b"\xff", '"' + "[" * 500])
def test_what_is_not_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(FieldError):
        parse_json(text, "text")
