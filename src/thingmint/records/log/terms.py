"""Owns the search of the audit trail by one resource, principal or action. Independent of the database engine."""

from collections.abc import Sequence

from thingmint.core.audit_entry import AuditEntry
from thingmint.core.identifiers import Scope
from thingmint.core.paging import Listed, PageKey
from thingmint.records.audit import COLUMNS, audit_entry_of_row
from thingmint.records.statement import rows_of
from thingmint.records.steps import Steps

PAGE_OF_TERM = (
    f"SELECT audit.position, {COLUMNS} FROM audit_term "  # noqa: S608  the columns are constants
    "JOIN audit ON audit.position = audit_term.position "
    "WHERE audit_term.term = $1 AND audit_term.position < $2 AND account = $3 AND region = $4 "
    "ORDER BY audit_term.position DESC LIMIT $5"
)

POSITIONS_OF_TERM = "SELECT position FROM audit_term WHERE term = $1 ORDER BY position LIMIT $2"


def term_of_resource(resource: str) -> str:
    """Return the term of entries about this resource."""
    return f"r{resource}"


def term_of_principal(principal_arn: str) -> str:
    """Return the term of entries of this caller."""
    return f"p{principal_arn}"


def term_of_action(action: str) -> str:
    """Return the term of entries of this action, in any letter case."""
    return f"a{action.lower()}"


def audit_page_of_term(scope: Scope, term: str, after: PageKey, size: int) -> Steps[Sequence[Listed[AuditEntry]]]:
    """Return up to ``size`` entries of the account and region with this term, newest first, as `audit_page` does.

    The index has an entry's terms within a second of its change.
    """
    rows = yield from rows_of(PAGE_OF_TERM, term, after.position, scope.account, scope.region, size)
    return tuple(Listed(audit_entry_of_row(columns), PageKey(position)) for position, *columns in rows)


def positions_of_term(term: str, limit: int) -> Steps[Sequence[int]]:
    """Return the positions of up to ``limit`` entries with this term, oldest first."""
    return [position for (position,) in (yield from rows_of(POSITIONS_OF_TERM, term, limit))]
