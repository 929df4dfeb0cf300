"""Owns the repetition of changes after a backup, from a log's tail or a revocation list. Never gives rights back.

Only the status and the time of such a change are known. A certificate that is revoked in the backup stays revoked.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from enum import StrEnum

from thingmint.core.audit_entry import AuditEntry, audit_entry
from thingmint.core.caller import Caller
from thingmint.core.certificates.ca_certificate import (
    AutoRegistrationStatus,
    CACertificate,
    CACertificateStatus,
    CACertificateUpdate,
    updated,
)
from thingmint.core.certificates.certificate import SET_BY_CALLER, Certificate, CertificateStatus
from thingmint.core.certificates.revocation import Revocation, RevocationReason
from thingmint.core.identifiers import AccountId, CertificateId, Region, Scope, SerialNumber
from thingmint.core.transparency.logged_facts import Subject
from thingmint.core.transparency.tail import LaterState
from thingmint.records import audit as audit_table
from thingmint.records.certificates import ca_certificates as ca_certificate_table
from thingmint.records.certificates import certificates as certificate_table
from thingmint.records.certificates import revocations as revocation_table
from thingmint.records.columns import time_of_column
from thingmint.records.registry import attachments as attachment_table
from thingmint.records.steps import Steps
from thingmint.registration.certificates.signed_certificates import remember_revoked
from thingmint.registration.certificates.standing import record_deletion, record_standing


class Replayed(StrEnum):
    """The result of a repeated change for a certificate."""

    REVOKED = "revoked"
    DEACTIVATED = "deactivated"
    ACTIVATED = "activated"
    DELETED = "deleted"
    UNCHANGED = "as it was"
    LOST = "lost"
    """It was issued or registered after the backup, so the backup does not have it."""
    NOT_BELIEVED = "not activated"
    """No signed checkpoint covers the leaves that would give the right back."""


_AS: Mapping[CertificateStatus, Replayed] = {
    CertificateStatus.REVOKED: Replayed.REVOKED,
    CertificateStatus.INACTIVE: Replayed.DEACTIVATED,
    CertificateStatus.ACTIVE: Replayed.ACTIVATED,
}


def replay_state(
    caller: Caller, now: datetime, subject: Subject, state: LaterState, ends: Mapping[str, datetime]
) -> Steps[Replayed]:
    """Set a certificate or CA certificate to its state in a log's tail.

    ``ends`` has the expiry of each of the service's issuers by its id.
    """
    scope = Scope(AccountId(subject.account), Region(subject.region))
    kind, _, certificate_id = subject.name.partition("/")
    named = CertificateId(certificate_id)
    if not state.is_believed and (yield from _is_present(scope, kind, named)):
        return Replayed.NOT_BELIEVED
    if kind == "cacert":
        return (yield from _replay_ca_state(caller, now, scope, named, state))
    before = yield from certificate_table.certificate_for_update(scope, named)
    at = time_of_column(state.at)
    if before is None:
        yield from _note_lost(state, at, ends)
        return Replayed.UNCHANGED if state.status is None else Replayed.LOST
    if state.status is None:
        yield from _delete(caller, now, before, at, was_revoked=state.was_revoked)
        return Replayed.DELETED
    wanted = CertificateStatus.REVOKED if state.was_revoked else CertificateStatus(state.status)
    # Other statuses, for instance of a transfer, need more data than a leaf has.
    wanted = wanted if wanted in SET_BY_CALLER else CertificateStatus.INACTIVE
    return (yield from _set_status(caller, now, before, wanted, at, None))


def _is_present(scope: Scope, kind: str, named: CertificateId) -> Steps[bool]:
    if kind == "cacert":
        return (yield from ca_certificate_table.ca_certificate_for_update(scope, named)) is not None
    return (yield from certificate_table.certificate_for_update(scope, named)) is not None


def replay_revocation(caller: Caller, now: datetime, revocation: Revocation) -> Steps[Replayed]:
    """Revoke a certificate that a revocation list revokes, or deactivate one that the list has on hold."""
    before = yield from certificate_table.issued_certificate(revocation.issuer_id, revocation.serial_number)
    if before is None:
        yield from revocation_table.record_revocation(revocation)
        return Replayed.UNCHANGED
    is_hold = revocation.reason is RevocationReason.CERTIFICATE_HOLD
    wanted = CertificateStatus.INACTIVE if is_hold else CertificateStatus.REVOKED
    return (yield from _set_status(caller, now, before, wanted, revocation.revoked_at, revocation.reason))


def _set_status(
    caller: Caller,
    now: datetime,
    before: Certificate,
    wanted: CertificateStatus,
    at: datetime,
    reason: RevocationReason | None,
) -> Steps[Replayed]:
    if before.status in (wanted, CertificateStatus.REVOKED):
        return Replayed.UNCHANGED
    after = replace(before, status=wanted, modified_at=at, customer_version=before.customer_version + 1)
    yield from certificate_table.update_certificate(before, after)
    yield from record_standing(before, after, at, reason)
    told = {} if reason is None else {"reason": reason.word}
    entry = _entry(caller, now, before, "UpdateCertificate", status=after.status, previous_status=before.status, **told)
    yield from audit_table.append_audit(entry)
    return _AS[wanted]


def _delete(caller: Caller, now: datetime, before: Certificate, at: datetime, *, was_revoked: bool) -> Steps[None]:
    yield from attachment_table.detach_policies(before.scope, before.arn)
    yield from attachment_table.detach_things(before.scope, before.arn)
    yield from certificate_table.delete_certificate(before)
    ended = replace(before, status=CertificateStatus.REVOKED) if was_revoked else before
    yield from record_standing(before, ended, at)
    yield from remember_revoked(ended)
    yield from record_deletion(before, at)
    issuer = {} if before.issuer_id is None else {"issuer_id": before.issuer_id}
    serial_number = f"{before.serial_number:x}"
    entry = _entry(caller, now, before, "DeleteCertificate", status=ended.status, serial_number=serial_number, **issuer)
    yield from audit_table.append_audit(entry)


def _note_lost(state: LaterState, at: datetime, ends: Mapping[str, datetime]) -> Steps[None]:
    """Revoke a certificate of the service that is not in the registry, so that relying parties refuse it, too."""
    issuer_id = state.issuer_id
    if issuer_id is None or issuer_id not in ends or state.serial_number is None:
        return
    reason = RevocationReason.UNSPECIFIED if state.was_revoked else RevocationReason.CESSATION_OF_OPERATION
    number = SerialNumber(int(state.serial_number, 16))
    if (yield from certificate_table.issued_certificate(issuer_id, number)) is not None:
        # The leaf names the number of another certificate, so it is not one that the service has written.
        return
    yield from revocation_table.record_revocation(Revocation(issuer_id, number, reason, at, ends[issuer_id]))


def _replay_ca_state(
    caller: Caller, now: datetime, scope: Scope, named: CertificateId, state: LaterState
) -> Steps[Replayed]:
    """Set the later status of a CA certificate. A deleted one stays, but inactive, because its certificates need it."""
    before = yield from ca_certificate_table.ca_certificate_for_update(scope, named)
    if before is None:
        return Replayed.UNCHANGED if state.status is None else Replayed.LOST
    is_active = state.status == CACertificateStatus.ACTIVE
    update = CACertificateUpdate(
        status=CACertificateStatus.ACTIVE if is_active else CACertificateStatus.INACTIVE,
        auto_registration=AutoRegistrationStatus.DISABLE if state.status is None else None,
    )
    after = updated(before, update, time_of_column(state.at))
    if after is before:
        return Replayed.UNCHANGED
    yield from ca_certificate_table.update_ca_certificate(before, after)
    yield from audit_table.append_audit(_ca_entry(caller, now, before, after))
    return Replayed.ACTIVATED if is_active else Replayed.DEACTIVATED


def _ca_entry(caller: Caller, now: datetime, before: CACertificate, after: CACertificate) -> AuditEntry:
    entry = audit_entry(
        caller, now, "UpdateCACertificate", before.arn, status=after.status, previous_status=before.status
    )
    return replace(entry, scope=before.scope)


def _entry(caller: Caller, now: datetime, before: Certificate, action: str, **detail: str) -> AuditEntry:
    entry = audit_entry(caller, now, action, before.arn, restored="true", **detail)
    return replace(entry, scope=before.scope)
