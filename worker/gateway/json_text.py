"""JSON by the standard library's own code in C, without what Python does around it for each text."""

import json
from collections.abc import Callable
from typing import Any

_WHITE_SPACE = " \t\n\r"


def encoder(
    *, ensure_ascii: bool = True, allow_nan: bool = True, default: Callable[[Any], Any] | None = None
) -> Callable[[Any], str]:
    """Compact JSON, as a ``json.JSONEncoder`` of these settings writes it, for data that does not contain itself. That
    one makes its encoder in C anew for each text, which takes longer than a small text."""
    settings = json.JSONEncoder(separators=(",", ":"), ensure_ascii=ensure_ascii, allow_nan=allow_nan, default=default)
    make = json.encoder.c_make_encoder  # type: ignore[attr-defined]
    if make is None:
        return settings.encode
    escape = json.encoder.encode_basestring_ascii if ensure_ascii else json.encoder.encode_basestring
    pieces = make(None, settings.default, escape, None, ":", ",", False, False, allow_nan)
    return lambda value: "".join(pieces(value, 0))


def decoder(
    *,
    parse_int: Callable[[str], Any] | None = None,
    parse_float: Callable[[str], Any] | None = None,
    parse_constant: Callable[[str], Any] | None = None,
) -> Callable[[str], Any]:
    """What a ``json.JSONDecoder`` of these settings reads; raises ValueError, RecursionError. That one looks for white
    space by a regular expression, which takes longer than to read a small text."""
    settings = json.JSONDecoder(parse_int=parse_int, parse_float=parse_float, parse_constant=parse_constant)
    scan = settings.scan_once  # type: ignore[attr-defined]

    def decode(text: str) -> Any:
        text = text.strip(_WHITE_SPACE)
        try:
            value, end = scan(text, 0)
        except StopIteration:
            raise ValueError("not JSON") from None
        if end != len(text):
            raise ValueError("JSON with something behind it")
        return value

    return decode
