"""Owns the reading of pages of lists, and whether another page follows. Independent of the entries."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from thingmint.core.paging import Listed, Page, PageKey, PageRequest
from thingmint.records.steps import Steps


class Positioned(Protocol):
    """An entry of a list."""

    @property
    def position(self) -> int:
        """The position, which orders the list and is unique."""
        ...


EntryT = TypeVar("EntryT", bound=Positioned)
T = TypeVar("T")


def read_page(request: PageRequest, entries: Callable[[PageRequest], Steps[Sequence[EntryT]]]) -> Steps[Page[EntryT]]:
    """Return the page. It reads one more entry than the page's size, which shows whether another page follows."""
    rows = yield from entries(PageRequest(request.size + 1, request.after, request.ascending))
    items = tuple(rows[: request.size])
    return Page(items, PageKey(items[-1].position) if len(rows) > request.size else None)


def read_listed(request: PageRequest, entries: Callable[[PageRequest], Steps[Sequence[Listed[T]]]]) -> Steps[Page[T]]:
    """Return the page as `read_page` does, of entries that carry their own keys."""
    rows = yield from entries(PageRequest(request.size + 1, request.after, request.ascending))
    shown = rows[: request.size]
    return Page(tuple([row.item for row in shown]), shown[-1].key if len(rows) > request.size else None)
