"""Owns pages of lists: where one starts, how long it is, and whether another follows; knows no list's content.

A list is in the order in which its entries were stored. Every entry has a position, which grows and never comes back,
so that a page costs the same wherever it starts. A list that is filtered by the start of a text (a name, an attribute's
value, a path) is in the order of that text instead, because that is the order in which an index finds it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from thingmint.records.steps import Steps


class Positioned(Protocol):
    """An entry of a list."""

    @property
    def position(self) -> int:
        """Where the entry stands; it orders the list and never repeats."""
        ...


EntryT = TypeVar("EntryT", bound=Positioned)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PageKey:
    """Where a page of a list starts: after this position; in a list ordered by a text, after both."""

    position: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    """An entry of a list, and where the page after it starts."""

    item: T
    key: PageKey


@dataclass(frozen=True, slots=True)
class PageRequest:
    """How many entries of a list, after which one, in which direction."""

    size: int
    after: PageKey | None
    ascending: bool


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some entries of a list, and where the next page starts if there is one."""

    items: tuple[T, ...]
    next: PageKey | None


def read_page(request: PageRequest, entries: Callable[[PageRequest], Steps[Sequence[EntryT]]]) -> Steps[Page[EntryT]]:
    """Return the page, asking for one entry more than its size: that tells whether another follows, uncounted."""
    rows = yield from entries(PageRequest(request.size + 1, request.after, request.ascending))
    items = tuple(rows[: request.size])
    return Page(items, PageKey(items[-1].position) if len(rows) > request.size else None)


def read_listed(request: PageRequest, entries: Callable[[PageRequest], Steps[Sequence[Listed[T]]]]) -> Steps[Page[T]]:
    """Return the page as `read_page` does, of entries that carry their own keys."""
    rows = yield from entries(PageRequest(request.size + 1, request.after, request.ascending))
    shown = rows[: request.size]
    return Page(tuple([row.item for row in shown]), shown[-1].key if len(rows) > request.size else None)
