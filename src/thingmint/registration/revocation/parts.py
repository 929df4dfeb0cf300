"""Owns the cache of encoded entries of all lists, part by part. Does not sign lists."""

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from thingmint.core.certificates.revocation import Revocation, RevocationReason
from thingmint.core.certificates.revocation_list import ListName
from thingmint.issuance.revocation.crl import encode_entries
from thingmint.records.certificates import revocations as revocation_table
from thingmint.records.certificates.revocations import PARTS
from thingmint.registration.kernel.ports import Store
from thingmint.registration.kernel.turns import Pace

# The number of entries encoded at once, which takes about a millisecond.
_BATCH = 512
# A digest of this many octets takes about a millisecond.
_LONG_OCTETS = 1 << 20


@dataclass(frozen=True, slots=True)
class ListPart:
    """Encoded entries, their number, and the time at which the first of them must be removed."""

    entries: bytes = field(repr=False)
    count: int
    until: datetime


@dataclass(slots=True)
class Parts:
    """The parts of every issuer. ``stale`` are the parts that must be read again."""

    shows_holds: bool
    kept_for: timedelta
    """How long an entry stays after its certificate's expiry."""
    stale: set[tuple[str, int]] = field(default_factory=set)
    _read: dict[tuple[str, int], ListPart] = field(default_factory=dict)

    def ended(self, at: datetime) -> None:
        """Mark the parts as stale from which an entry must be removed now."""
        self.stale.update(place for place, part in self._read.items() if part.until < at)

    async def refresh(self, store: Store, at: datetime) -> None:
        """Read the stale parts; raise ServiceUnavailable. Parts that were not read stay stale."""
        pace = Pace()
        for place in sorted(self.stale):
            found = await store.read(partial(revocation_table.revocations_of_part, *place, at - self.kept_for))
            part = await self._encoded(found, pace)
            if part is None:
                self._read.pop(place, None)
            else:
                self._read[place] = part
            self.stale.discard(place)
            await pace.rest()

    def of(self, name: ListName) -> Iterator[ListPart]:
        """Yield the parts of a list in a fixed order."""
        # Both numbers are powers of two, so each part belongs to one shard.
        for number in range(name.shard, PARTS, name.shards):
            part = self._read.get((name.issuer_id, number))
            if part is not None:
                yield part

    def count(self, name: ListName) -> int:
        """Return how many entries a list has."""
        return sum(part.count for part in self.of(name))

    async def _encoded(self, found: Sequence[Revocation], pace: Pace) -> ListPart | None:
        shown = [each for each in found if self.shows_holds or each.reason is not RevocationReason.CERTIFICATE_HOLD]
        if not shown:
            return None
        batches = []
        for start in range(0, len(shown), _BATCH):
            batches.append(encode_entries(shown[start : start + _BATCH]))
            await pace.rest()
        return ListPart(b"".join(batches), len(shown), min(each.not_after for each in shown) + self.kept_for)


async def digest_of(parts: Sequence[ListPart]) -> str:
    """Return the hexadecimal SHA-256 of the entries, which is equal for lists with the same entries."""
    return await hexadecimal_digest([part.entries for part in parts])


async def hexadecimal_digest(pieces: Sequence[bytes]) -> str:
    """Return the hexadecimal SHA-256 of the joined pieces. For long input it is computed outside of the event loop."""
    if sum(map(len, pieces)) < _LONG_OCTETS:
        return _digest(pieces)
    return await asyncio.to_thread(_digest, pieces)


def _digest(pieces: Sequence[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()
