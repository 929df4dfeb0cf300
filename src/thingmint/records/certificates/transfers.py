"""Owns the statements about certificates with a pending transfer. Independent of the database engine."""

from collections.abc import Sequence

from thingmint.core.certificates.certificate import Certificate
from thingmint.core.certificates.transfer import OutgoingCertificate
from thingmint.core.identifiers import CertificateId, Region, Scope
from thingmint.core.paging import PageRequest
from thingmint.records.certificates.certificates import COLUMNS, certificate_of_row, transfer_of_column
from thingmint.records.columns import position_after, time_of_column
from thingmint.records.statement import Row, row_of, rows_of
from thingmint.records.steps import Steps
from thingmint.records.tokens import FOR_UPDATE, after, before

_OUTGOING_COLUMNS = "certificate_id, transfer, created_at, position"

# The expressions keep the planner from every index except that of ids, as for one certificate of an account.
INCOMING_CERTIFICATE = (
    f"SELECT {COLUMNS} FROM certificate "  # noqa: S608  the columns are the constants above
    "WHERE certificate_id = $1 AND transfer_to || '' = $2 AND region || '' = $3 ORDER BY position LIMIT 1"
)

# In a fixed order, so that two transactions cannot deadlock.
CERTIFICATES_OF_REGION = (
    f"SELECT {COLUMNS} FROM certificate "  # noqa: S608  the columns are the constants above
    "WHERE certificate_id = $1 AND region || '' = $2 ORDER BY position"
)

OUTGOING_NEWEST_FIRST = (
    f"SELECT {_OUTGOING_COLUMNS} FROM certificate "  # noqa: S608  the columns are the constants above
    f"WHERE transfer_to IS NOT NULL AND {before('account', 'region', 'position')} LIMIT $4"
)

OUTGOING_OLDEST_FIRST = (
    f"SELECT {_OUTGOING_COLUMNS} FROM certificate "  # noqa: S608  the columns are the constants above
    f"WHERE transfer_to IS NOT NULL AND {after('account', 'region', 'position')} LIMIT $4"
)


def incoming_certificate(scope: Scope, certificate_id: CertificateId) -> Steps[Certificate | None]:
    """Return another account's certificate whose transfer to this account is pending, or None."""
    row = yield from row_of(INCOMING_CERTIFICATE, certificate_id, scope.account, scope.region)
    return None if row is None else certificate_of_row(row)


def certificates_of_region_for_update(region: Region, certificate_id: CertificateId) -> Steps[Sequence[Certificate]]:
    """Return every account's certificate with this id and lock them against changes until this transaction ends."""
    sql = CERTIFICATES_OF_REGION + FOR_UPDATE
    # On PostgreSQL this waits for an account that accepts a transfer, and then returns neither the deleted row nor the
    # inserted one. The second statement sees all rows.
    yield from rows_of(sql, certificate_id, region)
    found = yield from rows_of(sql, certificate_id, region)
    return tuple(map(certificate_of_row, found))


def outgoing_certificates(scope: Scope, page: PageRequest) -> Steps[Sequence[OutgoingCertificate]]:
    """Return up to ``page.size`` of the account's certificates with a pending transfer to another account."""
    sql = OUTGOING_OLDEST_FIRST if page.ascending else OUTGOING_NEWEST_FIRST
    position = position_after(page.after, ascending=page.ascending)
    found = yield from rows_of(sql, scope.account, scope.region, position, page.size)
    return tuple(_outgoing_of_row(scope, row) for row in found)


def _outgoing_of_row(scope: Scope, row: Row) -> OutgoingCertificate:
    certificate_id, transfer, created_at, position = row
    return OutgoingCertificate(
        scope=scope,
        certificate_id=CertificateId(certificate_id),
        transfer=transfer_of_column(transfer),
        created_at=time_of_column(created_at),
        position=position,
    )
