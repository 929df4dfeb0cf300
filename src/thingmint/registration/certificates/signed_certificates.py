"""Owns the identity of certificates: two are the same if their issuer signed the same bytes. Independent of SQL.

A certificate's id is the digest of all its octets, and its holder can encode the signature differently. Therefore
certificates are looked up by the signed octets, which only the issuer can change.
"""

from collections.abc import Sequence
from dataclasses import replace

from thingmint.core.certificates.ca_certificate import CACertificate
from thingmint.core.certificates.certificate import Certificate, CertificateMode, CertificateStatus
from thingmint.core.errors import CertificateInvalid, ResourceExists
from thingmint.core.identifiers import Scope
from thingmint.issuance.foreign.certificate import load_registered
from thingmint.issuance.foreign.signed_form import signed_digest
from thingmint.issuance.foreign.user_ca import is_issued_by
from thingmint.records.certificates import ca_certificates as ca_certificate_table
from thingmint.records.certificates import certificates as certificate_table
from thingmint.records.certificates import signed_certificates as signed_certificate_table
from thingmint.records.certificates.signed_certificates import RevokedCertificate
from thingmint.records.steps import Steps
from thingmint.registration.kernel.authority import RegistrationAuthority

_MAY_CONNECT = frozenset({CertificateStatus.ACTIVE, CertificateStatus.PENDING_ACTIVATION})


def ensure_not_present(certificate: Certificate) -> Steps[None]:
    """Raise ResourceExists if the account has the certificate. Runs before the search for its CA."""
    scope = certificate.scope
    by_id = yield from certificate_table.certificate(scope, certificate.certificate_id)
    alike = yield from signed_alike(certificate)
    _refuse([*([] if by_id is None else [by_id]), *(each for each in alike if each.ca_certificate_id is None)], scope)


def ensure_new(certificate: Certificate, ca_certificate: CACertificate | None = None) -> Steps[Certificate]:
    """Return the certificate for storage if the account does not have it in any encoding and status.

    Raises ResourceExists with the id of the existing one.
    """
    scope = certificate.scope
    # By its id first, because that is the only way to find a second encoding that an earlier version registered.
    by_id = yield from certificate_table.certificate(scope, certificate.certificate_id)
    alike = yield from signed_alike(certificate)
    _refuse([*([] if by_id is None else [by_id]), *_same(alike, ca_certificate)], scope)
    return _named_apart(certificate, alike, ca_certificate)


def ensure_only_encoding(certificate: Certificate, ca_certificate: CACertificate | None) -> Steps[Certificate]:
    """Return the certificate for storage if no other encoding of it, in any status, could match its device.

    Raises CertificateInvalid otherwise, also if the account has transferred the certificate to another account that
    still has it and therefore decides about it.
    """
    alike = yield from signed_alike(certificate)
    for present in _same(alike, ca_certificate):
        if present.previous_account == certificate.scope.account != present.scope.account:
            raise CertificateInvalid("The certificate was transferred to another account")
        if _concerns(present.scope, present.mode, certificate) and present.certificate_id != certificate.certificate_id:
            raise CertificateInvalid(f"The certificate is another encoding of {present.certificate_id}")
    return _named_apart(certificate, alike, ca_certificate)


def ensure_not_revoked(certificate: Certificate, ca_certificate: CACertificate | None) -> Steps[None]:
    """Raise CertificateInvalid if the certificate, or its CA's serial number, was revoked or made inactive before.

    A revocation counts until the certificate's expiry, also if it was deleted. Call this after the certificate was
    stored, so that it sees what another transaction deleted meanwhile.
    """
    region, ca_id, number = certificate.scope.region, certificate.ca_certificate_id, certificate.serial_number
    for deleted in (
        yield from signed_certificate_table.revoked_certificates(region, digest_of(certificate), ca_id, number)
    ):
        is_of_another_ca = None not in (deleted.ca_key_digest, ca_certificate) and (
            deleted.ca_key_digest != _key_digest(ca_certificate)
        )
        if _concerns(deleted.scope, deleted.mode, certificate) and not is_of_another_ca:
            raise CertificateInvalid("The certificate was revoked before it was deleted")
    if ca_id is None:
        return
    # A CA identifies a revoked certificate by its serial number (RFC 5280, 5.3).
    for present in (yield from signed_certificate_table.registered_with_serial_number(region, ca_id, number)):
        if _concerns(present.scope, present.mode, certificate) and present.status not in _MAY_CONNECT:
            raise CertificateInvalid(
                f"The CA's serial number {number:x} is that of {present.certificate_id}, which is {present.status}"
            )


def remember_revoked(certificate: Certificate) -> Steps[None]:
    """Record that a certificate that is deleted now was revoked, if it was."""
    if certificate.status is not CertificateStatus.REVOKED:
        return
    ca_id = certificate.ca_certificate_id
    ca_certificate = (
        None if ca_id is None else (yield from ca_certificate_table.ca_certificate(certificate.scope, ca_id))
    )
    yield from signed_certificate_table.insert_revoked_certificate(
        RevokedCertificate(
            scope=certificate.scope,
            signed_digest=certificate.signed_digest or digest_of(certificate),
            ca_certificate_id=ca_id,
            ca_key_digest=_key_digest(ca_certificate),
            serial_number=certificate.serial_number,
            mode=certificate.mode,
            not_after=certificate.not_after,
        )
    )


def forget_revoked(certificate: Certificate) -> Steps[None]:
    """Delete the record of the account's revoked and deleted certificate, because an operator registers it again."""
    yield from signed_certificate_table.delete_revoked_certificate(
        certificate.scope, certificate.signed_digest or digest_of(certificate)
    )


async def sweep_revoked_certificates(authority: RegistrationAuthority, limit: int) -> int:
    """Delete the records of up to ``limit`` revoked and deleted certificates that have expired; return how many."""
    now = authority.clock.now()
    return await authority.store.write(lambda: signed_certificate_table.delete_ended_revoked_certificates(now, limit))


def signed_alike(certificate: Certificate) -> Steps[tuple[Certificate, ...]]:
    """Return the region's certificates with the same signed octets, of all accounts and in any status."""
    region, digest = certificate.scope.region, digest_of(certificate)
    # In this order, because records of deleted certificates of the service are elsewhere and are checked later.
    issued = yield from signed_certificate_table.issued_with_serial_number(region, certificate.serial_number)
    foreign = yield from signed_certificate_table.certificates_signed_alike(region, digest)
    return (*foreign, *(each for each in issued if signed_digest(each.der) == digest))


def digest_of(certificate: Certificate) -> str:
    """Return the digest of the octets that the certificate's issuer signed, for any issuer."""
    if certificate.signed_digest is None:
        return signed_digest(certificate.der)
    return certificate.signed_digest.partition(":")[0]


def _refuse(found: Sequence[Certificate], scope: Scope) -> None:
    for present in found:
        if present.scope == scope:
            raise ResourceExists(
                "The certificate is already provisioned or registered",
                resource_id=present.certificate_id,
                resource_arn=present.arn,
            )


def _same(alike: Sequence[Certificate], ca_certificate: CACertificate | None) -> list[Certificate]:
    """Return the certificates that this CA signed; all of them if the CA is unknown."""
    return [each for each in alike if not _is_of_another_ca(each, ca_certificate)]


def _is_of_another_ca(present: Certificate, ca_certificate: CACertificate | None) -> bool:
    # Two CAs with the same name can sign the same octets: one serial number for one key.
    if ca_certificate is None or present.ca_certificate_id is None:
        return False
    issuer = load_registered(ca_certificate.der, "CA certificate")
    return not is_issued_by(load_registered(present.der, "certificate"), issuer)


def _named_apart(
    certificate: Certificate, alike: Sequence[Certificate], ca_certificate: CACertificate | None
) -> Certificate:
    if ca_certificate is None or not any(_is_of_another_ca(each, ca_certificate) for each in alike):
        return certificate
    return replace(certificate, signed_digest=f"{digest_of(certificate)}:{_key_digest(ca_certificate)}")


def _key_digest(ca_certificate: CACertificate | None) -> str | None:
    return None if ca_certificate is None else load_registered(ca_certificate.der, "CA certificate").key_digest


def _concerns(scope: Scope, mode: CertificateMode, certificate: Certificate) -> bool:
    # As for connections of devices: the account's own certificate counts, and one in DEFAULT mode of any account.
    return scope == certificate.scope or mode is CertificateMode.DEFAULT
