"""Owns the transfer of certificates between accounts. Independent of HTTP and SQL.

Every step is one transaction with an audit entry for each of the two accounts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias

from thingmint.core.audit_entry import AuditEntry, audit_entry
from thingmint.core.caller import Caller
from thingmint.core.certificates.certificate import Certificate
from thingmint.core.certificates.transfer import (
    OutgoingCertificate,
    offered_by,
    offered_to,
    target_scope,
    with_transfer_accepted,
    with_transfer_begun,
    with_transfer_cancelled,
    with_transfer_rejected,
)
from thingmint.core.errors import (
    DuplicateCertificate,
    InvalidRequest,
    ResourceNotFound,
    TransferCompleted,
    TransferRefused,
)
from thingmint.core.identifiers import AccountId, CertificateId, certificate_arn
from thingmint.core.paging import Page, PageRequest
from thingmint.records.access import access_keys as access_key_table
from thingmint.records.certificates import certificates as certificate_table
from thingmint.records.certificates import transfers as transfer_table
from thingmint.records.paging import read_page
from thingmint.records.registry import attachments as attachment_table
from thingmint.records.steps import Steps
from thingmint.registration.certificates.signed_certificates import forget_revoked, signed_alike
from thingmint.registration.certificates.standing import record_standing
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.mutation import Change, change

_Choose: TypeAlias = Callable[[AccountId, tuple[Certificate, ...], CertificateId], Certificate]


async def begin(
    authority: RegistrationAuthority,
    caller: Caller,
    certificate_id: CertificateId,
    target: AccountId,
    message: str | None,
) -> str:
    """Offer the certificate to another account, and return the ARN that it will have there.

    Raises ResourceNotFound, InvalidRequest for an account that cannot accept it and for a second encoding that an
    earlier version registered, CertificateStateRefused if its status does not allow it, TransferRefused if a thing or a
    policy is attached to it.
    """
    now = authority.clock.now()

    def program() -> Steps[Change[str]]:
        before = yield from certificate_table.certificate_for_update(caller.scope, certificate_id)
        if before is None:
            raise ResourceNotFound(f"The certificate given in the request does not exist. Id: {certificate_id}")
        _ensure_only_encoding(before)
        after = with_transfer_begun(before, target, message, now)
        # Only callers of that account could accept it, and a mistyped account has no callers.
        if not (yield from access_key_table.access_keys(target)):
            raise InvalidRequest(f"The account {target} has no access key in this service")
        yield from _ensure_detached(before)
        yield from _update(before, after)
        entries = _entries(caller, now, "TransferCertificate", after)
        return Change(certificate_arn(target_scope(after), certificate_id), entries, _touched(entries))

    return await change(authority, program)


async def accept(
    authority: RegistrationAuthority, caller: Caller, certificate_id: CertificateId, *, active: bool
) -> None:
    """Accept a certificate that was offered to the caller's account, which owns it then.

    Raises ResourceNotFound, TransferCompleted if the transfer has ended, InvalidRequest if the account may not accept
    the certificate or has it already in any encoding.
    """
    now = authority.clock.now()

    def apply(pending: Certificate) -> Steps[Certificate]:
        _ensure_only_encoding(pending)
        yield from _ensure_detached(pending)
        accepted = with_transfer_accepted(pending, now, active=active)
        # Inserted again, so that it is last in the lists of its new account and no later page misses it.
        if not (yield from certificate_table.delete_certificate(pending)):
            raise _overtaken(pending)
        message = f"The account {caller.account} has this certificate already. Id: {certificate_id}"
        alike = yield from signed_alike(accepted)
        if any(each.scope == accepted.scope for each in alike):
            raise InvalidRequest(message)
        try:
            yield from certificate_table.insert_certificate(accepted)
        except DuplicateCertificate as error:
            raise InvalidRequest(message) from error
        yield from record_standing(pending, accepted, now)
        yield from forget_revoked(accepted)
        return accepted

    await _end(authority, caller, certificate_id, "AcceptCertificateTransfer", offered_to, apply)


async def reject(
    authority: RegistrationAuthority, caller: Caller, certificate_id: CertificateId, reason: str | None
) -> None:
    """Reject a certificate that was offered to the caller's account.

    Raises ResourceNotFound, TransferCompleted if the transfer has ended, InvalidRequest if the account may not reject.
    """
    now = authority.clock.now()

    def apply(pending: Certificate) -> Steps[Certificate]:
        rejected = with_transfer_rejected(pending, reason, now)
        yield from _update(pending, rejected)
        return rejected

    await _end(authority, caller, certificate_id, "RejectCertificateTransfer", offered_to, apply)


async def cancel(authority: RegistrationAuthority, caller: Caller, certificate_id: CertificateId) -> None:
    """Cancel the transfer of a certificate that the caller's account has offered to another account.

    Raises ResourceNotFound, TransferCompleted if the transfer has ended, InvalidRequest if the account may not cancel.
    """
    now = authority.clock.now()

    def apply(pending: Certificate) -> Steps[Certificate]:
        cancelled = with_transfer_cancelled(pending, now)
        yield from _update(pending, cancelled)
        return cancelled

    await _end(authority, caller, certificate_id, "CancelCertificateTransfer", offered_by, apply)


async def list_outgoing(
    authority: RegistrationAuthority, caller: Caller, request: PageRequest
) -> Page[OutgoingCertificate]:
    """Return a page of the account's certificates with a pending transfer to another account."""

    def program() -> Steps[Page[OutgoingCertificate]]:
        return read_page(request, lambda page: transfer_table.outgoing_certificates(caller.scope, page))

    return await authority.store.read(program)


async def _end(
    authority: RegistrationAuthority,
    caller: Caller,
    certificate_id: CertificateId,
    action: str,
    choose: _Choose,
    apply: Callable[[Certificate], Steps[Certificate]],
) -> None:
    now = authority.clock.now()

    def program() -> Steps[Change[None]]:
        candidates = yield from transfer_table.certificates_of_region_for_update(caller.region, certificate_id)
        pending = choose(caller.account, tuple(candidates), certificate_id)
        ended = yield from apply(pending)
        # The event is for the first account, which offered the certificate.
        outcome = replace(pending, status=ended.status, transfer=ended.transfer)
        entries = _entries(caller, now, action, outcome)
        return Change(None, entries, _touched(entries))

    await change(authority, program)


def _ensure_only_encoding(certificate: Certificate) -> None:
    # No connection depends on this row: devices connect with the other encoding.
    if certificate.other_encoding_of is not None:
        raise InvalidRequest(
            f"The certificate {certificate.certificate_id} is another encoding of {certificate.other_encoding_of} "
            "and cannot be transferred"
        )


def _ensure_detached(certificate: Certificate) -> Steps[None]:
    attached = yield from attachment_table.principal_attachments(certificate.scope, certificate.arn)
    if attached.things:
        raise TransferRefused(f"Things must be detached before the transfer (arn: {certificate.arn})")
    if attached.policies:
        raise TransferRefused(f"Certificate policies must be detached before the transfer (arn: {certificate.arn})")


def _update(before: Certificate, after: Certificate) -> Steps[None]:
    if not (yield from certificate_table.update_certificate(before, after)):
        raise _overtaken(before)
    yield from record_standing(before, after, after.modified_at)


def _overtaken(certificate: Certificate) -> TransferCompleted:
    # The row has been locked since it was read, so only an engine without row locks can have another version here.
    return TransferCompleted(
        f"Certificate was changed by another request at the same time. Id: {certificate.certificate_id}"
    )


def _entries(caller: Caller, at: datetime, action: str, certificate: Certificate) -> tuple[AuditEntry, ...]:
    """Return an entry for each of the two accounts, each naming the certificate as that account names it."""
    source, target = certificate.scope, target_scope(certificate)
    detail = {
        "status": str(certificate.status),
        "source_account": source.account,
        "target_account": target.account,
    }
    entry = audit_entry(caller, at, action, certificate.arn, **detail)
    return (
        replace(entry, scope=source),
        replace(entry, scope=target, resource=certificate_arn(target, certificate.certificate_id)),
    )


def _touched(entries: tuple[AuditEntry, ...]) -> tuple[str, ...]:
    return tuple(entry.resource for entry in entries)
