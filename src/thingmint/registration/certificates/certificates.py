"""Owns the operations on certificates that the service issues. Independent of HTTP, MQTT and SQL.

Every change is one transaction together with its audit entry. Functions return after the commit, so a certificate that
a caller has is in the registry. Private keys are never stored. Only the returned value has them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from msgspec import Struct

from thingmint.core.audit_entry import AuditEntry, audit_entry
from thingmint.core.caller import Caller
from thingmint.core.certificates.certificate import (
    Certificate,
    CertificateStatus,
    CertificateSummary,
    ensure_deletable,
    with_status,
)
from thingmint.core.certificates.revocation import RevocationReason
from thingmint.core.errors import CertificateStateRefused, DeletionRefused, ResourceNotFound
from thingmint.core.identifiers import CertificateId
from thingmint.core.paging import Page, PageRequest
from thingmint.issuance.csr import load_csr
from thingmint.issuance.keys.key_pairs import KeyPair, load_public_key
from thingmint.records.certificates import certificates as certificate_table
from thingmint.records.certificates import transfers as transfer_table
from thingmint.records.paging import read_page
from thingmint.records.registry import attachments as attachment_table
from thingmint.records.steps import Steps
from thingmint.registration.certificates.issuing import issue
from thingmint.registration.certificates.signed_certificates import remember_revoked
from thingmint.registration.certificates.standing import record_deletion, record_reason, record_standing
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.mutation import Change, change


class IssuedCertificate(Struct, frozen=True):
    """A registered certificate and its new key pair. The caller gets the private key only once."""

    certificate: Certificate
    key_pair: KeyPair


async def issue_with_new_key(authority: RegistrationAuthority, caller: Caller, *, active: bool) -> IssuedCertificate:
    """Generate a key pair, issue and register a certificate for it, and return both.

    Raises Throttled if too many callers wait for keys, ServiceUnavailable if key generation or storage fails.
    """
    key_pair = await authority.key_source.take()
    public_key = load_public_key(key_pair.public_key_der)
    certificate = await issue(
        authority, caller, "CreateKeysAndCertificate", public_key, None, _status_of_new(active=active)
    )
    return IssuedCertificate(certificate, key_pair)


async def issue_from_csr(
    authority: RegistrationAuthority, caller: Caller, csr_pem: str, *, active: bool
) -> Certificate:
    """Issue and register a certificate for the key and subject of a signing request.

    Raises InvalidRequest if the request cannot be parsed, is not signed by its key, or has a key that is not accepted;
    ServiceUnavailable if storage fails.
    """
    request = load_csr(csr_pem)
    status = _status_of_new(active=active)
    return await issue(authority, caller, "CreateCertificateFromCsr", request.public_key, request.subject_der, status)


async def describe(authority: RegistrationAuthority, caller: Caller, certificate_id: CertificateId) -> Certificate:
    """Return the certificate, or another account's whose transfer to the caller's account is pending.

    Raises ResourceNotFound if the region has no such certificate.
    """

    def program() -> Steps[Certificate | None]:
        own = yield from certificate_table.certificate(caller.scope, certificate_id)
        return own or (yield from transfer_table.incoming_certificate(caller.scope, certificate_id))

    return _found(await authority.store.read(program), certificate_id)


async def list_certificates(
    authority: RegistrationAuthority, caller: Caller, request: PageRequest
) -> Page[CertificateSummary]:
    """Return a page of the account's certificates in the order of their creation, newest first unless ascending."""

    def program() -> Steps[Page[CertificateSummary]]:
        return read_page(request, lambda page: certificate_table.certificate_summaries(caller.scope, page))

    return await authority.store.read(program)


async def update_status(
    authority: RegistrationAuthority, caller: Caller, certificate_id: CertificateId, status: CertificateStatus
) -> None:
    """Set the status of the certificate; do nothing if it has this status.

    Raises ResourceNotFound, InvalidRequest for a status that callers cannot set, CertificateStateRefused if the present
    status does not allow the change.
    """
    now = authority.clock.now()

    def update(before: Certificate) -> Steps[AuditEntry | None]:
        after = with_status(before, status, now)
        if after is before:
            return None
        _require_unchanged((yield from certificate_table.update_certificate(before, after)), before)
        yield from record_standing(before, after, now)
        return _status_entry(caller, now, before, after)

    await _change(authority, caller, certificate_id, update)


async def revoke(
    authority: RegistrationAuthority, caller: Caller, certificate_id: CertificateId, reason: RevocationReason
) -> None:
    """Revoke the certificate with a reason that relying parties see. If it is revoked already, record the reason.

    Raises ResourceNotFound, CertificateStateRefused if its transfer is pending.
    """
    now = authority.clock.now()

    def update(before: Certificate) -> Steps[AuditEntry | None]:
        after = with_status(before, CertificateStatus.REVOKED, now)
        if after is before:
            is_new = yield from record_reason(before, reason)
            return _status_entry(caller, now, before, after, reason=reason.word) if is_new else None
        _require_unchanged((yield from certificate_table.update_certificate(before, after)), before)
        yield from record_standing(before, after, now, reason)
        return _status_entry(caller, now, before, after, reason=reason.word)

    await _change(authority, caller, certificate_id, update)


async def delete(
    authority: RegistrationAuthority, caller: Caller, certificate_id: CertificateId, *, detach_policies: bool = False
) -> None:
    """Delete the certificate from the registry; with ``detach_policies``, detach its policies first.

    Raises ResourceNotFound, CertificateStateRefused if its status does not allow it, DeletionRefused if a thing, or
    without ``detach_policies`` a policy, is attached to it.
    """
    now = authority.clock.now()

    def remove(before: Certificate) -> Steps[AuditEntry | None]:
        ensure_deletable(before)
        attached = yield from attachment_table.principal_attachments(before.scope, before.arn)
        if attached.things:
            raise DeletionRefused(f"Things must be detached before deletion (arn: {before.arn})")
        if attached.policies and not detach_policies:
            raise DeletionRefused(f"Certificate policies must be detached before deletion (arn: {before.arn})")
        detached = yield from attachment_table.detach_policies(before.scope, before.arn)
        _require_unchanged((yield from certificate_table.delete_certificate(before)), before)
        yield from remember_revoked(before)
        yield from record_deletion(before, now)
        return audit_entry(
            caller,
            now,
            "DeleteCertificate",
            before.arn,
            status=before.status,
            serial_number=f"{before.serial_number:x}",
            **({} if before.issuer_id is None else {"issuer_id": before.issuer_id}),
            **({"detached_policies": ",".join(detached)} if detached else {}),
        )

    await _change(authority, caller, certificate_id, remove)


def _status_of_new(*, active: bool) -> CertificateStatus:
    return CertificateStatus.ACTIVE if active else CertificateStatus.INACTIVE


async def _change(
    authority: RegistrationAuthority,
    caller: Caller,
    certificate_id: CertificateId,
    apply: Callable[[Certificate], Steps[AuditEntry | None]],
) -> None:
    def program() -> Steps[Change[None]]:
        stored = yield from certificate_table.certificate_for_update(caller.scope, certificate_id)
        if (
            stored is None
            and (yield from transfer_table.incoming_certificate(caller.scope, certificate_id)) is not None
        ):
            raise CertificateStateRefused(
                f"Certificate cannot be changed before its transfer is accepted. Id: {certificate_id}"
            )
        entry = yield from apply(_found(stored, certificate_id))
        return Change(None, ()) if entry is None else Change(None, (entry,), (entry.resource,))

    await change(authority, program)


def _status_entry(caller: Caller, at: datetime, before: Certificate, after: Certificate, **detail: str) -> AuditEntry:
    return audit_entry(
        caller, at, "UpdateCertificate", before.arn, status=after.status, previous_status=before.status, **detail
    )


def _found(certificate: Certificate | None, certificate_id: CertificateId) -> Certificate:
    if certificate is None:
        raise ResourceNotFound(f"The certificate given in the request does not exist. Id: {certificate_id}")
    return certificate


def _require_unchanged(was_unchanged: bool, certificate: Certificate) -> None:
    # The row has been locked since it was read, so only an engine without row locks can have another version here.
    if not was_unchanged:
        raise CertificateStateRefused(
            f"Certificate was changed by another request at the same time. Id: {certificate.certificate_id}"
        )
