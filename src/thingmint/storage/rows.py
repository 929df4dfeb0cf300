"""Owns how the objects of the core become columns and rows become objects again; knows no SQL and no engine."""

import json
from datetime import UTC, datetime, timedelta

from thingmint.core.access_key import AccessKey, AccessKeyOrigin
from thingmint.core.certificate import Certificate, CertificateMode, CertificateStatus, CertificateSummary
from thingmint.core.identifiers import AccountId, CertificateId, Region, Scope, SerialNumber
from thingmint.registration.audit import AuditEntry
from thingmint.storage.statement import Row

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# A page has 250 rows, and calling an enumeration costs five times a look into a dictionary.
_STATUSES = {status.value: status for status in CertificateStatus}
_MODES = {mode.value: mode for mode in CertificateMode}


def column_of_time(at: datetime) -> int:
    """Return the aware time as microseconds since 1970, which lose nothing of a datetime and fit 64 bits."""
    return (at - _EPOCH) // _MICROSECOND


def time_of_column(microseconds: int) -> datetime:
    """Return the time of a column, aware, UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


def columns_of_certificate(certificate: Certificate) -> tuple[object, ...]:
    """Return the certificate's columns in the order of the insertion."""
    return (
        certificate.scope.account,
        certificate.scope.region,
        certificate.certificate_id,
        certificate.der,
        certificate.issuer_id,
        f"{certificate.serial_number:x}",
        certificate.status.value,
        certificate.mode.value,
        column_of_time(certificate.not_before),
        column_of_time(certificate.not_after),
        column_of_time(certificate.created_at),
        column_of_time(certificate.modified_at),
        certificate.customer_version,
        certificate.generation_id,
    )


def certificate_of_row(row: Row) -> Certificate:
    """Return the certificate of a row."""
    account, region, certificate_id, der, issuer_id, serial_number, status, mode, *rest = row
    not_before, not_after, created_at, modified_at, customer_version, generation_id = rest
    return Certificate(
        scope=Scope(AccountId(account), Region(region)),
        certificate_id=CertificateId(certificate_id),
        der=der,
        issuer_id=issuer_id,
        serial_number=SerialNumber(int(serial_number, 16)),
        status=_STATUSES[status],
        mode=_MODES[mode],
        not_before=time_of_column(not_before),
        not_after=time_of_column(not_after),
        created_at=time_of_column(created_at),
        modified_at=time_of_column(modified_at),
        customer_version=customer_version,
        generation_id=generation_id,
    )


def summary_of_row(scope: Scope, row: Row) -> CertificateSummary:
    """Return what a list shows of a certificate."""
    certificate_id, status, mode, created_at, position = row
    return CertificateSummary(
        scope=scope,
        certificate_id=CertificateId(certificate_id),
        status=_STATUSES[status],
        mode=_MODES[mode],
        created_at=time_of_column(created_at),
        position=position,
    )


def columns_of_access_key(access_key: AccessKey) -> tuple[object, ...]:
    """Return the access key's columns in the order of the insertion."""
    return (
        access_key.access_key_id,
        access_key.account,
        access_key.user_name,
        access_key.policy_text,
        access_key.sealed_secret,
        access_key.session_token_sha256,
        column_of_time(access_key.created_at),
        None if access_key.expires_at is None else column_of_time(access_key.expires_at),
        access_key.origin.value,
    )


def access_key_of_row(row: Row) -> AccessKey:
    """Return the access key of a row."""
    access_key_id, account, user_name, policy_text, sealed_secret, token_sha256, created_at, expires_at, origin = row
    return AccessKey(
        access_key_id=access_key_id,
        account=AccountId(account),
        user_name=user_name,
        policy_text=policy_text,
        sealed_secret=sealed_secret,
        session_token_sha256=token_sha256,
        created_at=time_of_column(created_at),
        expires_at=None if expires_at is None else time_of_column(expires_at),
        origin=AccessKeyOrigin(origin),
    )


def columns_of_audit_entry(entry: AuditEntry) -> tuple[object, ...]:
    """Return the entry's columns in the order of the insertion.

    The detail is escaped to ASCII: PostgreSQL's text takes no NUL, and UTF-8 no lone surrogate, but a detail may.
    """
    return (
        column_of_time(entry.at),
        entry.scope.account,
        entry.scope.region,
        entry.principal_arn,
        entry.source_address,
        entry.request_id,
        entry.action,
        entry.resource,
        json.dumps(entry.detail, separators=(",", ":")),
    )


def audit_entry_of_row(row: Row) -> AuditEntry:
    """Return the audit entry of a row."""
    at, account, region, principal_arn, source_address, request_id, action, resource, detail = row
    return AuditEntry(
        at=time_of_column(at),
        scope=Scope(AccountId(account), Region(region)),
        principal_arn=principal_arn,
        source_address=source_address,
        request_id=request_id,
        action=action,
        resource=resource,
        detail=json.loads(detail),
    )
