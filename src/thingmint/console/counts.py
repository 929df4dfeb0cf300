"""Owns the counts of each account's certificates between requests. Counting a large registry takes longer than a page.

A page shows the last counts, or says that counting has begun. One account is counted at a time, with a pause after it.
"""

import asyncio
import time
from collections import OrderedDict
from typing import Final

from msgspec import Struct

from thingmint.core.errors import ThingmintError
from thingmint.core.identifiers import Scope
from thingmint.registration.certificates.certificate_counts import CertificateCounts, count_certificates
from thingmint.registration.kernel.authority import RegistrationAuthority

_MOST_ACCOUNTS: Final = 100
# The pause is this many times as long as counting took, so that counting uses a small part of the database's time.
_RESTS: Final = 20
_REST_SECONDS: Final = 2.0


class _KnownCounts(Struct):
    counts: CertificateCounts | None = None
    rests_until: float = 0.0
    task: asyncio.Task[None] | None = None


class CountsOfAccounts:
    """Remembers counts."""

    def __init__(self) -> None:
        self._known: OrderedDict[Scope, _KnownCounts] = OrderedDict()
        self._turn = asyncio.Lock()

    def latest(self, authority: RegistrationAuthority, scope: Scope) -> CertificateCounts | None:
        """Return the last counts of an account, None before the first. Count again if the pause is over."""
        known = self._known.setdefault(scope, _KnownCounts())
        self._known.move_to_end(scope)
        if len(self._known) > _MOST_ACCOUNTS:
            self._known.popitem(last=False)
        if known.task is None and time.monotonic() >= known.rests_until:
            known.task = asyncio.create_task(self._count(authority, scope, known))
        return known.counts

    async def _count(self, authority: RegistrationAuthority, scope: Scope, known: _KnownCounts) -> None:
        began = time.monotonic()
        try:
            async with self._turn:
                began = time.monotonic()
                known.counts = await count_certificates(authority, scope)
        except ThingmintError:
            # The database does not answer. The old counts stay, and the page shows their time.
            return
        finally:
            took = time.monotonic() - began
            known.rests_until = time.monotonic() + max(_REST_SECONDS, _RESTS * took)
            known.task = None
