"""Owns the exclusion of long-lived objects, those of connections, from Python's garbage collection.

A full collection examines every container object while the process does nothing else; with thousands of connections
that takes a tenth of a second. Frozen objects are not examined. The objects of ended connections are freed by reference
counting. Because they may leave cycles, all objects are examined again after many connections have ended.
"""

import gc
from typing import Final

# So many more connections are open than at the last freezing before the next one.
_MANY: Final = 250
_PART: Final = 4


class LongLivedObjects:
    """Gets the number of open connections each second; owns the collector's permanent generation."""

    def __init__(self) -> None:
        self._frozen_at = 0

    def observe(self, connections: int) -> None:
        """Freeze the objects of new connections, and examine all objects again after many connections have ended."""
        if connections - self._frozen_at >= _MANY:
            gc.freeze()
            self._frozen_at = connections
        elif self._frozen_at - connections >= max(_MANY, self._frozen_at // _PART):
            gc.unfreeze()
            self._frozen_at = connections
