"""Owns the issuance and storage of a certificate. All requests for new certificates use it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from msgspec import Struct

from thingmint.core.audit_entry import AuditEntry, audit_entry
from thingmint.core.caller import Caller
from thingmint.core.certificates.certificate import Certificate, CertificateMode, CertificateStatus
from thingmint.core.identifiers import CertificateId, SerialNumber, certificate_id_of
from thingmint.issuance.encoding.common_name import common_name_of_name
from thingmint.issuance.issuer import Issuer
from thingmint.issuance.keys.key_pairs import PublicKey
from thingmint.records.certificates import certificates as certificate_table
from thingmint.records.certificates.serial_reservations import SerialReservation
from thingmint.records.steps import Steps
from thingmint.registration.certificates.serial_numbers import issue_with_reservation, use_reservation
from thingmint.registration.certificates.standing import record_standing
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.deleted_accounts import ensure_not_deleted
from thingmint.registration.kernel.mutation import Change, change


class SignedCertificate(Struct, frozen=True):
    """A certificate that an issuer has signed and that is not stored yet."""

    der: bytes
    issuer_id: str
    serial_number: SerialNumber
    not_before: datetime
    not_after: datetime
    subject_der: bytes
    reservation: SerialReservation | None
    """The serial number that was reserved before the signature; None if this process signed."""

    @property
    def certificate_id(self) -> CertificateId:
        """The certificate's id."""
        return certificate_id_of(self.der)


async def sign(
    authority: RegistrationAuthority,
    caller: Caller,
    issuer: Issuer,
    public_key: PublicKey,
    subject_der: bytes | None,
    at: datetime,
) -> SignedCertificate:
    """Return a prepared, linted and signed certificate for the key.

    A subject is a Name in DER. Without one, the subject of the issuer's profile is used. Raises what the issuer's
    ``prepare`` and ``issue`` raise.
    """
    prepared = issuer.prepare(public_key, authority.serial_numbers(), at, subject_der)
    if issuer.signs_in_process:
        der, reservation = await issuer.issue(prepared), None
    else:
        der, reservation = await issue_with_reservation(authority, caller, issuer, prepared)
    return SignedCertificate(
        der,
        issuer.ca.issuer_id,
        prepared.serial_number,
        prepared.not_before,
        prepared.not_after,
        prepared.subject_der,
        reservation,
    )


async def new_certificate(
    authority: RegistrationAuthority,
    caller: Caller,
    public_key: PublicKey,
    subject_der: bytes | None,
    status: CertificateStatus,
) -> tuple[Certificate, SerialReservation | None]:
    """Return a signed certificate with this status for the key, not stored yet, and its reservation.

    Raises ServiceUnavailable if this node's clock cannot be trusted.
    """
    authority.require_right_clock()
    now = authority.clock.now()
    signed = await sign(authority, caller, authority.issuers.active, public_key, subject_der, now)
    certificate = Certificate(
        scope=caller.scope,
        certificate_id=signed.certificate_id,
        der=signed.der,
        issuer_id=signed.issuer_id,
        serial_number=signed.serial_number,
        status=status,
        mode=CertificateMode.DEFAULT,
        not_before=signed.not_before,
        not_after=signed.not_after,
        created_at=now,
        modified_at=now,
        customer_version=1,
        generation_id=authority.new_generation_id(),
        common_name=common_name_of_name(signed.subject_der),
    )
    return certificate, signed.reservation


def issuance_entry(caller: Caller, action: str, certificate: Certificate) -> AuditEntry:
    """Return the audit entry for the certificate's issuance."""
    return audit_entry(
        caller,
        certificate.created_at,
        action,
        certificate.arn,
        status=certificate.status,
        issuer_id=certificate.issuer_id or "",
        serial_number=f"{certificate.serial_number:x}",
    )


def insert_issued(certificate: Certificate, reservation: SerialReservation | None) -> Steps[None]:
    """Store a signed certificate and delete its reservation.

    Raises DuplicateCertificate; ServiceUnavailable if its serial number was abandoned after the signature.
    """
    yield from certificate_table.insert_certificate(certificate)
    yield from record_standing(None, certificate, certificate.created_at)
    yield from use_reservation(reservation)


def nothing_more(certificate: Certificate) -> Steps[None]:
    """Do nothing besides storing the certificate."""
    del certificate
    yield from ()


async def issue(
    authority: RegistrationAuthority,
    caller: Caller,
    action: str,
    public_key: PublicKey,
    subject_der: bytes | None,
    status: CertificateStatus,
    beside: Callable[[Certificate], Steps[None]] = nothing_more,
) -> Certificate:
    """Issue a certificate, store it and run ``beside`` in one transaction, and return it once it is durable."""
    certificate, reservation = await new_certificate(authority, caller, public_key, subject_der, status)
    return await record(authority, caller, action, certificate, beside, reservation)


async def record(
    authority: RegistrationAuthority,
    caller: Caller,
    action: str,
    certificate: Certificate,
    beside: Callable[[Certificate], Steps[None]] = nothing_more,
    reservation: SerialReservation | None = None,
) -> Certificate:
    """Store a signed certificate and run ``beside`` in one transaction, and return it once it is durable.

    Raises AccessDenied if the caller's account was deleted since the request began.
    """
    entry = issuance_entry(caller, action, certificate)

    def program() -> Steps[Change[Certificate]]:
        yield from ensure_not_deleted(authority.administrator, certificate.scope)
        yield from insert_issued(certificate, reservation)
        yield from beside(certificate)
        return Change(certificate, (entry,))

    return await change(authority, program)
