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

    def text_bytes_of(self, events: bytes) -> int | None:
        """How much text there is in one or more events that differ in nothing else; None for any others."""
        before, after = self.before, self.after
        if not events.startswith(before) or not events.endswith(after):
            return None
        start, end = len(before), len(events) - len(after)
        if _TEXT.fullmatch(events, start, end):  # nearly all
            return end - start
        texts = self.texts_of(events)
        return None if texts is None else sum(map(len, texts))

    def texts_of(self, events: bytes) -> list[bytes] | None:
        """The texts of one or more events that differ in nothing else, as JSON writes them; None for any others."""
        start, end = len(self.before), len(events) - len(self.after)
        if start > end or not events.startswith(self.before) or not events.endswith(self.after):
            return None
        if _TEXT.fullmatch(events, start, end):
            return [events[start:end]]
        texts = events[start:end].split(self.after + self.before)
        # No escape has a space in it, so joined by spaces all of them are JSON only if each of them is.
        return texts if _TEXT.fullmatch(b" ".join(texts)) else None

    def fill(self, texts: list[bytes]) -> bytes:
        """The events with these texts."""
        return self.before + (self.after + self.before).join(texts) + self.after
