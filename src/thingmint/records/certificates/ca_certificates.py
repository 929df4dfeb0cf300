"""Owns the tables of users' CA certificates and of registration codes. Independent of the database engine."""

from collections.abc import Sequence
from datetime import datetime

from thingmint.core.certificates.ca_certificate import (
    AutoRegistrationStatus,
    CACertificate,
    CACertificateStatus,
    CACertificateSummary,
    RegistrationConfig,
)
from thingmint.core.certificates.certificate import CertificateMode, CertificateSummary
from thingmint.core.errors import LimitExceeded, ResourceExists
from thingmint.core.identifiers import AccountId, CertificateId, Region, Scope
from thingmint.core.paging import PageRequest
from thingmint.records.certificates.certificates import SUMMARY_COLUMNS, summary_of_row
from thingmint.records.columns import column_of_time, position_after, time_of_column
from thingmint.records.statement import Row, row_of, rows_of
from thingmint.records.steps import Steps
from thingmint.records.tokens import FOR_UPDATE, after, before

COLUMNS = (
    "account, region, certificate_id, der, subject_digest, status, mode, auto_registration, template_body, "
    "template_name, role_arn, not_before, not_after, created_at, modified_at, customer_version, generation_id, pem"
)
_SUMMARY_COLUMNS = "certificate_id, status, created_at, position"


def _one_ca_certificate(first: int) -> str:
    return f"WHERE certificate_id = ${first} AND account || '' = ${first + 1} AND region || '' = ${first + 2}"


CA_CERTIFICATE = f"SELECT {COLUMNS} FROM ca_certificate {_one_ca_certificate(1)}"  # noqa: S608  constants above

OF_SUBJECT = (
    f"SELECT {COLUMNS} FROM ca_certificate "  # noqa: S608  the columns are the constants above
    "WHERE subject_digest = $1 AND region = $2 AND account || '' = $3 ORDER BY position"
)

OF_ISSUER = (
    f"SELECT {COLUMNS} FROM ca_certificate "  # noqa: S608  the columns are the constants above
    "WHERE subject_digest = $1 AND region = $2 AND (mode = 'DEFAULT' OR account = $3) "
    "AND status = 'ACTIVE' AND auto_registration = 'ENABLE' ORDER BY position"
)

OF_ANY_ACCOUNT = (
    f"SELECT {COLUMNS} FROM ca_certificate "  # noqa: S608  the columns are the constants above
    "WHERE subject_digest = $1 AND region = $2 AND status = 'ACTIVE' AND auto_registration = 'ENABLE' "
    "ORDER BY position LIMIT $3"
)


def _pages(columns: str, source: str, *index: str) -> tuple[str, str]:
    """Return the statements for a page of a list, newest first and oldest first."""
    start = f"SELECT {columns} FROM {source}"  # noqa: S608  constants
    limit = f"LIMIT ${len(index) + 1}"
    return f"{start} {before(*index)} {limit}", f"{start} {after(*index)} {limit}"


ALL_NEWEST_FIRST, ALL_OLDEST_FIRST = _pages(_SUMMARY_COLUMNS, "ca_certificate WHERE", "account", "region", "position")

OF_TEMPLATE_NEWEST_FIRST, OF_TEMPLATE_OLDEST_FIRST = _pages(
    _SUMMARY_COLUMNS, "ca_certificate WHERE", "account", "region", "template_name", "position"
)

BY_CA_NEWEST_FIRST, BY_CA_OLDEST_FIRST = _pages(
    SUMMARY_COLUMNS,
    # The condition of the index, which the planner does not derive from a comparison of rows.
    "certificate WHERE ca_certificate_id IS NOT NULL AND",
    "account",
    "region",
    "ca_certificate_id",
    "position",
)

INSERT_CA_CERTIFICATE = (
    f"INSERT INTO ca_certificate ({COLUMNS}) VALUES "  # noqa: S608  the columns are the constants above
    "($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) "
    "ON CONFLICT DO NOTHING RETURNING position"
)

# One statement counts and inserts. If two transactions race for the last place, the second sees the first one counted.
COUNT_SUBJECT = (
    "INSERT INTO ca_subject (account, region, subject_digest, certificates) VALUES ($1, $2, $3, 1) "
    "ON CONFLICT (account, region, subject_digest) DO UPDATE SET certificates = ca_subject.certificates + 1 "
    "WHERE ca_subject.certificates < $4 RETURNING certificates"
)

DISCOUNT_SUBJECT = (
    "UPDATE ca_subject SET certificates = certificates - 1 "
    "WHERE account = $1 AND region = $2 AND subject_digest = $3 RETURNING certificates"
)

UPDATE_CA_CERTIFICATE = (
    "UPDATE ca_certificate SET status = $1, auto_registration = $2, template_body = $3, "  # noqa: S608  constants above
    "template_name = $4, role_arn = $5, modified_at = $6, customer_version = $7 "
    f"{_one_ca_certificate(8)} AND customer_version = $11 RETURNING position"
)

DELETE_CA_CERTIFICATE = (
    f"DELETE FROM ca_certificate {_one_ca_certificate(1)} AND customer_version = $4 RETURNING position"  # noqa: S608  as above
)

REGISTRATION_CODE = "SELECT code FROM registration_code WHERE account = $1 AND region = $2"

INSERT_REGISTRATION_CODE = (
    "INSERT INTO registration_code (account, region, code, created_at) VALUES ($1, $2, $3, $4) "
    "ON CONFLICT DO NOTHING RETURNING code"
)

DELETE_REGISTRATION_CODE = "DELETE FROM registration_code WHERE account = $1 AND region = $2 RETURNING code"


def ca_certificate(scope: Scope, certificate_id: CertificateId) -> Steps[CACertificate | None]:
    """Return the CA certificate, or None."""
    row = yield from row_of(CA_CERTIFICATE, certificate_id, scope.account, scope.region)
    return None if row is None else ca_certificate_of_row(row)


def ca_certificate_for_update(scope: Scope, certificate_id: CertificateId) -> Steps[CACertificate | None]:
    """Return the CA certificate and lock it against changes until this transaction ends."""
    sql = CA_CERTIFICATE + FOR_UPDATE
    row = yield from row_of(sql, certificate_id, scope.account, scope.region)
    return None if row is None else ca_certificate_of_row(row)


def ca_certificates_of_subject(scope: Scope, subject_digest: str) -> Steps[Sequence[CACertificate]]:
    """Return the account's CA certificates with this subject, oldest first."""
    found = yield from rows_of(OF_SUBJECT, subject_digest, scope.region, scope.account)
    return tuple(map(ca_certificate_of_row, found))


def ca_certificates_of_issuer(
    region: Region, subject_digest: str, account: AccountId | None
) -> Steps[Sequence[CACertificate]]:
    """Return the CA certificates that may have issued a device's certificate, oldest first.

    These are the region's CA certificates with this subject that are active, allow automatic registration, and are in
    DEFAULT mode or belong to the account that the device named.
    """
    found = yield from rows_of(OF_ISSUER, subject_digest, region, account)
    return tuple(map(ca_certificate_of_row, found))


def ca_certificates_of_any_account(region: Region, subject_digest: str, limit: int) -> Steps[Sequence[CACertificate]]:
    """Return up to ``limit`` CA certificates of the region with this subject, oldest first, of any account.

    They are active and allow automatic registration.
    """
    found = yield from rows_of(OF_ANY_ACCOUNT, subject_digest, region, limit)
    return tuple(map(ca_certificate_of_row, found))


def ca_certificate_summaries(
    scope: Scope, template_name: str | None, page: PageRequest
) -> Steps[Sequence[CACertificateSummary]]:
    """Return up to ``page.size`` CA certificates; if a template is given, only those with this template."""
    position = position_after(page.after, ascending=page.ascending)
    if template_name is None:
        sql = ALL_OLDEST_FIRST if page.ascending else ALL_NEWEST_FIRST
        found = yield from rows_of(sql, scope.account, scope.region, position, page.size)
    else:
        sql = OF_TEMPLATE_OLDEST_FIRST if page.ascending else OF_TEMPLATE_NEWEST_FIRST
        found = yield from rows_of(sql, scope.account, scope.region, template_name, position, page.size)
    return tuple(_ca_summary_of_row(scope, row) for row in found)


def summaries_by_ca(
    scope: Scope, ca_certificate_id: CertificateId, page: PageRequest
) -> Steps[Sequence[CertificateSummary]]:
    """Return up to ``page.size`` certificates that were registered with the CA certificate."""
    sql = BY_CA_OLDEST_FIRST if page.ascending else BY_CA_NEWEST_FIRST
    position = position_after(page.after, ascending=page.ascending)
    found = yield from rows_of(sql, scope.account, scope.region, ca_certificate_id, position, page.size)
    return tuple(summary_of_row(scope, row) for row in found)


def insert_ca_certificate(ca_certificate: CACertificate, most_of_one_subject: int) -> Steps[None]:
    """Store a new CA certificate.

    Raises ResourceExists if the account has it already, or if both this one and another account's are in DEFAULT mode;
    LimitExceeded if the account has ``most_of_one_subject`` CA certificates of its subject.
    """
    scope, digest = ca_certificate.scope, ca_certificate.subject_digest
    inserted = yield from row_of(INSERT_CA_CERTIFICATE, *_columns_of_ca_certificate(ca_certificate))
    if inserted is None:
        raise ResourceExists("The CA certificate is already registered", resource_id=ca_certificate.certificate_id)
    counted = yield from row_of(COUNT_SUBJECT, scope.account, scope.region, digest, most_of_one_subject)
    if counted is None:
        raise LimitExceeded(f"The account has {most_of_one_subject} CA certificates with this subject already")


def update_ca_certificate(before: CACertificate, after: CACertificate) -> Steps[bool]:
    """Store status, registration, times and version if the stored version is that of ``before``; return if it was."""
    config = after.registration_config or RegistrationConfig()
    updated = yield from row_of(
        UPDATE_CA_CERTIFICATE,
        after.status.value,
        after.auto_registration.value,
        config.template_body,
        config.template_name,
        config.role_arn,
        column_of_time(after.modified_at),
        after.customer_version,
        before.certificate_id,
        before.scope.account,
        before.scope.region,
        before.customer_version,
    )
    return updated is not None


def delete_ca_certificate(ca_certificate: CACertificate) -> Steps[bool]:
    """Delete the CA certificate if its stored version is still this one; return whether it was."""
    scope, version = ca_certificate.scope, ca_certificate.customer_version
    deleted = yield from row_of(
        DELETE_CA_CERTIFICATE, ca_certificate.certificate_id, scope.account, scope.region, version
    )
    if deleted is not None:
        yield from row_of(DISCOUNT_SUBJECT, scope.account, scope.region, ca_certificate.subject_digest)
    return deleted is not None


def registration_code(scope: Scope) -> Steps[str | None]:
    """Return the account's registration code, or None."""
    row = yield from row_of(REGISTRATION_CODE, scope.account, scope.region)
    return None if row is None else str(row[0])


def insert_registration_code(scope: Scope, code: str, at: datetime) -> Steps[bool]:
    """Store a registration code unless the account has one; return whether it was stored."""
    inserted = yield from row_of(INSERT_REGISTRATION_CODE, scope.account, scope.region, code, column_of_time(at))
    return inserted is not None


def delete_registration_code(scope: Scope) -> Steps[bool]:
    """Delete the account's registration code; return whether it had one."""
    deleted = yield from row_of(DELETE_REGISTRATION_CODE, scope.account, scope.region)
    return deleted is not None


def _columns_of_ca_certificate(ca_certificate: CACertificate) -> tuple[object, ...]:
    """Return the CA certificate's columns in the order of the insertion."""
    config = ca_certificate.registration_config or RegistrationConfig()
    return (
        ca_certificate.scope.account,
        ca_certificate.scope.region,
        ca_certificate.certificate_id,
        ca_certificate.der,
        ca_certificate.subject_digest,
        ca_certificate.status.value,
        ca_certificate.mode.value,
        ca_certificate.auto_registration.value,
        config.template_body,
        config.template_name,
        config.role_arn,
        column_of_time(ca_certificate.not_before),
        column_of_time(ca_certificate.not_after),
        column_of_time(ca_certificate.created_at),
        column_of_time(ca_certificate.modified_at),
        ca_certificate.customer_version,
        ca_certificate.generation_id,
        ca_certificate.pem,
    )


def ca_certificate_of_row(row: Row) -> CACertificate:
    """Return the CA certificate of a row."""
    account, region, certificate_id, der, subject_digest, status, mode, auto_registration, *rest = row
    template_body, template_name, role_arn, not_before, not_after, created_at, modified_at, *rest = rest
    config = RegistrationConfig(template_body, template_name, role_arn)
    customer_version, generation_id, pem = rest
    return CACertificate(
        scope=Scope(AccountId(account), Region(region)),
        certificate_id=CertificateId(certificate_id),
        der=der,
        subject_digest=subject_digest,
        status=CACertificateStatus(status),
        mode=CertificateMode(mode),
        auto_registration=AutoRegistrationStatus(auto_registration),
        registration_config=None if config == RegistrationConfig() else config,
        not_before=time_of_column(not_before),
        not_after=time_of_column(not_after),
        created_at=time_of_column(created_at),
        modified_at=time_of_column(modified_at),
        customer_version=customer_version,
        generation_id=generation_id,
        pem=pem,
    )


def _ca_summary_of_row(scope: Scope, row: Row) -> CACertificateSummary:
    certificate_id, status, created_at, position = row
    return CACertificateSummary(
        scope=scope,
        certificate_id=CertificateId(certificate_id),
        status=CACertificateStatus(status),
        created_at=time_of_column(created_at),
        position=position,
    )
