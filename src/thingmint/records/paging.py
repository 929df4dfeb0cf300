"""Owns pages of lists: their start, their size, and whether another page follows. Independent of the entries.

A list is in the order in which its entries were stored. Positions of entries grow and are never reused, so a page costs
the same at any start. A list that is filtered by the prefix of a text (a name, an attribute's value, a path) is in the
order of that text, because an index returns this order.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from thingmint.records.steps import Steps


class Positioned(Protocol):
    """An entry of a list."""

    @property
    def position(self) -> int:
        """The position, which orders the list and is unique."""
        ...


EntryT = TypeVar("EntryT", bound=Positioned)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PageKey:
    """The start of a page: after this position; in a list ordered by a text, after this text and position."""

    position: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    """An entry of a list, and the key of the page after it."""

    item: T
    key: PageKey


@dataclass(frozen=True, slots=True)
class PageRequest:
    """The size of a page, the key after which it starts, and the direction."""

    size: int
    after: PageKey | None
    ascending: bool


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """The entries of a page, and the key of the next page if there is one."""

    items: tuple[T, ...]
    next: PageKey | None


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
