"""JSON is what the standard library's encoder writes, and what its decoder reads."""

import json
from typing import Any

import pytest

from gateway.json_text import decoder, encoder

VALUES: list[Any] = [
    None,
    True,
    "",
    'a "quoted"\t\\ text\n\u2028\x7f',
    "\u4e2d\U0001f600\ud800",
    0,
    2**70,
    -1.5,
    1e300,
    float("inf"),
    [],
    {},
    [1, [2, {"a": [], "b": None}]],
    {"a": (1, 2), "": {"\u4e2d": "x"}},
    {1: 2, None: 3, False: 4, 1.5: 5},
]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("ensure_ascii", [True, False])
def test_the_text_is_the_standard_library_s(value: Any, ensure_ascii: bool) -> None:
    encode = encoder(ensure_ascii=ensure_ascii)

    text = encode(value)

    assert text == json.dumps(value, ensure_ascii=ensure_ascii, separators=(",", ":"))
    assert encode(value) == text, "the encoder is used again and again"


def test_what_is_no_json_goes_through_default_or_is_refused() -> None:
    assert encoder(default=sorted)([{3, 1, 2}]) == "[[1,2,3]]"
    with pytest.raises(TypeError, match="set"):
        encoder()([{1}])


def test_numbers_that_are_none_are_refused_where_json_has_none() -> None:
    with pytest.raises(ValueError, match="JSON"):
        encoder(allow_nan=False)([float("nan")])


def test_without_the_encoder_in_c_the_text_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json.encoder, "c_make_encoder", None)

    assert encoder(ensure_ascii=False)({"a": ["\u4e2d", 1]}) == '{"a":["\u4e2d",1]}'


TEXTS = [
    "null",
    "-0",
    " \t\r\n[1, 2.5, 1e400, -7]\n ",
    '{"a": {"b": [true, false]}, "": "\\ud83d\\ude00 \\ud800 \u4e2d"}',
    '{"a": 1, "a": 2}',
    "[NaN, -Infinity]",
]
NO_TEXTS = ["", "  ", "{", "[1,]", "nul", '"a', '{"a" 1}', "1 2", "{} {}", "\ufeff{}", "\u00a01", '"\t"', "[1]\0"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_read_as_the_standard_library_reads_it(text: str) -> None:
    decode, expected = decoder(), repr(json.loads(text))

    assert repr(decode(text)) == expected
    assert repr(decode(text)) == expected, "the decoder is used again and again"


@pytest.mark.parametrize("text", NO_TEXTS)
def test_what_the_standard_library_refuses_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"JSON|control character|Expecting|Unterminated|Illegal"):
        decoder()(text)
    with pytest.raises(ValueError, match=r"BOM|control character|Expecting|Unterminated|Illegal|Extra"):
        json.loads(text)


def test_numbers_and_constants_are_read_as_asked() -> None:
    decode = decoder(parse_int=str, parse_float=str, parse_constant=str.lower)

    assert decode("[1, 2.50, NaN]") == ["1", "2.50", "nan"]
