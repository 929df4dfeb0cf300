"""Owns the statements that count certificates. Each reads a bounded number of rows."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.identifiers import Scope
from thingmint.records.columns import column_of_time
from thingmint.records.statement import row_of, rows_of
from thingmint.records.steps import Steps
from thingmint.records.tokens import after

# The inner SELECT reads only columns of the index that SQLite uses to list certificates.
COUNTED = (
    "SELECT status, created_at / 3600000000, count(*), max(position) FROM ("  # noqa: S608  constants
    "SELECT status, created_at, position FROM certificate "
    f"WHERE {after('account', 'region', 'position')} LIMIT $4) AS part GROUP BY status, created_at / 3600000000"
)

ENDING = (
    "SELECT count(*) FROM (SELECT position FROM certificate WHERE account = $1 AND region = $2 "
    "AND not_after >= $3 AND not_after < $4 LIMIT $5) AS part"
)

_STATUSES = {status.value: status for status in CertificateStatus}


class HourlyCount(Struct, frozen=True):
    """The number of certificates of a status that were created in an hour. Hours are whole hours since 1970."""

    status: CertificateStatus
    hour: int
    count: int


def counted_after(scope: Scope, position: int, limit: int) -> Steps[tuple[Sequence[HourlyCount], int]]:
    """Return counts of up to ``limit`` certificates after a position, and the last position (or the given one)."""
    rows = yield from rows_of(COUNTED, scope.account, scope.region, position, limit)
    counts = tuple(HourlyCount(_STATUSES[status], hour, count) for status, hour, count, _ in rows)
    return counts, max((row[3] for row in rows), default=position)


def ending(scope: Scope, since: datetime, until: datetime, limit: int) -> Steps[int]:
    """Return how many certificates expire from ``since`` on and before ``until``; ``limit`` if there are more."""
    row = yield from row_of(ENDING, scope.account, scope.region, column_of_time(since), column_of_time(until), limit)
    assert row is not None
    return int(row[0])
