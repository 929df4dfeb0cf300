"""Owns pages of lists: where one starts, how long it is, and whether another follows; knows no list's content.

A list is in the order in which its entries were stored. Every entry has a position, which grows and never comes back,
so that a page costs the same wherever it starts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from thingmint.registration.steps import Steps


class Positioned(Protocol):
    """An entry of a list."""

    @property
    def position(self) -> int:
        """Where the entry stands; it orders the list and never repeats."""
        ...


EntryT = TypeVar("EntryT", bound=Positioned)


@dataclass(frozen=True, slots=True)
class PageKey:
    """Where a page of a list starts: after this position."""

    position: int


@dataclass(frozen=True, slots=True)
class PageRequest:
    """How many entries of a list, after which one, in which direction."""

    size: int
    after: PageKey | None
    ascending: bool


@dataclass(frozen=True, slots=True)
class Page(Generic[EntryT]):
    """Some entries of a list, and where the next page starts if there is one."""

    items: tuple[EntryT, ...]
    next: PageKey | None


def read_page(request: PageRequest, entries: Callable[[PageRequest], Steps[Sequence[EntryT]]]) -> Steps[Page[EntryT]]:
    """Return the page, asking for one entry more than its size: that tells whether another follows, uncounted."""
    rows = yield from entries(PageRequest(request.size + 1, request.after, request.ascending))
    items = tuple(rows[: request.size])
    return Page(items, PageKey(items[-1].position) if len(rows) > request.size else None)
