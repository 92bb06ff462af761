"""The journal: what reached the labs, for tests to look at. It holds requests that carry an id, the newest of them."""

from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

MAX_ENTRIES = 10_000
SHOWN_KEY_CHARS = 4


@dataclass(slots=True, kw_only=True)
class Entry:
    """One request, without its messages and key. ``ended`` changes from "open" to "completed", "client left", "cut",
    "reset" or "failed"; ``events`` counts the events (or parts of a JSON body) that were sent until then.
    """

    id: str
    lab: str
    path: str
    headers: list[tuple[str, str]]
    body_keys: list[str]
    parameters: dict[str, Any]
    at_ms: int
    status: int = 0
    events: int = 0
    ended: str = field(default="open")


class Journal:
    """Entries in the order of arrival, found by id."""

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self._max_entries = max_entries
        self._order: deque[Entry] = deque()
        self._by_id: defaultdict[str, deque[Entry]] = defaultdict(deque)

    def add(self, entry: Entry) -> None:
        self._order.append(entry)
        self._by_id[entry.id].append(entry)
        if len(self._order) > self._max_entries:
            self._forget(self._order.popleft())

    def entries(self, entry_id: str | None = None) -> list[Entry]:
        """Those of this id, or all."""
        return list(self._order if entry_id is None else self._by_id.get(entry_id, ()))

    def count(self, entry_id: str, lab: str) -> int:
        """How many requests with this id came to this lab."""
        return sum(entry.lab == lab for entry in self._by_id.get(entry_id, ()))

    def clear(self) -> None:
        self._order.clear()
        self._by_id.clear()

    def _forget(self, oldest: Entry) -> None:
        same_id = self._by_id[oldest.id]
        same_id.popleft()
        if not same_id:
            del self._by_id[oldest.id]


def redacted(headers: list[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Headers as texts; of Authorization only the scheme and the end of the key."""
    texts = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
    return [(name, _shown(value) if name == "authorization" else value) for name, value in texts]


def _shown(authorization: str) -> str:
    scheme, _, key = authorization.partition(" ")
    return f"{scheme} ...{key[-SHOWN_KEY_CHARS:]}"
