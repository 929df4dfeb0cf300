"""Owns the reservation of serial numbers, so that an issuer with its key outside of this process never repeats one.

A token may have signed although its answer was lost. Therefore the number is reserved durably before the signature. The
transaction that stores the certificate deletes the reservation. An unused reservation is abandoned: it stays forever
and has an audit entry.
"""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta

from thingmint.core.audit_entry import AuditEntry, audit_entry, service_entry
from thingmint.core.caller import Caller
from thingmint.core.errors import ServiceUnavailable
from thingmint.core.identifiers import Scope, iot_arn
from thingmint.issuance.issuer import Issuer, PreparedCertificate
from thingmint.records.certificates import serial_reservations as reservation_table
from thingmint.records.certificates.serial_reservations import SerialReservation
from thingmint.records.steps import Steps
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.mutation import Change, change

# Far longer than a signature and its storage take, and than the clocks of two nodes differ.
ABANDONED_AFTER = timedelta(hours=1)
_ACTION = "AbandonSerialNumber"


async def issue_with_reservation(
    authority: RegistrationAuthority, caller: Caller, issuer: Issuer, prepared: PreparedCertificate
) -> tuple[bytes, SerialReservation]:
    """Reserve the serial number, then return the DER of the signed certificate, and the reservation.

    Raises ServiceUnavailable if the number cannot be reserved or the signer fails, and abandons the number then.
    """
    reservation = SerialReservation(issuer.ca.issuer_id, prepared.serial_number, caller.scope)
    at = authority.clock.now()
    if not await authority.store.write(lambda: reservation_table.reserve(reservation, at)):
        raise ServiceUnavailable("The serial number of the new certificate was given before")
    try:
        return await issuer.issue(prepared), reservation
    except ServiceUnavailable:
        # If the database fails, too, the sweep abandons it later.
        with contextlib.suppress(ServiceUnavailable):
            await _abandon(authority, caller, reservation)
        raise


def use_reservation(reservation: SerialReservation | None) -> Steps[None]:
    """Delete the reservation of a certificate that this transaction stores; do nothing if there is none.

    Raises ServiceUnavailable if the number was abandoned meanwhile.
    """
    if reservation is not None and not (yield from reservation_table.use(reservation)):
        raise ServiceUnavailable("The serial number of the new certificate was abandoned before it was recorded")


async def sweep_serial_reservations(authority: RegistrationAuthority, limit: int) -> int:
    """Abandon up to ``limit`` unused numbers that were reserved over an hour ago; return how many."""
    now = authority.clock.now()

    def program() -> Steps[Change[int]]:
        abandoned = yield from reservation_table.abandon_unused(now - ABANDONED_AFTER, now, limit)
        return Change(len(abandoned), tuple([_entry_of_sweep(each, now) for each in abandoned]))

    return await change(authority, program)


async def _abandon(authority: RegistrationAuthority, caller: Caller, reservation: SerialReservation) -> None:
    now = authority.clock.now()
    entry = audit_entry(
        caller, now, _ACTION, _issuer_arn(caller.scope, reservation), **_detail(reservation, "the signature failed")
    )

    def program() -> Steps[Change[None]]:
        abandoned = yield from reservation_table.abandon(reservation, now)
        return Change(None, (entry,) if abandoned else ())

    await change(authority, program)


def _entry_of_sweep(reservation: SerialReservation, at: datetime) -> AuditEntry:
    scope, detail = reservation.scope, _detail(reservation, "no certificate was recorded")
    return service_entry(scope, at, _ACTION, _issuer_arn(scope, reservation), **detail)


def _issuer_arn(scope: Scope, reservation: SerialReservation) -> str:
    return iot_arn(scope, f"issuer/{reservation.issuer_id}")


def _detail(reservation: SerialReservation, reason: str) -> dict[str, str]:
    return {"issuer_id": reservation.issuer_id, "serial_number": reservation.hexadecimal, "reason": reason}
