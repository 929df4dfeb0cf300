"""Owns the memory budgets that the accounts of one process share, and the part that each account uses.

Independent of the content. If a budget is full, memory that can be released is taken first from the account that uses
most. Memory that cannot be released is not granted if it would leave other accounts less than an equal share.
"""

from collections.abc import Callable

from msgspec import Struct

from thingmint.mqtt.queues.limits import BrokerLimits
from thingmint.mqtt.queues.size_classes import SizeClasses, bounds_of_class


class SharedBudget:
    """A budget of bytes, or of any other countable unit, for all accounts together."""

    __slots__ = ("by_size", "left", "parts", "total")

    def __init__(self, total: int) -> None:
        self.total = total
        self.left = total
        """Negative for a moment if memory is charged before other memory is released."""
        self.parts: list[AccountBudget] = []
        self.by_size: SizeClasses[AccountBudget] = SizeClasses()


class AccountBudget:
    """One account's use of a budget; ``give_up`` takes the time, releases some of it, and returns whether it could."""

    __slots__ = ("_budget", "_class_from", "_class_to", "give_up", "taken")

    def __init__(self, budget: SharedBudget, give_up: Callable[[float], bool] = lambda now: False) -> None:
        self._budget = budget
        self.give_up = give_up
        self.taken = 0
        # The bounds of the part's size class.
        self._class_from, self._class_to = bounds_of_class(0)
        budget.parts.append(self)

    @property
    def left(self) -> int:
        """How much of the budget is left for all accounts together."""
        return self._budget.left

    def take(self, size: int) -> None:
        """Charge a size, or release it if it is negative."""
        self.taken += size
        self._budget.left -= size
        if not self._class_from <= self.taken < self._class_to:
            self._budget.by_size.place(self, self.taken)
            self._class_from, self._class_to = bounds_of_class(self.taken)

    def largest(self) -> "AccountBudget":
        """Return a part among the largest, within an eighth; this part itself if it is among them."""
        by_size = self._budget.by_size
        return self if by_size.is_among_largest(self) else by_size.largest() or self

    def admits(self, size: int) -> bool:
        """Return whether the part may grow by ``size`` without reducing what other accounts may still use.

        Each account is entitled to an equal share of the budget. All may use what is free, but an account with more
        than its share must leave room for those that have less.
        """
        if size > self._budget.left:
            return False
        others = len(self._budget.parts) - 1
        share = self._budget.total // (others + 1)
        if self.taken + size <= share or size + share * others <= self._budget.left:
            return True
        kept = sum(max(0, share - other.taken) for other in self._budget.parts if other is not self)
        return size + kept <= self._budget.left

    def leave(self) -> None:
        """Remove the part, which must be empty."""
        assert not self.taken, "what is left in a part would be lost to the budget"
        self._budget.parts.remove(self)


class MemoryBudgets(Struct, frozen=True):
    """The budgets that the built-in brokers of all accounts share."""

    queued_bytes: SharedBudget
    retained_bytes: SharedBudget
    offline_sessions: SharedBudget


def budgets_of(limits: BrokerLimits) -> MemoryBudgets:
    """Return unused budgets of the sizes in the limits."""
    return MemoryBudgets(
        SharedBudget(limits.queued_bytes_in_all),
        SharedBudget(limits.retained_bytes_in_all),
        SharedBudget(limits.offline_sessions),
    )
