"""Owns the counts of an account's certificates: by status, by hour of creation and by month of expiry.

The count reads every certificate in steps of bounded length. The event loop runs between the steps.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Final

from msgspec import Struct

from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.identifiers import Scope
from thingmint.records.certificates import certificate_counts as count_table
from thingmint.registration.kernel.authority import RegistrationAuthority

HOURS: Final = 30 * 24
MONTHS: Final = 12
MOST_COUNTED_ENDS: Final = 10_000
"""The highest count of certificates that expire in one month. It stands for this number or more."""
_AT_ONCE: Final = 2000
# Pauses leave most of the time to other tasks while a large registry is counted.
_PAUSE_SECONDS: Final = 0.005


class MonthOfEnds(Struct, frozen=True):
    """The number of certificates that expire in a month, at most ``MOST_COUNTED_ENDS``."""

    begins_at: datetime
    count: int


class CertificateCounts(Struct, frozen=True):
    """The counts and their time. ``issued`` has a number for each of the last hours, the present hour last."""

    by_status: dict[CertificateStatus, int]
    issued: tuple[int, ...]
    last_hour: int
    """The present hour as a number of hours since 1970."""
    ends: tuple[MonthOfEnds, ...]
    counted_at: datetime


async def count_certificates(authority: RegistrationAuthority, scope: Scope) -> CertificateCounts:
    """Count the account's certificates. Changes during the count may or may not be included."""
    by_status: Counter[CertificateStatus] = Counter()
    by_hour: Counter[int] = Counter()
    position = 0
    while True:
        counts, reached = await authority.store.read(partial(count_table.counted_after, scope, position, _AT_ONCE))
        for counted in counts:
            by_status[counted.status] += counted.count
            by_hour[counted.hour] += counted.count
        if reached == position:
            break
        position = reached
        await asyncio.sleep(_PAUSE_SECONDS)
    ends = await _ends(authority, scope)
    now = authority.clock.now()
    last_hour = int(now.timestamp() // 3600)
    issued = tuple(by_hour[hour] for hour in range(last_hour - HOURS + 1, last_hour + 1))
    return CertificateCounts({each: by_status[each] for each in CertificateStatus}, issued, last_hour, ends, now)


async def _ends(authority: RegistrationAuthority, scope: Scope) -> tuple[MonthOfEnds, ...]:
    now = authority.clock.now()
    starts = _months(now)
    counts = []
    for begins_at, until in itertools.pairwise(starts):
        since = max(begins_at, now)
        count = await authority.store.read(partial(count_table.ending, scope, since, until, MOST_COUNTED_ENDS))
        counts.append(MonthOfEnds(begins_at, count))
        await asyncio.sleep(0)
    return tuple(counts)


def _months(now: datetime) -> Sequence[datetime]:
    """Return the starts of this month and the following ones, and the end of the last one."""
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    months = [first.year * 12 + first.month - 1 + number for number in range(MONTHS + 1)]
    return [first.replace(year=month // 12, month=month % 12 + 1) for month in months]
