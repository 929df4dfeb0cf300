"""Owns which objects Python's garbage collector leaves alone: those of connections, which live long.

A full collection looks at every object that holds others, and everything waits for it: with thousands of connections
that takes a tenth of a second. Objects that are frozen are not looked at. Connections that have ended are freed by
their reference counts; because cycles may be left of them, everything is looked at again after many have ended.
"""

import gc
from typing import Final

# So many more connections are open than at the last freezing before the next one.
_MANY: Final = 250
_PART: Final = 4


class LongLivedObjects:
    """Is told each second how many connections are open; owns the collector's permanent generation."""

    def __init__(self) -> None:
        self._frozen_at = 0

    def observe(self, connections: int) -> None:
        """Leave the objects of new connections alone, and look at all of them again after a mass departure."""
        if connections - self._frozen_at >= _MANY:
            gc.freeze()
            self._frozen_at = connections
        elif self._frozen_at - connections >= max(_MANY, self._frozen_at // _PART):
            gc.unfreeze()
            self._frozen_at = connections
