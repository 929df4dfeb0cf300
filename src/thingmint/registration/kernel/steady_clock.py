"""Owns the judgement whether a clock has been right for long: what is deleted by its time cannot be restored.

A machine whose clock jumps far ahead takes every certificate for expired. Soon its operators notice, because signatures
of requests are then refused.
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from thingmint.core.clock import Clock

STEADY_FOR_SECONDS: Final = 86_400.0
# Time synchronization corrects a clock by less. A machine that was suspended, or whose clock was set, jumps further.
_JUMP_SECONDS: Final = 600.0


class SteadyClock(Struct):
    """Compares a clock with the seconds since the start, which nobody can set."""

    clock: Clock
    monotonic: Callable[[], float]
    _steady_since: float | None = None
    _difference: float = 0.0

    def is_steady(self) -> bool:
        """Return whether the clock has not jumped for a day, during which this was asked repeatedly."""
        elapsed = self.monotonic()
        difference = self.clock.now().timestamp() - elapsed
        if self._steady_since is None or abs(difference - self._difference) > _JUMP_SECONDS:
            self._steady_since = elapsed
        self._difference = difference
        return elapsed - self._steady_since >= STEADY_FOR_SECONDS
