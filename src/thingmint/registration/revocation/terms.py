"""Owns what an operator decides about revocation lists and status responses, and where they are; does nothing."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from thingmint.core.identifiers import SerialNumber
from thingmint.issuance.authorities.issuing_ca import IssuingCA
from thingmint.records.certificates.revocation_lists import ListName, ListState

MOST_SHARDS = 128


@dataclass(frozen=True, slots=True)
class RevocationTerms:
    """How long lists and responses are valid, whether they show holds, and from how many entries lists are split.

    ``list_address`` returns where a list is to be found; without it no certificate names one, and no list is split.
    """

    list_valid_for: timedelta = timedelta(days=1)
    response_valid_for: timedelta = timedelta(hours=1)
    shows_holds: bool = True
    shard_entries: int = 50_000
    list_address: Callable[[ListName], str] | None = None

    def shards_for(self, entries: int) -> int:
        """Return into how many lists an issuer's entries are split: a power of two."""
        if self.list_address is None:
            return 1
        shards = 1
        while shards < MOST_SHARDS and entries > shards * self.shard_entries:
            shards *= 2
        return shards


@dataclass(frozen=True, slots=True)
class Revoker:
    """A CA that signs lists and delegates responses.

    Certificates that it signed and that are not in the registry, such as those of other CAs, are ``known``.
    """

    ca: IssuingCA
    known: frozenset[SerialNumber] = field(default=frozenset())


Revokers = Callable[[], Iterable[Revoker]]
"""Returns the CAs of the service at the time of the call, each once."""


class RevocationObserver(Protocol):
    """Counts; must neither fail nor wait."""

    def list_written(self, seconds: float) -> None:
        """Record that this node has written a list, and how long that took."""
        ...

    def list_given_out(self, state: ListState, octets: int) -> None:
        """Record that a list is given out from now on, whichever node wrote it."""
        ...

    def list_failed(self, issuer_id: str) -> None:
        """Count a turn in which lists of an issuer could not be written."""
        ...

    def status_answered(self, status: str, *, is_cached: bool) -> None:
        """Count a response; ``status`` is good, revoked, unknown, several, or why there is none."""
        ...


class RevocationLog(Protocol):
    """Where failures and their ends are told."""

    def warning(self, event: str, **facts: object) -> object:
        """Write a line about a failure."""
        ...

    def info(self, event: str, **facts: object) -> object:
        """Write a line about its end."""
        ...
