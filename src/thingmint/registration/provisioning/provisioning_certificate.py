"""Owns the certificate of a provisioning plan: issued for a request, registered, or already existing.

Signatures are created and verified before the transaction, so that no other transaction waits for them.
"""

from msgspec import Struct

from thingmint.core.audit_entry import AuditEntry
from thingmint.core.caller import Caller
from thingmint.core.certificates.certificate import Certificate
from thingmint.core.errors import RegistrationFailed
from thingmint.core.identifiers import CertificateId, Scope
from thingmint.core.provisioning.plan import CertificatePlan, FromId, FromPem
from thingmint.issuance.csr import load_csr
from thingmint.issuance.foreign.certificate import load_foreign_pem
from thingmint.records.certificates import certificates as certificate_table
from thingmint.records.certificates.serial_reservations import SerialReservation
from thingmint.records.steps import Steps
from thingmint.registration.certificates.issuing import insert_issued, issuance_entry, new_certificate
from thingmint.registration.certificates.registered_certificates import (
    acceptable_registration,
    insert_registered,
    registration_entry,
)
from thingmint.registration.kernel.authority import RegistrationAuthority


class GivenCertificate(Struct, frozen=True):
    """The certificate of a plan. ``new`` is the certificate if it is not stored yet, and ``entry`` its audit entry."""

    planned: CertificatePlan
    certificate_id: CertificateId
    new: Certificate | None = None
    entry: AuditEntry | None = None
    reservation: SerialReservation | None = None


async def given_certificate(
    authority: RegistrationAuthority, caller: Caller, planned: CertificatePlan
) -> GivenCertificate:
    """Return the certificate of the plan. A new one is issued or verified.

    Raises InvalidRequest for a request or a certificate that cannot be parsed; what `registered_certificates.register`
    raises for one that cannot be registered.
    """
    source = planned.source
    if isinstance(source, FromId):
        return GivenCertificate(planned, source.certificate_id)
    if isinstance(source, FromPem):
        return await _registered(authority, caller, planned, source)
    request = load_csr(source.signing_request)
    issued, reservation = await new_certificate(
        authority, caller, request.public_key, request.subject_der, planned.status
    )
    entry = issuance_entry(caller, "CreateCertificateFromCsr", issued)
    return GivenCertificate(planned, issued.certificate_id, issued, entry, reservation)


def held_certificate(scope: Scope, given: GivenCertificate) -> Steps[Certificate]:
    """Store the certificate if it is new, and lock it for update; raise RegistrationFailed if there is none."""
    if given.new is not None:
        if given.new.issuer_id is None:
            yield from insert_registered(given.new)
        else:
            yield from insert_issued(given.new, given.reservation)
    certificate = yield from certificate_table.certificate_for_update(scope, given.certificate_id)
    if certificate is None:
        raise RegistrationFailed(f"The certificate {given.certificate_id} does not exist")
    return certificate


async def _registered(
    authority: RegistrationAuthority, caller: Caller, planned: CertificatePlan, source: FromPem
) -> GivenCertificate:
    certificate_id = load_foreign_pem(source.certificate_pem, "certificate").certificate_id
    present = await authority.store.read(lambda: certificate_table.certificate(caller.scope, certificate_id))
    if present is not None:
        return GivenCertificate(planned, certificate_id)
    registered = await acceptable_registration(
        authority, caller, source.certificate_pem, source.ca_certificate_pem, planned.status
    )
    entry = registration_entry(authority, caller, "RegisterCertificate", registered)
    return GivenCertificate(planned, certificate_id, registered, entry)
