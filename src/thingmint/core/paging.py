"""Owns the values of pages of lists: the key at which a page begins, its size, its entries and the key of the next one.

A list is in the order in which its entries were stored. Positions of entries grow and are never reused, so a page costs
the same at any start. A list that is filtered by the prefix of a text (a name, an attribute's value, a path) is in the
order of that text, because an index returns this order.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

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
