"""Owns an approximate order by size, in which one of the largest members is found in constant time."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

T = TypeVar("T", bound=Hashable)

# Each size below this has its own class. Above, each power of two is divided into eight classes.
_EXACT_BELOW: Final = 16
_CLASSES_BITS: Final = 3


def class_of(size: int) -> int:
    """Return the class of a size: larger sizes have higher classes, and sizes in a class differ by at most 12.5 %."""
    if size < _EXACT_BELOW:
        return size
    bits = size.bit_length()
    return bits << _CLASSES_BITS | size >> bits - 1 - _CLASSES_BITS & (1 << _CLASSES_BITS) - 1


def bounds_of_class(size: int) -> tuple[int, int]:
    """Return the smallest size of the size's class, and the smallest size of the next class."""
    if size < _EXACT_BELOW:
        return size, size + 1
    step = size.bit_length() - 1 - _CLASSES_BITS
    least = size >> step << step
    return least, least + (1 << step)


class SizeClasses(Generic[T]):
    """Members by their size class. Every operation takes constant time."""

    __slots__ = ("_class_of", "_members", "_used")

    def __init__(self) -> None:
        self._class_of: dict[T, int] = {}
        # Ordered dictionaries, because a plain one scans the slots of all deleted members before its first one.
        self._members: dict[int, OrderedDict[T, None]] = {}
        # One bit for each class that has members.
        self._used = 0

    def __len__(self) -> int:
        return len(self._class_of)

    def place(self, member: T, size: int) -> None:
        """Set the size of a member, which may be new; a size of 0 removes it."""
        new, old = class_of(size), self._class_of.get(member, 0)
        if new == old:
            return
        if old:
            self._leave(member, old)
        if not new:
            self._class_of.pop(member, None)
            return
        self._class_of[member] = new
        members = self._members.get(new)
        if members is None:
            members = self._members[new] = OrderedDict()
            self._used |= 1 << new
        members[member] = None

    def largest(self) -> T | None:
        """Return the member that has been in the highest class for longest; None if there are no members."""
        return next(iter(self._members[self._used.bit_length() - 1])) if self._used else None

    def is_among_largest(self, member: T) -> bool:
        """Return whether the member is in the highest class."""
        return self._class_of.get(member, 0) == max(0, self._used.bit_length() - 1)

    def _leave(self, member: T, old: int) -> None:
        members = self._members[old]
        del members[member]
        if not members:
            del self._members[old]
            self._used &= ~(1 << old)
