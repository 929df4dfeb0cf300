"""Owns the exclusion of long-lived objects, those of connections, from Python's garbage collection.

A full collection examines every container object while the process does nothing else; with thousands of connections
that takes tenths of a second. Frozen objects are not examined. An ended connection leaves no cycles, so that reference
counting frees its frozen objects. Other objects that existed at a freezing may leave cycles. To find them, all objects
are examined after many freezings, when for a minute only few connections have come or gone, or at last without that.
"""

import gc
from typing import Final

# So many connections come, get other policies or subscribe between two freezings. A freezing takes no time.
_MANY: Final = 250
# A connection of the API leaves 50 KB in cycles, and some of them exist at each freezing.
_FREEZINGS_BEFORE_EXAMINATION: Final = 40
_CALM_SECONDS: Final = 60
# If connections always come and go.
_MOST_SECONDS: Final = 900
# Few are so many in a second, or so small a part of the open connections.
_FEW: Final = 10
_PART: Final = 100


class LongLivedObjects:
    """Hears of connections with new objects, and each second how many are open; owns the permanent generation."""

    def __init__(self) -> None:
        self._unfrozen = 0
        self._freezings = 0
        self._came = 0
        self._open_before = 0
        self._calm_seconds = 0
        self._seconds = 0

    def came(self) -> None:
        """Record that a connection was accepted."""
        self._came += 1
        self.kept()

    def kept(self) -> None:
        """Record that a connection keeps new objects, and freeze those of many connections together."""
        self._unfrozen += 1
        if self._unfrozen >= _MANY:
            self._unfrozen = 0
            self._freezings += 1
            gc.freeze()

    def advance(self, connections: int) -> None:
        """Examine all objects if that is due; called each second with the number of open connections."""
        few = max(_FEW, connections // _PART)
        is_calm = self._came <= few and abs(connections - self._open_before) <= few
        self._calm_seconds = self._calm_seconds + 1 if is_calm else 0
        self._came, self._open_before = 0, connections
        self._seconds += 1
        if self._freezings >= _FREEZINGS_BEFORE_EXAMINATION and (
            self._calm_seconds >= _CALM_SECONDS or self._seconds >= _MOST_SECONDS
        ):
            self._freezings = self._seconds = 0
            gc.unfreeze()
            gc.collect()
            gc.freeze()
