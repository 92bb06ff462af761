"""The side of a right triangle."""

import math


def cathetus(hypotenuse: float, side: float) -> float:
    """The other side, without overflow where the squares would not fit."""
    hypotenuse, side = abs(hypotenuse), abs(side)
    if math.isinf(hypotenuse):
        return math.nan if math.isinf(side) else math.inf
    return math.sqrt(hypotenuse - side) * math.sqrt(hypotenuse + side) if side <= hypotenuse else math.nan
