"""Owns the search of certificates by the bytes that their issuers signed, and the table of deleted revoked ones."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from thingmint.core.certificates.certificate import Certificate, CertificateMode
from thingmint.core.identifiers import AccountId, CertificateId, Region, Scope, SerialNumber
from thingmint.records.certificates.certificates import COLUMNS, certificate_of_row
from thingmint.records.certificates.issuers import ISSUER_IDS
from thingmint.records.columns import column_of_time, time_of_column
from thingmint.records.statement import Row, row_of, rows_of
from thingmint.records.steps import Steps


class RevokedCertificate(Struct, frozen=True):
    """A certificate that was revoked and then deleted. ``signed_digest`` is that of the bytes that its issuer signed.

    ``ca_key_digest`` is that of its CA's key, None if the key is unknown.
    """

    scope: Scope
    signed_digest: str
    ca_certificate_id: CertificateId | None
    ca_key_digest: str | None
    serial_number: SerialNumber
    mode: CertificateMode
    not_after: datetime


_REVOKED_COLUMNS = "account, region, signed_digest, ca_certificate_id, ca_key_digest, serial_number, mode, not_after"
# The character after the colon, which can follow a digest.
_AFTER_COLON = ";"

SIGNED_ALIKE = (
    f"SELECT {COLUMNS} FROM certificate "  # noqa: S608  the columns are the constants above
    "WHERE signed_digest >= $1 AND signed_digest < $2 AND region || '' = $3 ORDER BY position"
)

# Reads by all issuers, so that issuing does not have to maintain another index for a rare query.
ISSUED_WITH_SERIAL = (
    f"SELECT {COLUMNS} FROM certificate WHERE issuer_id IN ({ISSUER_IDS}) "  # noqa: S608  the columns are constants
    "AND serial_number = $1 AND region || '' = $2"
)

REGISTERED_WITH_SERIAL = (
    f"SELECT {COLUMNS} FROM certificate "  # noqa: S608  the columns are the constants above
    "WHERE ca_certificate_id = $1 AND serial_number = $2 AND region || '' = $3"
)

INSERT_REVOKED = (
    f"INSERT INTO revoked_certificate ({_REVOKED_COLUMNS}) "  # noqa: S608  the columns are the constants above
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING RETURNING position"
)

REVOKED = (
    f"SELECT {_REVOKED_COLUMNS} FROM revoked_certificate "  # noqa: S608  the columns are the constants above
    "WHERE signed_digest >= $1 AND signed_digest < $2 AND region || '' = $3"
)

REVOKED_WITH_SERIAL = (
    f"SELECT {_REVOKED_COLUMNS} FROM revoked_certificate "  # noqa: S608  the columns are the constants above
    "WHERE ca_certificate_id = $1 AND serial_number = $2 AND region || '' = $3"
)

DELETE_REVOKED = (
    "DELETE FROM revoked_certificate WHERE signed_digest = $1 AND account = $2 AND region = $3 RETURNING position"
)

DELETE_ENDED = (
    "DELETE FROM revoked_certificate WHERE position IN "
    "(SELECT position FROM revoked_certificate WHERE not_after < $1 ORDER BY not_after LIMIT $2) RETURNING position"
)

OTHER_ENCODINGS = f"SELECT {COLUMNS} FROM certificate WHERE other_encoding_of IS NOT NULL ORDER BY position"  # noqa: S608  as above


def certificates_signed_alike(region: Region, signed_digest: str) -> Steps[Sequence[Certificate]]:
    """Return every account's foreign certificates with this signed digest, of any issuer, oldest first."""
    found = yield from rows_of(SIGNED_ALIKE, signed_digest, signed_digest + _AFTER_COLON, region)
    return tuple(map(certificate_of_row, found))


def issued_with_serial_number(region: Region, serial_number: SerialNumber) -> Steps[Sequence[Certificate]]:
    """Return every account's certificates with this serial number that any issuer of the service issued."""
    found = yield from rows_of(ISSUED_WITH_SERIAL, f"{serial_number:x}", region)
    return tuple(map(certificate_of_row, found))


def registered_with_serial_number(
    region: Region, ca_certificate_id: CertificateId, serial_number: SerialNumber
) -> Steps[Sequence[Certificate]]:
    """Return every account's certificates with this serial number that were registered with the CA certificate."""
    found = yield from rows_of(REGISTERED_WITH_SERIAL, ca_certificate_id, f"{serial_number:x}", region)
    return tuple(map(certificate_of_row, found))


def insert_revoked_certificate(revoked: RevokedCertificate) -> Steps[None]:
    """Store a deleted revoked certificate; do nothing if it is stored already."""
    yield from rows_of(
        INSERT_REVOKED,
        revoked.scope.account,
        revoked.scope.region,
        revoked.signed_digest,
        revoked.ca_certificate_id,
        revoked.ca_key_digest,
        f"{revoked.serial_number:x}",
        revoked.mode.value,
        column_of_time(revoked.not_after),
    )


def revoked_certificates(
    region: Region, signed_digest: str, ca_certificate_id: CertificateId | None, serial_number: SerialNumber
) -> Steps[Sequence[RevokedCertificate]]:
    """Return all accounts' revoked and deleted certificates with this digest, or with this CA and serial number."""
    found = yield from rows_of(REVOKED, signed_digest, signed_digest + _AFTER_COLON, region)
    numbered = yield from rows_of(REVOKED_WITH_SERIAL, ca_certificate_id, f"{serial_number:x}", region)
    return tuple(map(_revoked_of_row, (*found, *numbered)))


def delete_revoked_certificate(scope: Scope, signed_digest: str) -> Steps[bool]:
    """Delete the record of a certificate that the account revoked and deleted; return whether it existed."""
    deleted = yield from row_of(DELETE_REVOKED, signed_digest, scope.account, scope.region)
    return deleted is not None


def delete_ended_revoked_certificates(at: datetime, limit: int) -> Steps[int]:
    """Delete the records of up to ``limit`` certificates that expired before this time; return their number."""
    deleted = yield from rows_of(DELETE_ENDED, column_of_time(at), limit)
    return len(deleted)


def other_encodings() -> Steps[Sequence[Certificate]]:
    """Return the certificates of all accounts that an earlier version registered a second time."""
    found = yield from rows_of(OTHER_ENCODINGS)
    return tuple(map(certificate_of_row, found))


def _revoked_of_row(row: Row) -> RevokedCertificate:
    account, region, signed_digest, ca_certificate_id, ca_key_digest, serial_number, mode, not_after = row
    return RevokedCertificate(
        scope=Scope(AccountId(account), Region(region)),
        signed_digest=signed_digest,
        ca_certificate_id=None if ca_certificate_id is None else CertificateId(ca_certificate_id),
        ca_key_digest=ca_key_digest,
        serial_number=SerialNumber(int(serial_number, 16)),
        mode=CertificateMode(mode),
        not_after=time_of_column(not_after),
    )
