"""Owns the statements that search certificates by their fields. Each uses one index, and none reads DER."""

from collections.abc import Callable, Sequence
from datetime import datetime

from msgspec import Struct

from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.identifiers import CertificateId, Scope
from thingmint.core.paging import Listed, PageKey, PageRequest
from thingmint.records.columns import column_of_time, position_after, time_of_column
from thingmint.records.statement import Row, row_of, rows_of
from thingmint.records.steps import Steps
from thingmint.records.tokens import before


class FoundCertificate(Struct, frozen=True):
    """A certificate found by a search. ``issuer_id`` is that of the service's issuer or of a registered CA."""

    certificate_id: CertificateId
    common_name: str | None
    status: CertificateStatus
    issuer_id: str | None
    serial_number: str
    not_after: datetime
    created_at: datetime


COLUMNS = (
    "certificate_id, common_name, status, coalesce(issuer_id, ca_certificate_id), serial_number, not_after, "
    "created_at, position"
)
_SELECT = f"SELECT {COLUMNS} FROM certificate WHERE account = $1 AND region = $2"  # noqa: S608  constants above
# The expression keeps the planner from using the order of positions. A cached plan must be good for rare values, too.
_BEFORE = "position + 0 < $4 ORDER BY position + 0 DESC LIMIT $5"

NEWEST = f"SELECT {COLUMNS} FROM certificate WHERE {before('account', 'region', 'position')} LIMIT $4"  # noqa: S608  as above

BY_STATUS = f"{_SELECT} AND status = $3 AND {_BEFORE}"

BY_SERIAL_NUMBER = f"{_SELECT} AND serial_number = $3 AND {_BEFORE}"

BY_ISSUER = f"{_SELECT} AND issuer_id = $3 AND {_BEFORE}"

BY_CA_CERTIFICATE = f"{_SELECT} AND ca_certificate_id = $3 AND {_BEFORE}"

# A page starts after a row: first rows with the same text, then rows with later texts. Each is one range of the index.
_AFTER = "position + 0 > $4 ORDER BY position + 0 LIMIT $5"

REST_OF_COMMON_NAME = f"{_SELECT} AND common_name = $3 AND {_AFTER}"

BY_COMMON_NAME = f"{_SELECT} AND common_name > $3 AND common_name < $4 ORDER BY common_name, position + 0 LIMIT $5"

REST_OF_END = f"{_SELECT} AND not_after = $3 AND {_AFTER}"

BY_END = f"{_SELECT} AND not_after > $3 AND not_after < $4 ORDER BY not_after, position + 0 LIMIT $5"

# The expressions keep the planner from any index by account and region: see `certificates`.
BY_ID = (
    f"SELECT {COLUMNS} FROM certificate "  # noqa: S608  the columns are the constants above
    "WHERE certificate_id >= $1 AND certificate_id < $2 "
    "AND account || '' = $3 AND region || '' = $4 ORDER BY certificate_id LIMIT $5"
)

ONE = (
    f"SELECT {COLUMNS} FROM certificate "  # noqa: S608  the columns are the constants above
    "WHERE certificate_id = $1 AND account || '' = $2 AND region || '' = $3"
)

# Ids are lower-case hexadecimal, so a prefix followed by the letter after f sorts after all ids with the prefix.
_AFTER_HEX = "g"
_LAST_CHARACTER = "\U0010ffff"
_STATUSES = {status.value: status for status in CertificateStatus}

Found = Sequence[Listed[FoundCertificate]]


def newest(scope: Scope, page: PageRequest) -> Steps[Found]:
    """Return certificates, newest first."""
    rows = yield from rows_of(NEWEST, scope.account, scope.region, _before(page), page.size)
    return _found(rows)


def by_status(scope: Scope, status: CertificateStatus, page: PageRequest) -> Steps[Found]:
    """Return the certificates of a status, newest first."""
    rows = yield from rows_of(BY_STATUS, scope.account, scope.region, status.value, _before(page), page.size)
    return _found(rows)


def by_serial_number(scope: Scope, serial_number: str, page: PageRequest) -> Steps[Found]:
    """Return the certificates of a serial number in lower-case hexadecimal, newest first."""
    rows = yield from rows_of(BY_SERIAL_NUMBER, scope.account, scope.region, serial_number, _before(page), page.size)
    return _found(rows)


def by_issuer(scope: Scope, issuer_id: str, page: PageRequest) -> Steps[Found]:
    """Return the certificates of an issuer of the service, or of a registered CA certificate, newest first."""
    parameters = (scope.account, scope.region, issuer_id, _before(page), page.size)
    own = yield from rows_of(BY_ISSUER, *parameters)
    foreign = yield from rows_of(BY_CA_CERTIFICATE, *parameters)
    return _found(sorted((*own, *foreign), key=lambda row: -row[-1])[: page.size])


def by_common_name(scope: Scope, prefix: str, page: PageRequest) -> Steps[Found]:
    """Return the certificates whose common name starts with the prefix, in the order of the names."""
    after = page.after or PageKey(0, prefix)
    same = (scope.account, scope.region, after.text, position_after(after, ascending=True), page.size)
    rest = yield from rows_of(REST_OF_COMMON_NAME, *same)
    end = prefix + _LAST_CHARACTER
    more = yield from rows_of(BY_COMMON_NAME, scope.account, scope.region, after.text, end, page.size)
    return _found((*rest, *more)[: page.size], lambda row: str(row[1]))


def by_end(scope: Scope, since: datetime, until: datetime, page: PageRequest) -> Steps[Found]:
    """Return the certificates that expire from ``since`` on and before ``until``, the earliest first."""
    after = page.after or PageKey(0, str(column_of_time(since)))
    end = int(after.text)
    same = (scope.account, scope.region, end, position_after(after, ascending=True), page.size)
    rest = yield from rows_of(REST_OF_END, *same)
    more = yield from rows_of(BY_END, scope.account, scope.region, end, column_of_time(until), page.size)
    return _found((*rest, *more)[: page.size], lambda row: str(row[5]))


def by_id(scope: Scope, prefix: str, page: PageRequest) -> Steps[Found]:
    """Return the certificates whose id starts with the prefix, in the order of the ids."""
    # Ids have one length, so the id with one more digit sorts directly after the id.
    first = prefix if page.after is None else page.after.text + "0"
    rows = yield from rows_of(BY_ID, first, prefix + _AFTER_HEX, scope.account, scope.region, page.size)
    return _found(rows, lambda row: str(row[0]))


def named(scope: Scope, certificate_ids: Sequence[CertificateId]) -> Steps[Sequence[FoundCertificate]]:
    """Return those of these certificates that exist."""
    found = []
    for certificate_id in certificate_ids:
        row = yield from row_of(ONE, certificate_id, scope.account, scope.region)
        if row is not None:
            found.append(_certificate_of_row(row))
    return found


def _before(page: PageRequest) -> int:
    return position_after(page.after, ascending=False)


def _found(rows: Sequence[Row], text: Callable[[Row], str] = lambda row: "") -> Found:
    return [Listed(_certificate_of_row(row), PageKey(row[-1], text(row))) for row in rows]


def _certificate_of_row(row: Row) -> FoundCertificate:
    certificate_id, common_name, status, issuer_id, serial_number, not_after, created_at, _ = row
    return FoundCertificate(
        certificate_id=CertificateId(certificate_id),
        common_name=common_name,
        status=_STATUSES[status],
        issuer_id=issuer_id,
        serial_number=serial_number,
        not_after=time_of_column(not_after),
        created_at=time_of_column(created_at),
    )
