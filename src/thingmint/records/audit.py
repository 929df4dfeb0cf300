"""Owns the table of the audit trail. Independent of the database engine."""

import json
from collections.abc import Sequence
from datetime import datetime

from thingmint.core.audit_entry import AuditEntry
from thingmint.core.identifiers import AccountId, Region, Scope
from thingmint.core.paging import Listed, PageKey, PageRequest
from thingmint.records.columns import column_of_time, position_after, time_of_column
from thingmint.records.statement import Row, row_of, rows_of
from thingmint.records.steps import Steps
from thingmint.records.tokens import after, before

COLUMNS = "at, account, region, principal_arn, source_address, request_id, action, resource, detail"


APPEND_AUDIT = (
    f"INSERT INTO audit ({COLUMNS}) "  # noqa: S608  the columns are the constants above
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
)

AUDIT_PAGE_DOWN = (
    f"SELECT position, {COLUMNS} FROM audit "  # noqa: S608  the columns are the constants above
    f"WHERE {before('account', 'region', 'position')} LIMIT $4"
)
AUDIT_PAGE_UP = (
    f"SELECT position, {COLUMNS} FROM audit "  # noqa: S608  the columns are the constants above
    f"WHERE {after('account', 'region', 'position')} LIMIT $4"
)

AUDIT_OF_RESOURCE = (
    f"SELECT position, {COLUMNS} FROM audit "  # noqa: S608  the columns are the constants above
    f"WHERE {before('account', 'region', 'resource', 'position')} LIMIT $5"
)

FIRST_AFTER = f"SELECT position, at FROM audit WHERE {after('account', 'region', 'position')} LIMIT 1"  # noqa: S608  constants


_DETAIL = json.JSONEncoder(separators=(",", ":"))


def append_audit(entry: AuditEntry) -> Steps[None]:
    """Append an entry to the audit trail."""
    yield from rows_of(APPEND_AUDIT, *_columns_of_audit_entry(entry))


def audit_page(scope: Scope, request: PageRequest) -> Steps[Sequence[Listed[AuditEntry]]]:
    """Return up to ``request.size`` entries of the account and region with their keys: newest first, or oldest first.

    An entry gets its position when it is written, so it can become visible after an entry with a higher position.
    """
    sql = AUDIT_PAGE_UP if request.ascending else AUDIT_PAGE_DOWN
    after = position_after(request.after, ascending=request.ascending)
    rows = yield from rows_of(sql, scope.account, scope.region, after, request.size)
    return tuple(Listed(audit_entry_of_row(columns), PageKey(position)) for position, *columns in rows)


def audit_of_resource(scope: Scope, resource: str, request: PageRequest) -> Steps[Sequence[Listed[AuditEntry]]]:
    """Return up to ``request.size`` entries about the resource with this ARN with their keys, newest first."""
    before = position_after(request.after, ascending=False)
    rows = yield from rows_of(AUDIT_OF_RESOURCE, scope.account, scope.region, resource, before, request.size)
    return tuple(Listed(audit_entry_of_row(columns), PageKey(position)) for position, *columns in rows)


def end_of_entries_before(scope: Scope, at: datetime, newest: int) -> Steps[PageKey]:
    """Return the position of the first entry of the account and region from this time on, for a page before it.

    ``newest`` is the last position. Entries are almost in the order of their times, so this is a binary search.
    """
    first, end = 1, newest + 1
    while first < end:
        middle = (first + end) // 2
        row = yield from row_of(FIRST_AFTER, scope.account, scope.region, middle - 1)
        if row is None or time_of_column(row[1]) >= at:
            end = middle
        else:
            first = row[0] + 1
    return PageKey(first)


def _columns_of_audit_entry(entry: AuditEntry) -> tuple[object, ...]:
    """Return the entry's columns in the order of the insertion.

    The detail is escaped to ASCII, because it can have NUL, which PostgreSQL's text cannot, and lone surrogates.
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
        _DETAIL.encode(entry.detail),
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
