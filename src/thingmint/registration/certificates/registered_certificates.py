"""Owns the registration of device certificates that other CAs issued. Independent of HTTP and SQL."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from thingmint.core.audit_entry import AuditEntry, audit_entry
from thingmint.core.caller import Caller
from thingmint.core.certificates.ca_certificate import CACertificate, CACertificateStatus
from thingmint.core.certificates.certificate import SET_BY_CALLER, Certificate, CertificateMode, CertificateStatus
from thingmint.core.errors import (
    CertificateConflict,
    CertificateInvalid,
    CertificateStateRefused,
    DuplicateCertificate,
    InvalidRequest,
    ResourceExists,
)
from thingmint.core.identifiers import CertificateId, Scope
from thingmint.issuance.encoding.common_name import common_name_of
from thingmint.issuance.foreign.certificate import (
    ForeignCertificate,
    ensure_acceptable,
    ensure_accepted_signature,
    load_foreign_pem,
    load_registered,
)
from thingmint.issuance.foreign.user_ca import ensure_issued_by
from thingmint.records.certificates import ca_certificates as ca_certificate_table
from thingmint.records.certificates import certificates as certificate_table
from thingmint.records.steps import Steps
from thingmint.registration.certificates.signed_certificates import ensure_new, ensure_not_present, forget_revoked
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.mutation import Change, change


class Provenance(Struct, frozen=True):
    """The registered CA certificate of a certificate, if there is one, and the mode that follows from it."""

    mode: CertificateMode
    ca_certificate_id: CertificateId | None


# Other accounts can register them, too, so a device must name its account.
WITHOUT_CA = Provenance(CertificateMode.SNI_ONLY, None)


async def register(
    authority: RegistrationAuthority,
    caller: Caller,
    certificate_pem: str,
    ca_certificate_pem: str | None,
    status: CertificateStatus,
) -> Certificate:
    """Register a certificate with the account's active CA certificate that signed it, and return it.

    Raises InvalidRequest for a status that callers cannot set, CertificateInvalid if a certificate is not valid or its
    CA is not registered, CertificateConflict if several registered CAs have the issuer's name and the caller gave none,
    CertificateStateRefused if the CA is not active, ResourceExists.
    """
    registered = await acceptable_registration(authority, caller, certificate_pem, ca_certificate_pem, status)
    entry = registration_entry(authority, caller, "RegisterCertificate", registered)

    def program() -> Steps[Change[Certificate]]:
        stored = yield from insert_registered(registered)
        return Change(stored, (entry,), (registered.arn,))

    return await change(authority, program)


async def acceptable_registration(
    authority: RegistrationAuthority,
    caller: Caller,
    certificate_pem: str,
    ca_certificate_pem: str | None,
    status: CertificateStatus,
) -> Certificate:
    """Return the certificate that `register` would store, verified but not stored; raise what `register` raises."""
    certificate = _read(certificate_pem, status)
    candidates = await _named_cas(authority, caller.scope, certificate)
    ensure_acceptable(certificate, authority.clock.now())
    given = None if ca_certificate_pem is None else load_foreign_pem(ca_certificate_pem, "CA certificate")
    ca_certificate = _issuing_ca(candidates, given)
    ca_id = ca_certificate.certificate_id
    # Signatures are verified before the transaction, so that other transactions do not wait. The signed bytes never
    # change.
    issuer = load_registered(ca_certificate.der, "CA certificate")
    ensure_acceptable(issuer, authority.clock.now())
    ensure_issued_by(certificate, issuer)
    return new_certificate(authority, caller.scope, certificate, status, Provenance(ca_certificate.mode, ca_id))


def insert_registered(registered: Certificate) -> Steps[Certificate]:
    """Store, as a step of a program, what `acceptable_registration` returned; raise what `register` raises."""
    assert registered.ca_certificate_id is not None, "it was registered with a CA"
    # Not locked, because otherwise all registrations with one CA would wait for each other's commits.
    ca_certificate = yield from ca_certificate_table.ca_certificate(registered.scope, registered.ca_certificate_id)
    _ensure_active(ca_certificate)
    return (yield from _insert(registered, ca_certificate))


async def register_without_ca(
    authority: RegistrationAuthority, caller: Caller, certificate_pem: str, status: CertificateStatus
) -> Certificate:
    """Register a certificate of any issuer, and return it.

    Raises InvalidRequest for a status that callers cannot set, CertificateInvalid, ResourceExists.
    """
    certificate = _read(certificate_pem, status)
    registered = new_certificate(authority, caller.scope, certificate, status, WITHOUT_CA)
    await authority.store.read(lambda: ensure_not_present(registered))
    ensure_acceptable(certificate, authority.clock.now())
    ensure_accepted_signature(certificate)

    def program() -> Steps[Change[Certificate]]:
        stored = yield from _insert(registered, None)
        entry = registration_entry(authority, caller, "RegisterCertificateWithoutCA", registered)
        return Change(stored, (entry,), (registered.arn,))

    return await change(authority, program)


def new_certificate(
    authority: RegistrationAuthority,
    scope: Scope,
    certificate: ForeignCertificate,
    status: CertificateStatus,
    provenance: Provenance,
) -> Certificate:
    """Return the certificate for the registry."""
    now = authority.clock.now()
    return Certificate(
        scope=scope,
        certificate_id=certificate.certificate_id,
        der=certificate.der,
        issuer_id=None,
        serial_number=certificate.serial_number,
        status=status,
        mode=provenance.mode,
        not_before=certificate.not_before,
        not_after=certificate.not_after,
        created_at=now,
        modified_at=now,
        customer_version=1,
        generation_id=authority.new_generation_id(),
        ca_certificate_id=provenance.ca_certificate_id,
        signed_digest=certificate.signed_digest,
        pem=certificate.pem,
        common_name=common_name_of(certificate.der),
    )


def registration_detail(certificate: Certificate) -> dict[str, str]:
    """Return the details of a registered certificate for the audit trail."""
    detail = {
        "status": str(certificate.status),
        "mode": str(certificate.mode),
        "serial_number": f"{certificate.serial_number:x}",
    }
    if certificate.ca_certificate_id is not None:
        detail["ca_certificate_id"] = certificate.ca_certificate_id
    return detail


def _read(pem: str, status: CertificateStatus) -> ForeignCertificate:
    if status not in SET_BY_CALLER:
        raise InvalidRequest(f"A certificate cannot be registered with the status {status}")
    return load_foreign_pem(pem, "certificate")


async def _named_cas(
    authority: RegistrationAuthority, scope: Scope, certificate: ForeignCertificate
) -> Sequence[CACertificate]:
    """Return the account's CA certificates with the issuer's name; raise ResourceExists if the certificate exists.

    That is checked first, and again by the insertion: a caller that registers a certificate a second time gets
    ResourceExists also if the certificate or its CA is no longer valid.
    """
    new = new_certificate(authority, scope, certificate, CertificateStatus.INACTIVE, WITHOUT_CA)

    def program() -> Steps[Sequence[CACertificate]]:
        yield from ensure_not_present(new)
        return (yield from ca_certificate_table.ca_certificates_of_subject(scope, certificate.issuer_digest))

    return await authority.store.read(program)


def _issuing_ca(candidates: Sequence[CACertificate], given: ForeignCertificate | None) -> CACertificate:
    if given is not None:
        candidates = tuple(each for each in candidates if each.certificate_id == given.certificate_id)
    if len(candidates) > 1:
        raise CertificateConflict(
            "Several registered CA certificates have the subject that the certificate names as its issuer; "
            "caCertificatePem must say which of them signed it"
        )
    if not candidates:
        raise CertificateInvalid("The CA certificate that signed the certificate is not registered in the account")
    _ensure_active(candidates[0])
    return candidates[0]


def _ensure_active(ca_certificate: CACertificate | None) -> None:
    if ca_certificate is None:
        raise CertificateInvalid("The CA certificate that signed the certificate is not registered in the account")
    if ca_certificate.status is not CACertificateStatus.ACTIVE:
        raise CertificateStateRefused(f"The CA certificate is not ACTIVE. Id: {ca_certificate.certificate_id}")


def _insert(certificate: Certificate, ca_certificate: CACertificate | None) -> Steps[Certificate]:
    stored = yield from ensure_new(certificate, ca_certificate)
    try:
        yield from certificate_table.insert_certificate(stored)
    except DuplicateCertificate as error:
        # Another account has it in DEFAULT mode, or another request registered it first.
        message = "The certificate is already provisioned or registered"
        raise ResourceExists(message, resource_id=certificate.certificate_id) from error
    # An operator may register a certificate that was revoked and deleted.
    yield from forget_revoked(stored)
    return stored


def registration_entry(
    authority: RegistrationAuthority, caller: Caller, action: str, certificate: Certificate
) -> AuditEntry:
    """Return the audit entry for the certificate's registration."""
    return audit_entry(caller, authority.clock.now(), action, certificate.arn, **registration_detail(certificate))
