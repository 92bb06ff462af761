"""Most events of a stream are alike but for a piece of text. A stencil tells them from all others, without parsing."""

import re
from dataclasses import dataclass
from itertools import islice

# The characters of a JSON text, as RFC 8259 writes them: in full, so that what fits is JSON wherever the rest is.
_CHARACTERS = rb'[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+'
_TEXT = re.compile(_CHARACTERS)
_TEXT_FIELD = re.compile(rb'"(?:content|reasoning_content|arguments)"\s*:\s*"(' + _CHARACTERS + rb')"')


@dataclass(frozen=True, slots=True)
class Stencil:
    """An event without its text: the bytes before and after it."""

    before: bytes
    after: bytes

    @classmethod
    def of(cls, event: bytes) -> "Stencil | None":
        """The stencil of an event that has exactly one text; None for any other."""
        fields = list(islice(_TEXT_FIELD.finditer(event), 2))
        if len(fields) != 1:
            return None
        start, end = fields[0].span(1)
        return cls(event[:start], event[end:])

    def text_of(self, event: bytes) -> bytes | None:
        """The text of an event that differs in nothing else, as JSON writes it; None for any other event."""
        start, end = len(self.before), len(event) - len(self.after)
        if start > end or not event.startswith(self.before) or not event.endswith(self.after):
            return None
        return event[start:end] if _TEXT.fullmatch(event, start, end) else None

    def fill(self, text: bytes) -> bytes:
        """The event with this text."""
        return self.before + text + self.after
