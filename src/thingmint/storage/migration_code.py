"""Owns the steps of migrations that SQL cannot express. Each runs once, in the migration's transaction."""

from collections.abc import Mapping

from thingmint.issuance.encoding.common_name import common_name_of
from thingmint.issuance.foreign.certificate import load_registered
from thingmint.issuance.foreign.signed_form import signed_digest
from thingmint.issuance.foreign.user_ca import is_issued_by
from thingmint.records.statement import Row, row_of, rows_of
from thingmint.records.steps import Program, Steps

_BATCH = 500

_FOREIGN = "SELECT position, account, region, serial_number, mode, der, ca_certificate_id FROM certificate "

REVOKED_FOREIGN_BATCH = (
    f"{_FOREIGN} WHERE issuer_id IS NULL AND status = 'REVOKED' AND position > $1 ORDER BY position LIMIT $2"
)

OTHER_FOREIGN_BATCH = (
    f"{_FOREIGN} WHERE issuer_id IS NULL AND status <> 'REVOKED' AND position > $1 ORDER BY position LIMIT $2"
)

FIRST_ENCODING = (
    "SELECT certificate_id, der, ca_certificate_id FROM certificate "
    "WHERE signed_digest >= $1 AND signed_digest < $2 AND region = $3 "
    "AND (account = $4 OR (mode = 'DEFAULT' AND $5 = 'DEFAULT')) ORDER BY position"
)

CA_OF_ACCOUNT = "SELECT der FROM ca_certificate WHERE certificate_id = $1 AND account = $2 AND region = $3"

ISSUED_IN_ACCOUNT = (
    "SELECT certificate_id, der FROM certificate "
    "WHERE issuer_id IN ("
    "WITH RECURSIVE issuer (id) AS ("
    "SELECT min(issuer_id) FROM certificate WHERE issuer_id IS NOT NULL UNION ALL "
    "SELECT (SELECT min(issuer_id) FROM certificate WHERE issuer_id > issuer.id) FROM issuer "
    "WHERE issuer.id IS NOT NULL) SELECT id FROM issuer WHERE id IS NOT NULL) "
    "AND serial_number = $1 AND account = $2 AND region = $3"
)

# RFC 5280, 5.3.1.
_UNSPECIFIED, _CERTIFICATE_HOLD = 0, 6
_REASON_OF = {"REVOKED": _UNSPECIFIED, "INACTIVE": _CERTIFICATE_HOLD, "PENDING_TRANSFER": _CERTIFICATE_HOLD}
_PARTS = 1024

NOT_VALID_BATCH = (
    "SELECT position, issuer_id, serial_number, status, modified_at, not_after FROM certificate "
    "WHERE issuer_id IS NOT NULL AND status IN ('REVOKED', 'INACTIVE', 'PENDING_TRANSFER') AND position > $1 "
    "ORDER BY position LIMIT $2"
)

ISSUERS = "SELECT DISTINCT issuer_id FROM certificate WHERE issuer_id IS NOT NULL"

# The time of revocation is only in the audit trail. Instead, this uses the time of the newest change, which is later.
REVOKED_AND_DELETED = (
    "SELECT serial_number, not_after, (SELECT coalesce(max(at), 0) FROM audit) FROM revoked_certificate "
    "WHERE ca_certificate_id IS NULL ORDER BY position"
)

NOTE_REVOCATION = (
    "INSERT INTO revocation (issuer_id, serial_number, part, reason, revoked_at, not_after, stamp) "
    "VALUES ($1, $2, $3, $4, $5, $6, 1) ON CONFLICT DO NOTHING"
)

SET_SIGNED_DIGEST = "UPDATE certificate SET signed_digest = $1 WHERE position = $2 RETURNING position"

SET_OTHER_ENCODING = "UPDATE certificate SET other_encoding_of = $1 WHERE position = $2 RETURNING position"


def fill_signed_digests() -> Steps[None]:
    """Give every foreign certificate the digest of its signed part; handle digests that another certificate has.

    Revoked certificates come first: if one of two encodings is revoked, the other one must not connect any more.
    """
    yield from _fill_all(REVOKED_FOREIGN_BATCH)
    yield from _fill_all(OTHER_FOREIGN_BATCH)


def _fill_all(batch_sql: str) -> Steps[None]:
    position = 0
    while True:
        batch = yield from rows_of(batch_sql, position, _BATCH)
        for row in batch:
            yield from _fill(row)
        if len(batch) < _BATCH:
            return
        position = batch[-1][0]


def _fill(row: Row) -> Steps[None]:
    position, account, region, serial_number, mode, der, ca_id = row
    digest = signed_digest(der)
    first = yield from rows_of(FIRST_ENCODING, digest, digest + ";", region, account, mode)
    ca = None if ca_id is None or not first else (yield from row_of(CA_OF_ACCOUNT, ca_id, account, region))
    same = [each for each in first if not _is_of_another_ca(each[1], each[2], None if ca is None else ca[0])]
    issued = yield from rows_of(ISSUED_IN_ACCOUNT, serial_number, account, region)
    alike = [certificate_id for certificate_id, issued_der in issued if signed_digest(issued_der) == digest]
    others = [*(each[0] for each in same), *alike]
    if others:
        yield from rows_of(SET_OTHER_ENCODING, others[0], position)
        return
    if ca is not None:
        digest = f"{digest}:{load_registered(ca[0], 'CA certificate').key_digest}"
    yield from rows_of(SET_SIGNED_DIGEST, digest, position)


def _is_of_another_ca(present: bytes, present_ca_id: str | None, ca: bytes | None) -> bool:
    # Two CAs with one name can sign the same octets.
    if present_ca_id is None or ca is None:
        return False
    issuer = load_registered(ca, "CA certificate")
    return not is_issued_by(load_registered(present, "certificate"), issuer)


def fill_revocations() -> Steps[None]:
    """Record the service's certificates that are revoked or on hold, also those that were revoked and deleted.

    The issuer of revoked and deleted certificates is not known, so their numbers are recorded for each issuer.
    """
    position = 0
    while batch := (yield from rows_of(NOT_VALID_BATCH, position, _BATCH)):
        for _, issuer_id, serial_number, status, modified_at, not_after in batch:
            yield from _note(issuer_id, serial_number, _REASON_OF[status], modified_at, not_after)
        position = batch[-1][0]
    issuers = yield from rows_of(ISSUERS)
    for serial_number, not_after, deleted_before in (yield from rows_of(REVOKED_AND_DELETED)):
        for (issuer_id,) in issuers:
            yield from _note(issuer_id, serial_number, _UNSPECIFIED, deleted_before, not_after)


def _note(issuer_id: str, serial_number: str, reason: int, revoked_at: int, not_after: int) -> Steps[None]:
    part = int(serial_number, 16) % _PARTS
    yield from rows_of(NOTE_REVOCATION, issuer_id, serial_number, part, reason, revoked_at, not_after)


CERTIFICATE_BATCH = "SELECT position, der FROM certificate WHERE position > $1 ORDER BY position LIMIT $2"

SET_COMMON_NAME = "UPDATE certificate SET common_name = $1 WHERE position = $2 RETURNING position"


def fill_common_names() -> Steps[None]:
    """Give every certificate the common name of its subject."""
    position = 0
    while True:
        batch = yield from rows_of(CERTIFICATE_BATCH, position, _BATCH)
        for found, der in batch:
            name = common_name_of(der)
            if name is not None:
                yield from rows_of(SET_COMMON_NAME, name, found)
        if len(batch) < _BATCH:
            return
        position = batch[-1][0]


AFTER: Mapping[str, Program[None]] = {
    "signed_certificates": fill_signed_digests,
    "revocations": fill_revocations,
    "console": fill_common_names,
}
"""The function that runs after the statements of a migration, by the migration's name."""
