"""Owns the state between requests of one process: counts of certificates, and the number of open streams."""

from collections import Counter
from typing import Final

from msgspec import Struct, field

from thingmint.console.counts import CountsOfAccounts
from thingmint.core.errors import Throttled
from thingmint.core.identifiers import AccountId

MOST_STREAMS: Final = 64
# The callers of one account must leave streams to others.
MOST_STREAMS_OF_ACCOUNT: Final = 32


class Streams:
    """The number of open streams of a process, which is limited, also for each account."""

    def __init__(self) -> None:
        self._open: Counter[AccountId] = Counter()

    @property
    def count(self) -> int:
        """The number of open streams."""
        return self._open.total()

    def take(self, account: AccountId) -> None:
        """Count one stream more; raise Throttled if too many are open."""
        if self.count >= MOST_STREAMS or self._open[account] >= MOST_STREAMS_OF_ACCOUNT:
            raise Throttled("Too many pages are followed live. Close one and try again.")
        self._open[account] += 1

    def give_back(self, account: AccountId) -> None:
        """Count one stream less."""
        self._open[account] -= 1
        if not self._open[account]:
            del self._open[account]


class Live(Struct, frozen=True):
    """The state between requests."""

    streams: Streams = field(default_factory=Streams)
    counts: CountsOfAccounts = field(default_factory=CountsOfAccounts)
