"""Owns the registration of a device's certificate at its first connection. Independent of TLS and templates.

It is the first step of just-in-time registration and provisioning: the certificate becomes PENDING_ACTIVATION. Then the
caller applies the CA certificate's registration configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from cryptography.hazmat.primitives import serialization
from msgspec import Struct

from thingmint.core.audit_entry import AuditEntry
from thingmint.core.certificates.ca_certificate import AutoRegistrationStatus, CACertificate, CACertificateStatus
from thingmint.core.certificates.certificate import Certificate, CertificateStatus
from thingmint.core.errors import CertificateInvalid, DuplicateCertificate
from thingmint.core.identifiers import AccountId, Region
from thingmint.issuance.foreign.certificate import ForeignCertificate, ensure_acceptable, load_foreign, load_registered
from thingmint.issuance.foreign.client_use import ensure_ca_of_clients, ensure_usable_by_client
from thingmint.issuance.foreign.user_ca import is_issued_by
from thingmint.records.certificates import ca_certificates as ca_certificate_table
from thingmint.records.certificates import certificates as certificate_table
from thingmint.records.steps import Steps
from thingmint.registration.certificates.registered_certificates import Provenance, new_certificate, registration_detail
from thingmint.registration.certificates.signed_certificates import ensure_not_revoked, ensure_only_encoding
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.mutation import Change, change


class AutoRegistrationOutcome(StrEnum):
    """What happened to a certificate that a device presented."""

    REGISTERED = "REGISTERED"
    PRESENT = "PRESENT"


class AutoRegistration(Struct, frozen=True):
    """The certificate in the registry, and the CA certificate that it is registered with."""

    outcome: AutoRegistrationOutcome
    certificate: Certificate
    ca_certificate: CACertificate


class FirstConnection(Struct, frozen=True):
    """A connection of a device that presents a certificate: the region, the account that it named, and its source."""

    region: Region
    account: AccountId | None
    source_address: str
    request_id: str


async def auto_register(
    authority: RegistrationAuthority, connection: FirstConnection, leaf_der: bytes
) -> AutoRegistration | None:
    """Register the certificate with the CA that signed it, only once if it is presented several times.

    The CA certificate must be active with automatic registration, and belong to the account that the device named or be
    in DEFAULT mode. Without such a CA this registers nothing and returns None. Raises CertificateInvalid if the
    certificate cannot be parsed, is not valid now, has a key that is not accepted, must not be used by a TLS client, is
    another encoding of a registered certificate, or was revoked, also if it was deleted since.
    """
    leaf = load_foreign(leaf_der, "certificate")
    ensure_acceptable(leaf, authority.clock.now())
    _ensure_not_own(authority, leaf)
    issuer = await _issuer(authority, connection, leaf)
    if issuer is None:
        return None
    if not authority.auto_register_any_usage:
        ensure_usable_by_client(leaf)
        ensure_ca_of_clients(load_registered(issuer.der, "CA certificate"))
    provenance = Provenance(issuer.mode, issuer.certificate_id)
    new = new_certificate(authority, issuer.scope, leaf, CertificateStatus.PENDING_ACTIVATION, provenance)
    entry = _entry(connection, new)

    def program() -> Steps[Change[AutoRegistration | None]]:
        ca_certificate = yield from ca_certificate_table.ca_certificate(issuer.scope, issuer.certificate_id)
        if ca_certificate is None or not _registers(ca_certificate):
            return Change(None, ())
        stored = yield from ensure_only_encoding(new, ca_certificate)
        try:
            yield from certificate_table.insert_certificate(stored)
        except DuplicateCertificate:
            present = yield from certificate_table.certificate(new.scope, new.certificate_id)
            if present is None:
                # Another account has the certificate in DEFAULT mode, or it was registered in another encoding since
                # the check above. So it must not be registered.
                return Change(None, ())
            return Change(AutoRegistration(AutoRegistrationOutcome.PRESENT, present, ca_certificate), ())
        yield from ensure_not_revoked(stored, ca_certificate)
        return Change(
            AutoRegistration(AutoRegistrationOutcome.REGISTERED, stored, ca_certificate), (entry,), (new.arn,)
        )

    return await change(authority, program)


def _ensure_not_own(authority: RegistrationAuthority, leaf: ForeignCertificate) -> None:
    # An account may have registered the service's own CA. The registry has its certificates, except deleted ones and
    # claims.
    for issuer in authority.issuers:
        own = issuer.certificate
        if leaf.issuer == own.subject.public_bytes() and is_issued_by(
            leaf, load_registered(own.public_bytes(serialization.Encoding.DER), "CA certificate")
        ):
            raise CertificateInvalid("The certificate was issued by the service itself")


async def _issuer(
    authority: RegistrationAuthority, connection: FirstConnection, leaf: ForeignCertificate
) -> CACertificate | None:
    now = authority.clock.now()

    def program() -> Steps[Sequence[CACertificate]]:
        return ca_certificate_table.ca_certificates_of_issuer(connection.region, leaf.issuer_digest, connection.account)

    for candidate in sorted(
        await authority.store.read(program), key=lambda each: each.scope.account != connection.account
    ):
        if candidate.not_before <= now <= candidate.not_after and is_issued_by(
            leaf, load_registered(candidate.der, "CA certificate")
        ):
            return candidate
    return None


def _registers(ca_certificate: CACertificate) -> bool:
    return (
        ca_certificate.status is CACertificateStatus.ACTIVE
        and ca_certificate.auto_registration is AutoRegistrationStatus.ENABLE
    )


def _entry(connection: FirstConnection, certificate: Certificate) -> AuditEntry:
    # The device itself is the caller. Its only name so far is that of its certificate.
    return AuditEntry(
        at=certificate.created_at,
        scope=certificate.scope,
        principal_arn=certificate.arn,
        source_address=connection.source_address,
        request_id=connection.request_id,
        action="RegisterCertificate",
        resource=certificate.arn,
        detail=registration_detail(certificate) | {"by": "auto-registration"},
    )
