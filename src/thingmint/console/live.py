"""Owns the state between requests of one process: counts of certificates, and the number of open streams."""

from typing import Final

from msgspec import Struct, field

from thingmint.console.counts import CountsOfAccounts
from thingmint.core.errors import Throttled

MOST_STREAMS: Final = 64


class Streams:
    """The number of open streams of a process, which is limited."""

    def __init__(self) -> None:
        self.count = 0

    def take(self) -> None:
        """Count one stream more; raise Throttled if `MOST_STREAMS` are open."""
        if self.count >= MOST_STREAMS:
            raise Throttled("Too many pages are followed live. Close one and try again.")
        self.count += 1

    def give_back(self) -> None:
        """Count one stream less."""
        self.count -= 1


class Live(Struct, frozen=True):
    """The state between requests."""

    streams: Streams = field(default_factory=Streams)
    counts: CountsOfAccounts = field(default_factory=CountsOfAccounts)
