"""Owns what the accounts of one process share: so much room, and the parts of it that each account takes.

Refuses to know what lies there. What can be given up for others is taken first from the account that has most; what
cannot is not taken in, where it would leave others less than their equal share.
"""

from collections.abc import Callable
from dataclasses import dataclass

from thingmint.mqtt.queues.limits import BrokerLimits
from thingmint.mqtt.queues.size_classes import SizeClasses, bounds_of_class


class Room:
    """A number of bytes, or of anything else that can be counted, for all accounts together."""

    __slots__ = ("by_size", "left", "parts", "total")

    def __init__(self, total: int) -> None:
        self.total = total
        self.left = total
        """Less than nothing for a moment, where something is put in before another is given up."""
        self.parts: list[Part] = []
        self.by_size: SizeClasses[Part] = SizeClasses()


class Part:
    """What one account takes of a room; ``give_up`` makes it less, at the given time, and returns whether it could."""

    __slots__ = ("_class_from", "_class_to", "_room", "give_up", "taken")

    def __init__(self, room: Room, give_up: Callable[[float], bool] = lambda now: False) -> None:
        self._room = room
        self.give_up = give_up
        self.taken = 0
        # The sizes of the class that the part is in.
        self._class_from, self._class_to = bounds_of_class(0)
        room.parts.append(self)

    @property
    def left(self) -> int:
        """How much is left for all together."""
        return self._room.left

    def take(self, size: int) -> None:
        """Count what was put in, or with a negative size what was taken out."""
        self.taken += size
        self._room.left -= size
        if not self._class_from <= self.taken < self._class_to:
            self._room.by_size.place(self, self.taken)
            self._class_from, self._class_to = bounds_of_class(self.taken)

    def largest(self) -> "Part":
        """Return a part of an account that takes most, give or take an eighth; this one, if it is among them."""
        by_size = self._room.by_size
        return self if by_size.is_among_largest(self) else by_size.largest() or self

    def admits(self, size: int) -> bool:
        """Return whether the part may grow so much and leave to the others what they may still take.

        Each account can count on an equal share of the room. What nobody has taken is for all, but an account that has
        more than its share must leave room for those that have less.
        """
        if size > self._room.left:
            return False
        others = len(self._room.parts) - 1
        share = self._room.total // (others + 1)
        if self.taken + size <= share or size + share * others <= self._room.left:
            return True
        kept = sum(max(0, share - other.taken) for other in self._room.parts if other is not self)
        return size + kept <= self._room.left

    def leave(self) -> None:
        """Give the part up, which must be empty."""
        assert not self.taken, "what is left in a part would be lost to the room"
        self._room.parts.remove(self)


@dataclass(frozen=True, slots=True)
class Rooms:
    """What the built-in brokers of all accounts share."""

    queued_bytes: Room
    retained_bytes: Room
    offline_sessions: Room


def rooms_of(limits: BrokerLimits) -> Rooms:
    """Return empty rooms as large as the limits say."""
    return Rooms(Room(limits.queued_bytes_in_all), Room(limits.retained_bytes_in_all), Room(limits.offline_sessions))
