"""What goes wrong at PayPal: an outage, or the next calls of one operation, before or after they took effect."""

from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from local.paypal.errors import ISSUES

OTHER_ANSWERS = ("429", "500", "503", "timeout", "dropped")
Moment = Literal["before", "after"]


class Fault(BaseModel):
    """The next ``times`` calls of the operation get this answer, before or after PayPal did what was asked.

    ``answer`` is a status (429, 500, 503), an issue of errors.py, ``timeout`` (no answer while the caller waits) or
    ``dropped`` (the connection is closed without an answer).
    """

    model_config = ConfigDict(extra="forbid")

    operation: str
    answer: str = "500"
    moment: Moment = "before"
    times: int = Field(default=1, ge=1)

    @field_validator("answer")
    @classmethod
    def _is_known(cls, answer: str) -> str:
        if answer not in OTHER_ANSWERS and answer not in ISSUES:
            raise ValueError(f"must be one of {', '.join(OTHER_ANSWERS)}, or an issue")
        return answer


@dataclass(slots=True, kw_only=True)
class Faults:
    is_out: bool = False
    pending: list[Fault] = field(default_factory=list)

    def add(self, fault: Fault) -> None:
        self.pending.append(fault)

    def clear(self) -> None:
        self.pending.clear()

    def take(self, operation: str) -> Fault | None:
        """The fault of this call, which is used up by it."""
        fault = next((fault for fault in self.pending if fault.operation == operation), None)
        if fault is not None:
            fault.times -= 1
            if not fault.times:
                self.pending.remove(fault)
        return fault
