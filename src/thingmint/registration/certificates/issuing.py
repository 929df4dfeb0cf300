"""Owns the one path on which a certificate is issued and recorded; knows neither who asked nor what it is for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from thingmint.core.audit_entry import AuditEntry, audit_entry
from thingmint.core.caller import Caller
from thingmint.core.certificates.certificate import Certificate, CertificateMode, CertificateStatus
from thingmint.core.identifiers import CertificateId, SerialNumber, certificate_id_of
from thingmint.issuance.issuer import Issuer
from thingmint.issuance.keys import PublicKey
from thingmint.records.certificates import certificates as certificate_table
from thingmint.records.steps import Steps
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.mutation import Change, change


@dataclass(frozen=True, slots=True)
class SignedCertificate:
    """A certificate that an issuer has signed and nothing has recorded yet."""

    der: bytes
    issuer_id: str
    serial_number: SerialNumber
    not_before: datetime
    not_after: datetime

    @property
    def certificate_id(self) -> CertificateId:
        """The id by which the certificate is known."""
        return certificate_id_of(self.der)


def sign(
    issuer: Issuer, serial_number: SerialNumber, public_key: PublicKey, subject: x509.Name | None, at: datetime
) -> SignedCertificate:
    """Return a certificate for the key, prepared, linted and signed.

    Without a subject, that of the issuer's profile is used. Raises what the issuer's ``prepare`` raises.
    """
    prepared = issuer.prepare(public_key, serial_number, at, subject)
    der = issuer.issue(prepared)
    return SignedCertificate(der, issuer.issuer_id, serial_number, prepared.not_before, prepared.not_after)


def new_certificate(
    authority: RegistrationAuthority,
    caller: Caller,
    public_key: PublicKey,
    subject: x509.Name | None,
    status: CertificateStatus,
) -> Certificate:
    """Return a certificate in this status for the key, signed and not recorded yet.

    Raises ServiceUnavailable if this node's clock cannot be trusted.
    """
    authority.require_right_clock()
    now = authority.clock.now()
    signed = sign(authority.issuer, authority.serial_numbers(), public_key, subject, now)
    return Certificate(
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
    )


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


def nothing_more(certificate: Certificate) -> Steps[None]:
    """Record nothing beside the certificate."""
    del certificate
    yield from ()


async def issue(
    authority: RegistrationAuthority,
    caller: Caller,
    action: str,
    public_key: PublicKey,
    subject: x509.Name | None,
    status: CertificateStatus,
    beside: Callable[[Certificate], Steps[None]] = nothing_more,
) -> Certificate:
    """Issue and record a certificate, and what ``beside`` records, in one transaction; return it once it is durable."""
    certificate = new_certificate(authority, caller, public_key, subject, status)
    return await record(authority, caller, action, certificate, beside)


async def record(
    authority: RegistrationAuthority,
    caller: Caller,
    action: str,
    certificate: Certificate,
    beside: Callable[[Certificate], Steps[None]] = nothing_more,
) -> Certificate:
    """Record a certificate that was signed, and what ``beside`` records, in one transaction; return it once durable."""
    entry = issuance_entry(caller, action, certificate)

    def program() -> Steps[Change[Certificate]]:
        yield from certificate_table.insert_certificate(certificate)
        yield from beside(certificate)
        return Change(certificate, (entry,))

    return await change(authority, program)
