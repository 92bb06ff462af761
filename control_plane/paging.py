"""Lists in pages: newest first, by (created_at_ms, id), with a cursor that names the last item seen."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Select, and_, or_

Item = TypeVar("Item")

DEFAULT_LIMIT, MAX_LIMIT = 50, 200


class CursorRefused(Exception):
    """The cursor was not made by a list of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Where a page ended: the list goes on with what is older."""

    created_at_ms: int
    id: str

    def encode(self) -> str:
        return base64.urlsafe_b64encode(json.dumps([self.created_at_ms, self.id]).encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> "Cursor":
        """Raises CursorRefused."""
        try:
            created_at_ms, row_id = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        except (binascii.Error, ValueError, TypeError) as error:
            raise CursorRefused from error
        if type(created_at_ms) is not int or type(row_id) is not str or abs(created_at_ms) >= 2**63:
            raise CursorRefused
        return cls(created_at_ms=created_at_ms, id=row_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Item]):
    """Items, and the cursor of the next page (None: this was the last)."""

    items: tuple[Item, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """How many items, and after which."""

    limit: int = DEFAULT_LIMIT
    cursor: Cursor | None = None


def select_page(
    query: Select[Any], request: PageRequest, *, created_at_ms: ColumnElement[int], row_id: ColumnElement[str]
) -> Select[Any]:
    """The query narrowed to one page, and one row more, which tells whether another page follows."""
    if request.cursor is not None:
        at, last = request.cursor.created_at_ms, request.cursor.id
        query = query.where(or_(created_at_ms < at, and_(created_at_ms == at, row_id < last)))
    return query.order_by(created_at_ms.desc(), row_id.desc()).limit(request.limit + 1)


def page_of(items: Sequence[Item], request: PageRequest, *, cursors: Sequence[Cursor]) -> Page[Item]:
    """The page of what ``select_page`` found; ``cursors`` stand beside the items."""
    if len(items) <= request.limit:
        return Page(items=tuple(items), next_cursor=None)
    return Page(items=tuple(items[: request.limit]), next_cursor=cursors[request.limit - 1].encode())
