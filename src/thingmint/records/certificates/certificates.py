"""Owns the table of device certificates. Independent of the database engine."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime

from msgspec import Struct

from thingmint.core.certificates.certificate import (
    Certificate,
    CertificateMode,
    CertificateStatus,
    CertificateSummary,
    Transfer,
)
from thingmint.core.errors import DuplicateCertificate
from thingmint.core.identifiers import AccountId, CertificateId, Region, Scope, SerialNumber
from thingmint.core.paging import PageRequest
from thingmint.records.columns import column_of_time, position_after, time_of_column
from thingmint.records.statement import Row, row_of, rows_of
from thingmint.records.steps import Steps
from thingmint.records.tokens import FOR_UPDATE, after, before


class Issued(Struct, frozen=True):
    """A certificate of the service, and the hexadecimal SHA-256 of its issuer's DER."""

    certificate_id: CertificateId
    issuer_id: str


COLUMNS = (
    "account, region, certificate_id, der, issuer_id, serial_number, status, mode, not_before, not_after, "
    "created_at, modified_at, customer_version, generation_id, ca_certificate_id, previous_account, transfer_to, "
    "transfer, signed_digest, other_encoding_of, pem, common_name"
)
SUMMARY_COLUMNS = "certificate_id, status, mode, created_at, position"


ISSUED_CERTIFICATE = f"SELECT {COLUMNS} FROM certificate WHERE issuer_id = $1 AND serial_number = $2"  # noqa: S608  constants above


# One certificate is found by its id. The expressions keep the planner from an index by account and region: without
# statistics PostgreSQL treats both indexes as equally selective and can read every certificate of the account.
def _one_certificate(first: int) -> str:
    return f"WHERE certificate_id = ${first} AND account || '' = ${first + 1} AND region || '' = ${first + 2}"


CERTIFICATE = f"SELECT {COLUMNS} FROM certificate {_one_certificate(1)}"  # noqa: S608  constants above


# The account's own certificate comes first. At most one of the others is in DEFAULT mode.
PRESENTED_CERTIFICATE = (
    f"SELECT {COLUMNS} FROM certificate "  # noqa: S608  the columns are the constants above
    "WHERE certificate_id = $1 AND region || '' = $2 AND (account = $3 OR mode = 'DEFAULT') "
    "ORDER BY CASE WHEN account = $3 THEN 0 ELSE 1 END LIMIT 1"
)


ACCOUNTS_OF_CERTIFICATE = (
    "SELECT account FROM certificate WHERE certificate_id = $1 AND region || '' = $2 ORDER BY account LIMIT 2"
)


# A list has the account's certificates and those whose transfer to it is pending: a page of each, merged. Without a
# LIMIT in each SELECT, PostgreSQL would read and sort all rows after the page.
def _summaries(page: Callable[..., str], comparison: str, direction: str) -> str:
    return (
        f"SELECT {SUMMARY_COLUMNS} FROM ("  # noqa: S608  the columns are the constants above
        f"SELECT {SUMMARY_COLUMNS} FROM certificate WHERE {page('account', 'region', 'position')} LIMIT $4) AS own "
        f"UNION ALL SELECT {SUMMARY_COLUMNS} FROM ("
        # Few certificates have a pending transfer, and the planner knows it.
        f"SELECT {SUMMARY_COLUMNS} FROM certificate WHERE transfer_to = $1 AND region = $2 "
        f"AND position {comparison} $3 ORDER BY position {direction} LIMIT $4) AS incoming "
        f"ORDER BY position {direction} LIMIT $4"
    )


SUMMARIES_NEWEST_FIRST = _summaries(before, "<", "DESC")

SUMMARIES_OLDEST_FIRST = _summaries(after, ">", "ASC")

NEWEST_ISSUED = (
    "SELECT certificate_id, issuer_id FROM certificate WHERE issuer_id IS NOT NULL ORDER BY position DESC LIMIT 1"
)

# A conflict returns no row instead of an error, which would end the whole transaction on PostgreSQL.
INSERT_CERTIFICATE = (
    f"INSERT INTO certificate ({COLUMNS}) "  # noqa: S608  the columns are the constants above
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, "
    "$22) "
    "ON CONFLICT DO NOTHING RETURNING position"
)

# The version in WHERE decides races between requests, not the values that they read before.
UPDATE_CERTIFICATE = (
    "UPDATE certificate SET status = $1, modified_at = $2, customer_version = $3, "  # noqa: S608  constants above
    f"transfer_to = $4, transfer = $5 {_one_certificate(6)} AND customer_version = $9 RETURNING position"
)

DELETE_CERTIFICATE = f"DELETE FROM certificate {_one_certificate(1)} AND customer_version = $4 RETURNING position"  # noqa: S608  as above

# A page has 250 rows, and a call of an enumeration takes five times as long as a lookup in a dictionary.
_STATUSES = {status.value: status for status in CertificateStatus}
_MODES = {mode.value: mode for mode in CertificateMode}


def certificate(scope: Scope, certificate_id: CertificateId) -> Steps[Certificate | None]:
    """Return the certificate, or None."""
    row = yield from row_of(CERTIFICATE, certificate_id, scope.account, scope.region)
    return None if row is None else certificate_of_row(row)


def presented_certificate(
    region: Region, certificate_id: CertificateId, account: AccountId | None
) -> Steps[Certificate | None]:
    """Return the certificate of a device that names this account, or no account.

    It is the account's own, or otherwise the one in DEFAULT mode. Other accounts' SNI_ONLY certificates never match.
    """
    row = yield from row_of(PRESENTED_CERTIFICATE, certificate_id, region, account)
    return None if row is None else certificate_of_row(row)


def accounts_of_certificate(region: Region, certificate_id: CertificateId) -> Steps[Sequence[AccountId]]:
    """Return the accounts of the region that have the certificate, in any mode and status, but at most two."""
    found = yield from rows_of(ACCOUNTS_OF_CERTIFICATE, certificate_id, region)
    return tuple(AccountId(account) for (account,) in found)


def issued_certificate(issuer_id: str, serial_number: SerialNumber) -> Steps[Certificate | None]:
    """Return the certificate of one of the service's issuers with this serial number, or None."""
    row = yield from row_of(ISSUED_CERTIFICATE, issuer_id, f"{serial_number:x}")
    return None if row is None else certificate_of_row(row)


def certificate_for_update(scope: Scope, certificate_id: CertificateId) -> Steps[Certificate | None]:
    """Return the certificate and lock it against changes until this transaction ends."""
    sql = CERTIFICATE + FOR_UPDATE
    row = yield from row_of(sql, certificate_id, scope.account, scope.region)
    return None if row is None else certificate_of_row(row)


def certificate_summaries(scope: Scope, page: PageRequest) -> Steps[Sequence[CertificateSummary]]:
    """Return up to ``page.size`` certificates in the order of their creation, newest first unless ascending.

    They include certificates of other accounts whose transfer to this one is pending.
    """
    sql = SUMMARIES_OLDEST_FIRST if page.ascending else SUMMARIES_NEWEST_FIRST
    position = position_after(page.after, ascending=page.ascending)
    found = yield from rows_of(sql, scope.account, scope.region, position, page.size)
    return tuple([summary_of_row(scope, row) for row in found])


def newest_issued() -> Steps[Issued | None]:
    """Return the last certificate that the service issued, for any account."""
    row = yield from row_of(NEWEST_ISSUED)
    return None if row is None else Issued(CertificateId(row[0]), row[1])


def insert_certificate(certificate: Certificate) -> Steps[None]:
    """Store a new certificate.

    Raises DuplicateCertificate if the account has it already in any encoding, or if this one is in DEFAULT mode and any
    account has it in DEFAULT mode.
    """
    inserted = yield from row_of(INSERT_CERTIFICATE, *_columns_of_certificate(certificate))
    if inserted is None:
        raise DuplicateCertificate(f"The certificate is already registered. Id: {certificate.certificate_id}")


def update_certificate(before: Certificate, after: Certificate) -> Steps[bool]:
    """Store status, transfer, times and version if the stored version is that of ``before``; return if it was."""
    updated = yield from row_of(
        UPDATE_CERTIFICATE,
        after.status.value,
        column_of_time(after.modified_at),
        after.customer_version,
        after.transfer_to,
        _column_of_transfer(after.transfer),
        before.certificate_id,
        before.scope.account,
        before.scope.region,
        before.customer_version,
    )
    return updated is not None


def delete_certificate(certificate: Certificate) -> Steps[bool]:
    """Delete the certificate if its stored version is still this one; return whether it was."""
    scope, version = certificate.scope, certificate.customer_version
    deleted = yield from row_of(DELETE_CERTIFICATE, certificate.certificate_id, scope.account, scope.region, version)
    return deleted is not None


def _columns_of_certificate(certificate: Certificate) -> tuple[object, ...]:
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
        certificate.ca_certificate_id,
        certificate.previous_account,
        certificate.transfer_to,
        _column_of_transfer(certificate.transfer),
        certificate.signed_digest,
        certificate.other_encoding_of,
        certificate.pem,
        certificate.common_name,
    )


def certificate_of_row(row: Row) -> Certificate:
    """Return the certificate of a row."""
    account, region, certificate_id, der, issuer_id, serial_number, status, mode, *rest = row
    not_before, not_after, created_at, modified_at, customer_version, generation_id, *rest = rest
    ca_certificate_id, previous_account, _, transfer, signed_digest, other_encoding_of, pem, common_name = rest
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
        ca_certificate_id=None if ca_certificate_id is None else CertificateId(ca_certificate_id),
        previous_account=None if previous_account is None else AccountId(previous_account),
        transfer=None if transfer is None else transfer_of_column(transfer),
        signed_digest=signed_digest,
        other_encoding_of=None if other_encoding_of is None else CertificateId(other_encoding_of),
        pem=pem,
        common_name=common_name,
    )


def summary_of_row(scope: Scope, row: Row) -> CertificateSummary:
    """Return a certificate of a list."""
    certificate_id, status, mode, created_at, position = row
    return CertificateSummary(
        scope=scope,
        certificate_id=CertificateId(certificate_id),
        status=_STATUSES[status],
        mode=_MODES[mode],
        created_at=time_of_column(created_at),
        position=position,
    )


def _column_of_transfer(transfer: Transfer | None) -> str | None:
    if transfer is None:
        return None
    # Escaped to ASCII, because a message can have characters that the engines' texts cannot.
    return json.dumps(
        {
            "target": transfer.target,
            "message": transfer.message,
            "started_at": column_of_time(transfer.started_at),
            "accepted_at": _column_of_optional_time(transfer.accepted_at),
            "rejected_at": _column_of_optional_time(transfer.rejected_at),
            "reject_reason": transfer.reject_reason,
        },
        separators=(",", ":"),
    )


def transfer_of_column(column: str) -> Transfer:
    """Return the transfer of a column."""
    stored = json.loads(column)
    return Transfer(
        target=AccountId(stored["target"]),
        message=stored["message"],
        started_at=time_of_column(stored["started_at"]),
        accepted_at=_optional_time_of_column(stored["accepted_at"]),
        rejected_at=_optional_time_of_column(stored["rejected_at"]),
        reject_reason=stored["reject_reason"],
    )


def _column_of_optional_time(at: datetime | None) -> int | None:
    return None if at is None else column_of_time(at)


def _optional_time_of_column(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else time_of_column(microseconds)
