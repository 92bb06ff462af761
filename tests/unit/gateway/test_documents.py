import json
from typing import Any

import pytest

from gateway.documents import PlainDocument, parse_document
from gateway.ports import NotJson


@pytest.mark.parametrize(
    "text", ["", "{", "null", "[]", '"a"', "1", "{} x", '{"a": NaN}', '{"a": -Infinity}', '{"a": "\n"}']
)
def test_only_a_json_object_is_a_document(text: str) -> None:
    with pytest.raises(NotJson):
        parse_document(text)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1", 1),
        ("-0", 0),
        ("1.0", 1),
        ("2.56e2", 256),
        ("0.1", 0.1),
        ("1e-7", 1e-7),
        ("9007199254740992", 2**53),
        ("9007199254740993", 2**53),
        ("12345678901234567890", 12345678901234567000.0),
        ("1e999", float("inf")),
    ],
)
def test_numbers_are_what_javascript_makes_of_them(written: str, value: Any) -> None:
    read = parse_document(f'{{"n": {written}}}').read("n")

    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ('{ "a" : [1, 2.50, {"b": null}], "a2": "你好" }', '{"a":[1,2.5,{"b":null}],"a2":"你好"}'),
        ('{"a": 1, "a": 2}', '{"a":2}'),
        ('{"a": [1e999], "b": {"c": -1e999}}', '{"a":[null],"b":{"c":null}}'),
        ('{"a": "\\ud83d\\ude00"}', '{"a":"😀"}'),
        ('{"a": "你\\ud83d"}', '{"a":"\\u4f60\\ud83d"}'),
        ('{"a": 1e999, "b": "\\udc00"}', '{"a":null,"b":"\\udc00"}'),
    ],
)
def test_a_document_is_written_as_it_was_read(text: str, body: str) -> None:
    assert parse_document(text).as_body() == body


def test_what_is_read_or_written_is_a_copy() -> None:
    document = PlainDocument({"a": {"b": [1]}})
    written = {"d": [1]}

    document.read("a")["b"].append(2)
    document.write("c", written)
    written["d"].append(2)

    assert json.loads(document.as_body()) == {"a": {"b": [1]}, "c": {"d": [1]}}


def test_a_change_inside_a_detached_field_reaches_no_other_copy() -> None:
    document = PlainDocument({"messages": [{"role": "developer"}], "tools": [{"type": "function"}]})
    other = document.copy()

    other.detach("messages")
    other.items("messages")[0].write("role", "system")
    other.items("tools")[0].write("type", "other")
    other.remove("model")

    assert document.values == {"messages": [{"role": "developer"}], "tools": [{"type": "other"}]}
    assert other.values["messages"] == [{"role": "system"}]


def test_items_are_the_objects_of_a_list() -> None:
    document = PlainDocument({"a": [{"b": 1}, 2, None, [{}]], "c": {"d": []}, "e": None})

    assert [item.values for item in document.items("a")] == [{"b": 1}]
    assert [document.items(name) for name in ("c", "e", "x")] == [[], [], []]
    assert [document.has_list(), PlainDocument({"c": {"d": []}}).has_list()] == [True, False]
