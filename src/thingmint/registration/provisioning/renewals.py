"""Owns the renewal of certificates by their devices, and the end of the old ones. Independent of protocols.

In one transaction the new certificate gets the subject, the things and the policies of the old one. The old one stays
ACTIVE for an overlap, in which the device begins to use the new one. Then one of the nodes makes it INACTIVE.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from msgspec import Struct

from thingmint.core.audit_entry import AuditEntry, service_entry
from thingmint.core.caller import Caller
from thingmint.core.certificates.certificate import Certificate, CertificateStatus, with_status
from thingmint.core.certificates.renewal import Renewal, overlap_end
from thingmint.core.errors import (
    AccessDenied,
    CertificateStateRefused,
    InvalidRequest,
    LimitExceeded,
    ServiceUnavailable,
)
from thingmint.core.identifiers import CertificateId, PolicyName, Scope, thing_arn
from thingmint.core.paging import PageRequest
from thingmint.core.policies.stored_policy import MAX_POLICIES_OF_A_TARGET
from thingmint.core.policies.target import CertificateTarget
from thingmint.issuance.csr import SigningRequest
from thingmint.issuance.encoding.odd_names import odd_names_allowed
from thingmint.issuance.encoding.parsing import certificate_in_der
from thingmint.issuance.keys.key_pairs import PublicKey
from thingmint.records.certificates import certificates as certificate_table
from thingmint.records.certificates import renewals as renewal_table
from thingmint.records.certificates.serial_reservations import SerialReservation
from thingmint.records.policies import policies as policy_table
from thingmint.records.policies import policy_attachments as policy_attachment_table
from thingmint.records.registry import thing_principals as thing_principal_table
from thingmint.records.registry import things as thing_table
from thingmint.records.registry.thing_principals import Attachment
from thingmint.records.steps import Steps
from thingmint.registration.certificates.issuing import insert_issued, issuance_entry, new_certificate
from thingmint.registration.certificates.standing import record_standing
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.mutation import Change, change
from thingmint.registration.policies.policy_attachments import attached
from thingmint.registration.registry.thing_principals import attach_certificate

MOST_THINGS = 10
"""A certificate with more things does not belong to a single device."""

_POLICIES = PageRequest(MAX_POLICIES_OF_A_TARGET, None, ascending=True)
_THINGS = PageRequest(MOST_THINGS + 1, None, ascending=True)


class _Bonds(Struct, frozen=True):
    """The policies and things of a certificate, in the order in which they are locked."""

    policies: tuple[PolicyName, ...]
    things: tuple[Attachment, ...]


class _Present(Struct, frozen=True):
    """A certificate to renew, as read before the signature of the new one."""

    certificate: Certificate
    bonds: _Bonds
    renewed_as: Certificate | None
    """The certificate of an earlier identical request, None if there is none."""


async def renew(
    authority: RegistrationAuthority,
    caller: Caller,
    certificate_id: CertificateId,
    request: SigningRequest,
    *,
    may_provision: bool,
) -> Certificate:
    """Issue a certificate that replaces the device's own. A repeated request gets the same certificate.

    ``may_provision`` is true if the certificate's policies allow it to request certificates for other devices. Such a
    certificate can be a claim that many devices share, so it is renewed only if it has a thing.

    Raises AccessDenied for a certificate of another CA or a shared claim; InvalidRequest if the request has another
    subject; CertificateStateRefused if the certificate, or the one that was issued for the same request, is not ACTIVE;
    LimitExceeded if it was renewed too often or is attached to too many things; ServiceUnavailable if it was changed at
    the same time.
    """
    digest = _key_digest(request.public_key)
    present = await authority.store.read(lambda: _present(caller.scope, certificate_id, digest))
    subject = _require_renewable(present, request, may_provision=may_provision)
    if present.renewed_as is not None:
        return present.renewed_as
    new, reservation = await new_certificate(
        authority, caller, request.public_key, subject.public_bytes(), CertificateStatus.ACTIVE
    )

    def program() -> Steps[Change[Certificate]]:
        return _renewed(caller, present, digest, new, reservation, authority.renewal_overlap)

    return await change(authority, program)


async def end_overlaps(authority: RegistrationAuthority, limit: int) -> int:
    """End up to ``limit`` due overlaps: make the old certificates INACTIVE; return how many were due.

    A certificate that is not ACTIVE does not change. The caller calls again at once while the result is ``limit``.
    """
    now = authority.clock.now()

    def program() -> Steps[Change[int]]:
        due = yield from renewal_table.due_renewals(now, limit)
        entries = []
        for renewal in due:
            ended = yield from _ended(renewal, now)
            if ended is not None:
                entries.append(_end_entry(renewal, ended, now))
        return Change(len(due), tuple(entries), tuple(entry.resource for entry in entries))

    return await change(authority, program)


async def running_renewals(
    authority: RegistrationAuthority, scope: Scope, certificate_id: CertificateId
) -> Sequence[Renewal]:
    """Return the renewals of a certificate whose overlap has not ended, the first one first."""
    return await authority.store.read(lambda: renewal_table.renewals_of(scope, certificate_id))


def _present(scope: Scope, certificate_id: CertificateId, digest: str) -> Steps[_Present]:
    certificate = yield from certificate_table.certificate(scope, certificate_id)
    if certificate is None:
        raise CertificateStateRefused("The certificate is not registered any more")
    bonds = yield from _bonds(certificate)
    earlier = yield from renewal_table.renewals_of(scope, certificate_id)
    return _Present(certificate, bonds, (yield from _of_same_key(earlier, digest)))


def _require_renewable(present: _Present, request: SigningRequest, *, may_provision: bool) -> x509.Name:
    certificate = present.certificate
    if certificate.issuer_id is None:
        raise AccessDenied("Another authority has issued the certificate, and renews it")
    if may_provision and not present.bonds.things:
        raise AccessDenied("The certificate may ask for certificates of devices and has no thing: it is not renewed")
    _require_active(certificate)
    with odd_names_allowed():
        subject = certificate_in_der(certificate.der).subject
        if request.subject != subject:
            # RFC 7030, 4.2.2.
            raise InvalidRequest(
                f"The subject of the request must be that of the certificate, {subject.rfc4514_string()}"
            )
    return subject


def _require_active(certificate: Certificate) -> None:
    if certificate.status is not CertificateStatus.ACTIVE:
        raise CertificateStateRefused(f"The certificate {certificate.certificate_id} is {certificate.status}")


def _of_same_key(earlier: Sequence[Renewal], digest: str) -> Steps[Certificate | None]:
    """Return the certificate that was issued for the same key; None if there is none or it was deleted."""
    for renewal in earlier:
        if renewal.key_digest == digest:
            issued = yield from certificate_table.certificate(renewal.scope, renewal.renewed_as)
            if issued is not None:
                _require_active(issued)
            return issued
    return None


def _bonds(certificate: Certificate) -> Steps[_Bonds]:
    policies = yield from policy_attachment_table.attached_policies(certificate.scope, certificate.arn, _POLICIES)
    things = yield from thing_principal_table.things_of_principal(certificate.scope, certificate.arn, _THINGS)
    if len(things) > MOST_THINGS:
        raise LimitExceeded(f"The certificate is attached to more than {MOST_THINGS} things: it is not renewed")
    return _Bonds(
        tuple(sorted(each.name for each in policies)),
        tuple(sorted((each.item for each in things), key=lambda item: item.thing_name)),
    )


def _renewed(
    caller: Caller,
    present: _Present,
    digest: str,
    new: Certificate,
    reservation: SerialReservation | None,
    overlap: timedelta,
) -> Steps[Change[Certificate]]:
    scope, old, bonds = caller.scope, present.certificate, present.bonds
    # The order of `policy_attachments` and `thing_principals`: policies, things, then certificates.
    for name in bonds.policies:
        yield from policy_table.policy_kept(scope, name)
    for attachment in bonds.things:
        yield from thing_table.thing_for_update(scope, attachment.thing_name)
    held = yield from certificate_table.certificate_for_update(scope, old.certificate_id)
    if held is None or (yield from _bonds(held)) != bonds:
        raise ServiceUnavailable("The certificate was changed at the same time: try again")
    _require_active(held)
    earlier = yield from renewal_table.renewals_of(scope, old.certificate_id)
    repeated = yield from _of_same_key(earlier, digest)
    if repeated is not None:
        return Change(repeated, ())
    others = [each for each in earlier if each.key_digest != digest]
    renewal = Renewal(
        scope, old.certificate_id, digest, new.certificate_id, overlap_end(others, new.created_at, overlap)
    )
    yield from renewal_table.delete_renewal(renewal)
    yield from renewal_table.insert_renewal(renewal)
    yield from insert_issued(new, reservation)
    yield from _bind(caller, bonds, new)
    things = tuple(thing_arn(scope, each.thing_name) for each in bonds.things)
    return Change(new, (_renewal_entry(caller, renewal, new),), (new.arn, *things))


def _bind(caller: Caller, bonds: _Bonds, new: Certificate) -> Steps[None]:
    target = CertificateTarget(new.scope, new.certificate_id)
    for name in bonds.policies:
        yield from attached(caller, name, target)
    for attachment in bonds.things:
        thing = yield from thing_table.thing_for_update(new.scope, attachment.thing_name)
        assert thing is not None, "the transaction holds it"
        yield from attach_certificate(thing, target, attachment.type)


def _ended(renewal: Renewal, at: datetime) -> Steps[Certificate | None]:
    """Delete the renewal; if this has made the old certificate INACTIVE, return its earlier state."""
    certificate = yield from certificate_table.certificate_for_update(renewal.scope, renewal.certificate_id)
    yield from renewal_table.delete_renewal(renewal)
    if certificate is None or certificate.status is not CertificateStatus.ACTIVE:
        return None
    after = with_status(certificate, CertificateStatus.INACTIVE, at)
    yield from certificate_table.update_certificate(certificate, after)
    yield from record_standing(certificate, after, at)
    return certificate


def _renewal_entry(caller: Caller, renewal: Renewal, new: Certificate) -> AuditEntry:
    entry = issuance_entry(caller, "RenewCertificate", new)
    told = {"renewed": renewal.certificate_id, "overlap_ends_at": renewal.overlap_ends_at.isoformat()}
    return replace(entry, detail={**entry.detail, **told})


def _end_entry(renewal: Renewal, certificate: Certificate, at: datetime) -> AuditEntry:
    return service_entry(
        certificate.scope,
        at,
        "UpdateCertificate",
        certificate.arn,
        status=CertificateStatus.INACTIVE,
        previous_status=certificate.status,
        reason="renewed",
        renewed_as=renewal.renewed_as,
    )


def _key_digest(public_key: PublicKey) -> str:
    encoded = public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(encoded).hexdigest()
