"""Owns the table of device certificates; knows no engine but by its dialect."""

from collections.abc import Sequence

from thingmint.core.certificate import Certificate, CertificateMode, CertificateStatus, CertificateSummary
from thingmint.core.errors import DuplicateCertificate
from thingmint.core.identifiers import AccountId, CertificateId, Region, Scope, SerialNumber
from thingmint.registration.paging import PageRequest
from thingmint.registration.steps import Steps
from thingmint.registration.verbs.certificates import CertificateVerbs
from thingmint.storage.dialect import Dialect
from thingmint.storage.statement import Row, row_of, rows_of
from thingmint.storage.tables.columns import column_of_time, position_after, time_of_column

COLUMNS = (
    "account, region, certificate_id, der, issuer_id, serial_number, status, mode, not_before, not_after, "
    "created_at, modified_at, customer_version, generation_id"
)
_SUMMARY_COLUMNS = "certificate_id, status, mode, created_at, position"


# One certificate is looked for by its id; the expressions keep the planner from any index by account and region. Until
# PostgreSQL has statistics it takes both for equally selective, and may read every certificate of the account.
def _one_certificate(first: int) -> str:
    return f"WHERE certificate_id = ${first} AND account || '' = ${first + 1} AND region || '' = ${first + 2}"


CERTIFICATE = f"SELECT {COLUMNS} FROM certificate {_one_certificate(1)}"  # noqa: S608  constants above

SUMMARIES_NEWEST_FIRST = (
    f"SELECT {_SUMMARY_COLUMNS} FROM certificate "  # noqa: S608  the columns are the constants above
    "WHERE account = $1 AND region = $2 AND position < $3 ORDER BY position DESC LIMIT $4"
)

SUMMARIES_OLDEST_FIRST = (
    f"SELECT {_SUMMARY_COLUMNS} FROM certificate "  # noqa: S608  the columns are the constants above
    "WHERE account = $1 AND region = $2 AND position > $3 ORDER BY position ASC LIMIT $4"
)

# A conflict yields no row rather than an error: an error would end the whole transaction on PostgreSQL.
INSERT_CERTIFICATE = (
    f"INSERT INTO certificate ({COLUMNS}) "  # noqa: S608  the columns are the constants above
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT DO NOTHING RETURNING position"
)

# The version in WHERE decides races between requests, not what they read before.
UPDATE_CERTIFICATE = (
    "UPDATE certificate SET status = $1, modified_at = $2, customer_version = $3 "  # noqa: S608  constants above
    f"{_one_certificate(4)} AND customer_version = $7 RETURNING position"
)

DELETE_CERTIFICATE = f"DELETE FROM certificate {_one_certificate(1)} AND customer_version = $4 RETURNING position"  # noqa: S608  as above

# A page has 250 rows, and calling an enumeration costs five times a look into a dictionary.
_STATUSES = {status.value: status for status in CertificateStatus}
_MODES = {mode.value: mode for mode in CertificateMode}


class CertificateTable(CertificateVerbs):
    """The verbs of device certificates."""

    dialect: Dialect

    def certificate(self, scope: Scope, certificate_id: CertificateId) -> Steps[Certificate | None]:
        """Return the certificate, or None."""
        row = yield from row_of(CERTIFICATE, certificate_id, scope.account, scope.region)
        return None if row is None else certificate_of_row(row)

    def certificate_for_update(self, scope: Scope, certificate_id: CertificateId) -> Steps[Certificate | None]:
        """Return the certificate and keep others from changing it until this transaction ends."""
        sql = CERTIFICATE + self.dialect.for_update
        row = yield from row_of(sql, certificate_id, scope.account, scope.region)
        return None if row is None else certificate_of_row(row)

    def certificate_summaries(self, scope: Scope, page: PageRequest) -> Steps[Sequence[CertificateSummary]]:
        """Return up to ``page.size`` certificates in the order of their creation, newest first unless ascending."""
        sql = SUMMARIES_OLDEST_FIRST if page.ascending else SUMMARIES_NEWEST_FIRST
        position = position_after(page.after, ascending=page.ascending)
        found = yield from rows_of(sql, scope.account, scope.region, position, page.size)
        return tuple([_summary_of_row(scope, row) for row in found])

    def insert_certificate(self, certificate: Certificate) -> Steps[None]:
        """Store a new certificate; raise DuplicateCertificate if its id, or its issuer and serial number, exist."""
        inserted = yield from row_of(INSERT_CERTIFICATE, *_columns_of_certificate(certificate))
        if inserted is None:
            raise DuplicateCertificate(f"The certificate is already registered. Id: {certificate.certificate_id}")

    def update_certificate(self, before: Certificate, after: Certificate) -> Steps[bool]:
        """Store status, times and version if the stored version is still that of ``before``; say whether it was."""
        updated = yield from row_of(
            UPDATE_CERTIFICATE,
            after.status.value,
            column_of_time(after.modified_at),
            after.customer_version,
            before.certificate_id,
            before.scope.account,
            before.scope.region,
            before.customer_version,
        )
        return updated is not None

    def delete_certificate(self, certificate: Certificate) -> Steps[bool]:
        """Delete the certificate if its stored version is still this one; say whether it was."""
        scope, version = certificate.scope, certificate.customer_version
        deleted = yield from row_of(
            DELETE_CERTIFICATE, certificate.certificate_id, scope.account, scope.region, version
        )
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


def _summary_of_row(scope: Scope, row: Row) -> CertificateSummary:
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
