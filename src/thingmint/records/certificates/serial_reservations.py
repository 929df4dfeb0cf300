"""Owns the table of serial numbers that are reserved before a signer outside of the process signs."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from thingmint.core.identifiers import AccountId, Region, Scope, SerialNumber
from thingmint.records.columns import column_of_time
from thingmint.records.statement import row_of, rows_of
from thingmint.records.steps import Steps

# Certificates that an in-process signer issued earlier with the same issuer have no reservation.
RESERVE = (
    "INSERT INTO serial_reservation (issuer_id, serial_number, account, region, reserved_at) "
    "SELECT $1, $2, $3, $4, $5 WHERE NOT EXISTS "
    "(SELECT 1 FROM certificate WHERE issuer_id = $6 AND serial_number = $7) "
    "ON CONFLICT DO NOTHING RETURNING position"
)

# An abandoned number stays abandoned, because the audit trail records that no certificate has it.
USE = (
    "DELETE FROM serial_reservation WHERE issuer_id = $1 AND serial_number = $2 AND abandoned_at IS NULL "
    "RETURNING position"
)

ABANDON = (
    "UPDATE serial_reservation SET abandoned_at = $1 WHERE issuer_id = $2 AND serial_number = $3 "
    "AND abandoned_at IS NULL RETURNING position"
)

# The condition is there twice because two nodes can select the same rows, and the second waits for the first.
ABANDON_UNUSED = (
    "UPDATE serial_reservation SET abandoned_at = $1 WHERE abandoned_at IS NULL AND position IN "
    "(SELECT position FROM serial_reservation WHERE abandoned_at IS NULL AND reserved_at < $2 "
    "ORDER BY reserved_at LIMIT $3) RETURNING issuer_id, serial_number, account, region"
)


class SerialReservation(Struct, frozen=True):
    """A serial number of an issuer, and the account that it is reserved for."""

    issuer_id: str
    serial_number: SerialNumber
    scope: Scope

    @property
    def hexadecimal(self) -> str:
        """The serial number in lower-case hexadecimal, for storage and display."""
        return f"{self.serial_number:x}"


def reserve(reservation: SerialReservation, at: datetime) -> Steps[bool]:
    """Store the reservation; return False if the issuer's number is reserved, abandoned, or used by a certificate."""
    issuer_id, number, scope = reservation.issuer_id, reservation.hexadecimal, reservation.scope
    stored = yield from row_of(
        RESERVE, issuer_id, number, scope.account, scope.region, column_of_time(at), issuer_id, number
    )
    return stored is not None


def use(reservation: SerialReservation) -> Steps[bool]:
    """Delete the reservation because a certificate has the number now; return False if it is no longer open."""
    return (yield from row_of(USE, reservation.issuer_id, reservation.hexadecimal)) is not None


def abandon(reservation: SerialReservation, at: datetime) -> Steps[bool]:
    """Record that no certificate will have the number; return False if the reservation is no longer open."""
    abandoned = yield from row_of(ABANDON, column_of_time(at), reservation.issuer_id, reservation.hexadecimal)
    return abandoned is not None


def abandon_unused(before: datetime, at: datetime, limit: int) -> Steps[Sequence[SerialReservation]]:
    """Abandon and return up to ``limit`` open reservations from before a time."""
    found = yield from rows_of(ABANDON_UNUSED, column_of_time(at), column_of_time(before), limit)
    return tuple(
        [
            SerialReservation(issuer_id, SerialNumber(int(number, 16)), Scope(AccountId(account), Region(region)))
            for issuer_id, number, account, region in found
        ]
    )
