"""The values that cross functions: dataclasses with slots, keyword arguments, and fields that nobody sets again."""

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def frozen(kind: type[T]) -> type[T]:
    """Frozen for the type checker, which refuses what would set a field. One that is frozen at run time, too, takes a
    call for each of its fields when it is made: every sixth call of a request."""
    return dataclass(slots=True, kw_only=True, unsafe_hash=True)(kind)
