"""What the simulated labs received."""

from typing import Any

import httpx2

from tests.e2e.waiting import eventually

Entry = dict[str, Any]


class Labs:
    """The journal: the requests whose prompt named an id."""

    def __init__(self, labs_url: str) -> None:
        self.url = labs_url
        self._client = httpx2.Client(base_url=labs_url, timeout=15)

    def requests(self, entry_id: str) -> list[Entry]:
        answer = self._client.get("/journal", params={"id": entry_id})
        entries: list[Entry] = answer.raise_for_status().json()["requests"]
        return entries

    def request(self, entry_id: str) -> Entry:
        """The only request of this id."""
        [entry] = self.requests(entry_id)
        return entry

    def arrived(self, entry_id: str) -> Entry:
        """The first request of this id, as soon as it has come."""
        return eventually(lambda: self.requests(entry_id), lambda entries: len(entries) > 0)[0]

    def ended(self, entry_id: str) -> Entry:
        """The only request of this id, as soon as its answer has ended in some way."""
        return eventually(lambda: self.request(entry_id), lambda entry: entry["ended"] != "open")

    def close(self) -> None:
        self._client.close()
