"""Owns the table of revocations of the service's own certificates. Independent of the encoding of lists."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from msgspec import Struct

from thingmint.core.certificates.revocation import Revocation, RevocationReason
from thingmint.core.identifiers import SerialNumber
from thingmint.records.columns import column_of_time, time_of_column
from thingmint.records.statement import Row, row_of, rows_of
from thingmint.records.steps import Steps
from thingmint.records.tokens import DATABASE_RUN, REVOCATION_CEILING, REVOCATION_HORIZON, REVOCATION_STAMP

PARTS = 1024
"""The number of parts of an issuer's revocations. The lowest ten bits of a serial number select its part."""

_COLUMNS = "issuer_id, serial_number, reason, revoked_at, not_after"
_HOLD, _REMOVED = RevocationReason.CERTIFICATE_HOLD.value, RevocationReason.REMOVE_FROM_CRL.value
_REASONS = {reason.value: reason for reason in RevocationReason}

# Only a hold can change. A revoked certificate stays revoked and keeps its date.
NOTE_REVOCATION = (
    "INSERT INTO revocation (issuer_id, serial_number, part, reason, revoked_at, not_after, stamp) "  # noqa: S608  a token
    f"VALUES ($1, $2, $3, $4, $5, $6, {REVOCATION_STAMP}) "
    "ON CONFLICT (issuer_id, serial_number) DO UPDATE SET reason = excluded.reason, revoked_at = excluded.revoked_at, "
    f"stamp = excluded.stamp WHERE revocation.reason IN ({_HOLD}, {_REMOVED})"
)

END_HOLD = (
    f"UPDATE revocation SET reason = {_REMOVED}, stamp = {REVOCATION_STAMP} "  # noqa: S608  constants
    f"WHERE issuer_id = $1 AND serial_number = $2 AND reason = {_HOLD}"
)

SET_REASON = (
    f"UPDATE revocation SET reason = $1, stamp = {REVOCATION_STAMP} "  # noqa: S608  constants
    f"WHERE issuer_id = $2 AND serial_number = $3 AND reason NOT IN ({_HOLD}, {_REMOVED}) AND reason <> $4 "
    "RETURNING position"
)

# One row always.
STANDING = (
    "SELECT EXISTS (SELECT 1 FROM certificate WHERE issuer_id = $1 AND serial_number = $2), "  # noqa: S608  as above
    f"{_COLUMNS} FROM (SELECT 1 AS one) AS always LEFT JOIN revocation ON issuer_id = $3 AND serial_number = $4"
)

PART = (
    f"SELECT {_COLUMNS} FROM revocation WHERE issuer_id = $1 AND part = $2 AND not_after >= $3 "  # noqa: S608  as above
    f"AND reason <> {_REMOVED} ORDER BY serial_number"
)

# Returns at least one row, which has the horizon.
CHANGED_FROM = (
    f"SELECT {REVOCATION_HORIZON}, {DATABASE_RUN}, changed.issuer_id, changed.serial_number, changed.part "  # noqa: S608  tokens
    "FROM (SELECT 1 AS one) AS always LEFT JOIN "
    "(SELECT issuer_id, serial_number, part FROM revocation "
    f"WHERE stamp >= $1 AND stamp < {REVOCATION_CEILING} ORDER BY stamp LIMIT $2) AS changed ON 1 = 1"
)

ALL_PARTS = "SELECT DISTINCT issuer_id, part FROM revocation"

# The row with the newest stamp stays, because the next stamps count on from it.
DELETE_ENDED = (
    "DELETE FROM revocation WHERE position IN "
    "(SELECT position FROM revocation WHERE not_after < $1 ORDER BY not_after LIMIT $2) "
    "AND stamp < (SELECT max(stamp) FROM revocation) RETURNING position"
)


class ChangedRevocation(Struct, frozen=True):
    """A serial number of an issuer whose revocation has changed, and its part."""

    issuer_id: str
    serial_number: SerialNumber
    part: int


class RevocationsFound(NamedTuple):
    """The stamp for the next call, and what may have changed since the stamp of this one.

    ``server`` differs from that of an earlier call if another server answers, or the same one after a restart.
    """

    following: int
    changed: Sequence[ChangedRevocation]
    server: int


def part_of(serial_number: SerialNumber) -> int:
    """Return the part that the serial number is in."""
    return serial_number % PARTS


def record_revocation(revocation: Revocation) -> Steps[None]:
    """Record that a certificate is revoked or on hold; change nothing if it is revoked already."""
    yield from rows_of(
        NOTE_REVOCATION,
        revocation.issuer_id,
        f"{revocation.serial_number:x}",
        part_of(revocation.serial_number),
        revocation.reason.value,
        column_of_time(revocation.revoked_at),
        column_of_time(revocation.not_after),
    )


def end_hold(issuer_id: str, serial_number: SerialNumber) -> Steps[None]:
    """Record that a certificate is valid again; change nothing if it is revoked."""
    yield from rows_of(END_HOLD, issuer_id, f"{serial_number:x}")


def set_reason(issuer_id: str, serial_number: SerialNumber, reason: RevocationReason) -> Steps[bool]:
    """Give a revoked certificate another reason; return whether it had another one."""
    updated = yield from row_of(SET_REASON, reason.value, issuer_id, f"{serial_number:x}", reason.value)
    return updated is not None


def standing(issuer_id: str, serial_number: SerialNumber) -> Steps[tuple[bool, Revocation | None]]:
    """Return whether the registry has a certificate with the issuer's serial number, and what is recorded of it.

    What is recorded includes a hold that has ended, and certificates that were deleted.
    """
    named = issuer_id, f"{serial_number:x}"
    [row] = yield from rows_of(STANDING, *named, *named)
    return bool(row[0]), None if row[1] is None else _revocation_of_row(row[1:])


def standings(issuer_id: str, serial_numbers: Sequence[SerialNumber]) -> Steps[list[tuple[bool, Revocation | None]]]:
    """Return what `standing` does, for each of these serial numbers."""
    found = list[tuple[bool, Revocation | None]]()
    for serial_number in serial_numbers:
        found += ((yield from standing(issuer_id, serial_number)),)
    return found


def revocations_of_part(issuer_id: str, part: int, ending_from: datetime) -> Steps[Sequence[Revocation]]:
    """Return the revocations and holds of a part whose certificates expire at this time or later, in a fixed order."""
    found = yield from rows_of(PART, issuer_id, part, column_of_time(ending_from))
    return tuple(map(_revocation_of_row, found))


def changed_from(stamp: int, limit: int) -> Steps[RevocationsFound]:
    """Return up to ``limit`` revocations that may have changed since this stamp, and the stamp for the next call."""
    found = yield from rows_of(CHANGED_FROM, stamp, limit)
    changed = [
        ChangedRevocation(issuer_id, SerialNumber(int(serial_number, 16)), part)
        for _, _, issuer_id, serial_number, part in found
        if issuer_id is not None
    ]
    return RevocationsFound(found[0][0], changed, found[0][1])


def all_parts() -> Steps[Sequence[tuple[str, int]]]:
    """Return every issuer and part that has a revocation."""
    return tuple([(issuer_id, part) for issuer_id, part in (yield from rows_of(ALL_PARTS))])


def delete_ended_revocations(before: datetime, limit: int) -> Steps[int]:
    """Delete up to ``limit`` revocations of certificates that expired before this time; return their number."""
    return len((yield from rows_of(DELETE_ENDED, column_of_time(before), limit)))


def _revocation_of_row(row: Row) -> Revocation:
    issuer_id, serial_number, reason, revoked_at, not_after = row
    return Revocation(
        issuer_id=issuer_id,
        serial_number=SerialNumber(int(serial_number, 16)),
        reason=_REASONS[reason],
        revoked_at=time_of_column(revoked_at),
        not_after=time_of_column(not_after),
    )
