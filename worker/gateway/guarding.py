"""What of a provider's stream reaches its caller once it has begun, and what is known of it in the end.

Only events that can be read pass, and none that tells of a failure: what such an event says may concern our account at
the provider, and a client that cannot read one stops before it comes to the error that we end the stream with. So
there the stream is over, at once, and the last event is ours. Nearly every event differs from the one before it in its
text alone; those are neither read nor edited again.
"""

from dataclasses import replace

from gateway.causes import FAILED_FINISHES
from gateway.editing import StreamEditor
from gateway.fields import FieldError, Fields
from gateway.metering import StreamMeter
from gateway.ports import StreamFacts
from gateway.sse import DONE, EventTooLarge, Splitter, parse_event
from gateway.stencil import Stencil

MAX_UNMETERED_BYTES = 16 * 1024
"""What gathers before it is metered: that costs less than to meter each event."""

UNREADABLE = {"message": "an event could not be read"}


class Guard:
    """The Edit port for one stream, in front of the editor of its dialect."""

    def __init__(self, editor: StreamEditor) -> None:
        self.is_over = False
        self._editor = editor
        self._splitter = Splitter()
        self._meter = StreamMeter()
        self._unmetered: list[bytes] = []
        self._unmetered_bytes = 0
        self._is_silent = False
        self._is_too_large = False
        self._last: tuple[Stencil | None, Stencil | None] = (None, None)
        self._known: tuple[Stencil, Stencil] | None = None

    def feed(self, piece: bytes) -> bytes:
        if not self._splitter.rest and (given := self._alike(piece)) is not None:
            return given
        if self.is_over:
            return b""
        try:
            return b"".join(map(self._pass, self._splitter.feed(piece)))
        except EventTooLarge:
            self._is_too_large = True
            return self._finish()

    def end(self, *, silent: bool) -> bytes:
        """An event that the end of the stream left without its blank line passes where it is whole all the same."""
        if self.is_over:
            return b""
        self._is_silent = silent
        rest = bytes(self._splitter.rest)
        last = self._pass(rest.rstrip(b"\r\n") + b"\n\n") if _can_be_read(rest) else b""
        return last if self.is_over else last + self._finish()

    def facts(self) -> StreamFacts:
        """What the stream was for the caller, who got nothing of what came after it was over."""
        self._meter_now()
        facts = self._meter.facts(silent=self._is_silent)
        is_explained = facts.error is not None or facts.finish_reason in FAILED_FINISHES
        if (self._is_too_large or self._editor.broken) and not is_explained:
            return replace(facts, error=UNREADABLE)
        return facts

    def _pass(self, event: bytes) -> bytes:
        if self.is_over:
            return b""
        if (given := self._alike(event)) is not None:
            return given
        self._meter_later(event)
        edited = self._editor.edit(event)
        if self._editor.broken or _is_end_mark(event):
            return edited + self._finish()
        self._learn(event, edited)
        return edited

    def _finish(self) -> bytes:
        self.is_over = True
        self._known = None
        return self._editor.end(self.facts())

    def _alike(self, events: bytes) -> bytes | None:
        """What becomes of events that differ from the last in their text alone; None for any others. What else they
        tell has been metered with the last."""
        if self._known is None:
            return None
        taken, given = self._known
        if taken is given:
            text_bytes = taken.text_bytes_of(events)
            self._meter.content_bytes += text_bytes or 0
            return None if text_bytes is None else events
        texts = taken.texts_of(events)
        self._meter.content_bytes += sum(map(len, texts or ()))
        return None if texts is None else given.fill(texts)

    def _learn(self, event: bytes, edited: bytes) -> None:
        # An editor may treat the first of its kind in its own way, so two in a row must have become the same.
        taken = Stencil.of(event)
        given = taken if edited is event else Stencil.of(edited)
        self._known = None
        if taken is None or given is None or (taken, given) != self._last:
            self._last = (taken, given)
        elif taken.texts_of(event) == given.texts_of(edited):
            self._known = (taken, taken if taken == given else given)

    def _meter_later(self, events: bytes) -> None:
        self._unmetered.append(events)
        self._unmetered_bytes += len(events)
        if self._unmetered_bytes > MAX_UNMETERED_BYTES:
            self._meter_now()

    def _meter_now(self) -> None:
        self._meter.feed(b"".join(self._unmetered))
        self._unmetered.clear()
        self._unmetered_bytes = 0


def _can_be_read(event: bytes) -> bool:
    """Whether an event is a comment, the end mark or a JSON object."""
    data = parse_event(event).data
    if data is None or data.strip() == DONE:
        return True
    try:
        Fields.parse(data, "chunk")
    except FieldError:
        return False
    return True


def _is_end_mark(event: bytes) -> bool:
    return DONE.encode() in event and (parse_event(event).data or "").strip() == DONE
