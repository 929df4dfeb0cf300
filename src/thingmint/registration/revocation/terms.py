"""Owns an operator's settings of revocation lists and status responses, and the ports of this package."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Protocol

from msgspec import Struct, field

from thingmint.core.certificates.revocation_list import ListName
from thingmint.core.identifiers import SerialNumber
from thingmint.issuance.authorities.issuing_ca import IssuingCA

MOST_SHARDS = 128


class RevocationTerms(Struct, frozen=True):
    """How long lists and responses are valid, whether they show holds, and from how many entries lists are split.

    ``list_address`` returns the URL of a list. Without it no certificate names a list, and no list is split.
    """

    list_valid_for: timedelta = timedelta(days=1)
    response_valid_for: timedelta = timedelta(hours=1)
    shows_holds: bool = True
    shard_entries: int = 50_000
    list_address: Callable[[ListName], str] | None = None

    def shards_for(self, entries: int) -> int:
        """Return the number of lists for this number of entries: a power of two."""
        if self.list_address is None:
            return 1
        shards = 1
        while shards < MOST_SHARDS and entries > shards * self.shard_entries:
            shards *= 2
        return shards


class CRLIssuer(Struct, frozen=True):
    """A CA that signs lists and delegates responses.

    ``known`` are certificates that it signed and that are not in the registry, such as those of other CAs.
    """

    ca: IssuingCA
    known: frozenset[SerialNumber] = field(default=frozenset())


CRLIssuers = Callable[[], Iterable[CRLIssuer]]
"""Returns the CAs of the service at the time of the call, each once. The same object means that none has changed."""


class RevocationObserver(Protocol):
    """Counts events. Its methods must not fail or wait."""

    def list_written(self, seconds: float) -> None:
        """Record that this node has written a list, and the duration."""
        ...

    def list_failed(self, issuer_id: str) -> None:
        """Count a turn in which lists of an issuer could not be written."""
        ...

    def status_answered(self, status: str, *, is_cached: bool) -> None:
        """Count a response. ``status`` is good, revoked, unknown, several, or the reason of an error."""
        ...
