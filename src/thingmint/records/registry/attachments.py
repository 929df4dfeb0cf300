"""Owns queries of both a principal's things and its policies. Independent of the database engine.

Principals are named by their ARNs.
"""

from msgspec import Struct

from thingmint.core.identifiers import Scope
from thingmint.records.statement import row_of, rows_of
from thingmint.records.steps import Steps


class Attachments(Struct, frozen=True):
    """Whether any thing and any policy is attached to a principal."""

    things: bool
    policies: bool


PRINCIPAL_ATTACHMENTS = (
    "SELECT EXISTS (SELECT 1 FROM thing_principal WHERE account = $1 AND region = $2 AND principal = $3), "
    "EXISTS (SELECT 1 FROM policy_attachment WHERE account = $1 AND region = $2 AND target = $3)"
)

DETACH_POLICIES = (
    "DELETE FROM policy_attachment WHERE account = $1 AND region = $2 AND target = $3 RETURNING policy_name"
)

DETACH_THINGS = "DELETE FROM thing_principal WHERE account = $1 AND region = $2 AND principal = $3 RETURNING thing_name"


def principal_attachments(scope: Scope, principal: str) -> Steps[Attachments]:
    """Return what is attached to the principal. A transaction that attaches anything must lock the principal first."""
    row = yield from row_of(PRINCIPAL_ATTACHMENTS, scope.account, scope.region, principal)
    assert row is not None, "a SELECT without FROM has one row"
    return Attachments(things=bool(row[0]), policies=bool(row[1]))


def detach_policies(scope: Scope, principal: str) -> Steps[tuple[str, ...]]:
    """Detach every policy from the principal and return their names."""
    rows = yield from rows_of(DETACH_POLICIES, scope.account, scope.region, principal)
    return tuple(sorted(str(name) for (name,) in rows))


def detach_things(scope: Scope, principal: str) -> Steps[tuple[str, ...]]:
    """Detach the principal from every thing and return their names."""
    rows = yield from rows_of(DETACH_THINGS, scope.account, scope.region, principal)
    return tuple(sorted(str(name) for (name,) in rows))
