"""Floats of 16, 32 and 64 bits as the integers of the same bits, which for one sign are in the same order."""

import math
import struct

FORMATS = {16: (">H", ">e"), 32: (">I", ">f"), 64: (">Q", ">d")}
SMALLEST_NORMALS = {16: 2.0**-14, 32: 2.0**-126, 64: 2.0**-1022}


def width_smallest_normals(width: int) -> float:
    return SMALLEST_NORMALS[width]


def float_to_int(value: float, width: int = 64) -> int:
    integer_format, float_format = FORMATS[width]
    bits: int = struct.unpack(integer_format, struct.pack(float_format, value))[0]
    return bits


def int_to_float(bits: int, width: int = 64) -> float:
    integer_format, float_format = FORMATS[width]
    value: float = struct.unpack(float_format, struct.pack(integer_format, bits))[0]
    return value


def float_of(value: float, width: int) -> float:
    return float(value) if width == 64 else int_to_float(float_to_int(float(value), width), width)


def is_negative(value: float) -> bool:
    return math.copysign(1.0, value) < 0


def count_between_floats(low: float, high: float, width: int = 64) -> int:
    """How many floats there are from `low` to `high`, both counted; -0.0 is below 0.0."""
    if is_negative(low) != is_negative(high):
        return count_between_floats(low, -0.0, width) + count_between_floats(0.0, high, width)
    return abs(float_to_int(high, width) - float_to_int(low, width)) + 1


def next_up(value: float, width: int = 64) -> float:
    if math.isnan(value) or value == math.inf:
        return value
    if value == 0 and is_negative(value):
        return 0.0
    bits = float_to_int(value, width)
    return int_to_float(bits - 1 if is_negative(value) else bits + 1, width)


def next_down(value: float, width: int = 64) -> float:
    return -next_up(-value, width)


def next_up_normal(value: float, width: int, *, allow_subnormal: bool) -> float:
    return -next_down_normal(-value, width, allow_subnormal=allow_subnormal)


def next_down_normal(value: float, width: int, *, allow_subnormal: bool) -> float:
    below = next_down(value, width)
    if allow_subnormal or not 0 < abs(below) < SMALLEST_NORMALS[width]:
        return below
    return 0.0 if below > 0 else -SMALLEST_NORMALS[width]
