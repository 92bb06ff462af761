"""Compact JSON, written by the encoder in C that the standard library has."""

import json
from collections.abc import Callable
from typing import Any


def encoder(
    *, ensure_ascii: bool = True, allow_nan: bool = True, default: Callable[[Any], Any] | None = None
) -> Callable[[Any], str]:
    """As the ``encode`` of a ``json.JSONEncoder`` of these settings, for data that does not contain itself. That one
    makes its encoder in C anew for each text, which takes longer than a small text."""
    settings = json.JSONEncoder(separators=(",", ":"), ensure_ascii=ensure_ascii, allow_nan=allow_nan, default=default)
    make = json.encoder.c_make_encoder  # type: ignore[attr-defined]
    if make is None:
        return settings.encode
    escape = json.encoder.encode_basestring_ascii if ensure_ascii else json.encoder.encode_basestring
    pieces = make(None, settings.default, escape, None, ":", ",", False, False, allow_nan)
    return lambda value: "".join(pieces(value, 0))
