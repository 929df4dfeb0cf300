"""Owns what lasts between requests of one process: the counts of accounts, and how many streams are open."""

from dataclasses import dataclass, field
from typing import Final

from thingmint.console.counts import CountsOfAccounts
from thingmint.core.errors import Throttled

MOST_STREAMS: Final = 64


class Streams:
    """Counts the streams of a process."""

    def __init__(self) -> None:
        self.count = 0

    def take(self) -> None:
        """Take a place; raise Throttled if there is none."""
        if self.count >= MOST_STREAMS:
            raise Throttled("Too many pages are followed live. Close one and try again.")
        self.count += 1

    def give_back(self) -> None:
        """Give a place back."""
        self.count -= 1


@dataclass(frozen=True, slots=True)
class Live:
    """What lasts."""

    streams: Streams = field(default_factory=Streams)
    counts: CountsOfAccounts = field(default_factory=CountsOfAccounts)
