"""Owns the table of renewed certificates whose overlap has not ended. Independent of the database engine."""

from collections.abc import Sequence
from datetime import datetime

from thingmint.core.certificates.renewal import Renewal
from thingmint.core.identifiers import AccountId, CertificateId, Region, Scope
from thingmint.records.columns import column_of_time, time_of_column
from thingmint.records.statement import Row, rows_of
from thingmint.records.steps import Steps

_COLUMNS = "account, region, certificate_id, key_digest, renewed_as, overlap_ends_at"

OF_CERTIFICATE = (
    f"SELECT {_COLUMNS} FROM certificate_renewal "  # noqa: S608  constants above
    "WHERE account = $1 AND region = $2 AND certificate_id = $3 ORDER BY position"
)

INSERT = f"INSERT INTO certificate_renewal ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6)"  # noqa: S608  constants above

DUE = (
    f"SELECT {_COLUMNS} FROM certificate_renewal "  # noqa: S608  constants above
    "WHERE overlap_ends_at <= $1 ORDER BY overlap_ends_at, position LIMIT $2"
)

DELETE = (
    "DELETE FROM certificate_renewal WHERE account = $1 AND region = $2 AND certificate_id = $3 AND key_digest = $4 "
    "RETURNING position"
)


def renewals_of(scope: Scope, certificate_id: CertificateId) -> Steps[Sequence[Renewal]]:
    """Return the renewals of the certificate, oldest first. To change them, a transaction must lock the certificate."""
    rows = yield from rows_of(OF_CERTIFICATE, scope.account, scope.region, certificate_id)
    return tuple([_renewal(row) for row in rows])


def insert_renewal(renewal: Renewal) -> Steps[None]:
    """Store a renewal. The certificate must not have one with this key."""
    scope = renewal.scope
    yield from rows_of(
        INSERT,
        scope.account,
        scope.region,
        renewal.certificate_id,
        renewal.key_digest,
        renewal.renewed_as,
        column_of_time(renewal.overlap_ends_at),
    )


def due_renewals(at: datetime, limit: int) -> Steps[Sequence[Renewal]]:
    """Return up to ``limit`` renewals whose overlap ended by this time, earliest end first."""
    rows = yield from rows_of(DUE, column_of_time(at), limit)
    return tuple([_renewal(row) for row in rows])


def delete_renewal(renewal: Renewal) -> Steps[bool]:
    """Delete a renewal; return whether it existed."""
    scope = renewal.scope
    deleted = yield from rows_of(DELETE, scope.account, scope.region, renewal.certificate_id, renewal.key_digest)
    return bool(deleted)


def _renewal(row: Row) -> Renewal:
    account, region, certificate_id, key_digest, renewed_as, overlap_ends_at = row
    return Renewal(
        Scope(AccountId(account), Region(region)),
        CertificateId(certificate_id),
        key_digest,
        CertificateId(renewed_as),
        time_of_column(overlap_ends_at),
    )
