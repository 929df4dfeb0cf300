"""Owns how the audit trail is read in pages, towards its beginning or its end; knows no engine."""

from collections.abc import Sequence

from thingmint.core.audit_entry import AuditEntry
from thingmint.core.identifiers import Scope
from thingmint.records.audit import COLUMNS, audit_entry_of_row
from thingmint.records.columns import position_after
from thingmint.records.paging import Listed, PageKey, PageRequest
from thingmint.records.statement import rows_of
from thingmint.records.steps import Steps

AUDIT_PAGE_DOWN = (
    f"SELECT position, {COLUMNS} FROM audit "  # noqa: S608  the columns are constants
    "WHERE account = $1 AND region = $2 AND position < $3 ORDER BY position DESC LIMIT $4"
)
AUDIT_PAGE_UP = (
    f"SELECT position, {COLUMNS} FROM audit "  # noqa: S608  the columns are constants
    "WHERE account = $1 AND region = $2 AND position > $3 ORDER BY position LIMIT $4"
)


def audit_page(scope: Scope, request: PageRequest) -> Steps[Sequence[Listed[AuditEntry]]]:
    """Return up to ``request.size`` entries of the account and region with their keys: newest first, or oldest first.

    Positions are given when an entry is written, so that an entry can become visible after one of a later position.
    """
    sql = AUDIT_PAGE_UP if request.ascending else AUDIT_PAGE_DOWN
    position = position_after(request.after, ascending=request.ascending)
    rows = yield from rows_of(sql, scope.account, scope.region, position, request.size)
    return tuple(Listed(audit_entry_of_row(columns), PageKey(at)) for at, *columns in rows)
