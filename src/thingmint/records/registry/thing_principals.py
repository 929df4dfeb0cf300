"""Owns the table of the attachments of principals to things. Independent of the database engine."""

from collections.abc import Sequence

from msgspec import Struct

from thingmint.core.identifiers import Scope, ThingName
from thingmint.core.paging import Listed, PageKey, PageRequest
from thingmint.core.registry.thing import ThingPrincipalType
from thingmint.records.columns import position_after
from thingmint.records.statement import row_of, rows_of
from thingmint.records.steps import Steps


class Attachment(Struct, frozen=True):
    """The attachment of a principal, named by its ARN, to a thing."""

    thing_name: ThingName
    principal: str
    type: ThingPrincipalType


_ONE = "WHERE thing_name = $1 AND principal = $2 AND account || '' = $3 AND region || '' = $4"

ATTACHMENT = f"SELECT principal_type FROM thing_principal {_ONE}"  # noqa: S608  constants above

INSERT_ATTACHMENT = (
    "INSERT INTO thing_principal (account, region, thing_name, principal, principal_type) VALUES ($1, $2, $3, $4, $5) "
    "ON CONFLICT DO NOTHING RETURNING position"
)

DELETE_ATTACHMENT = f"DELETE FROM thing_principal {_ONE} RETURNING position"  # noqa: S608  constants above

PRINCIPALS = (
    "SELECT principal, principal_type, position FROM thing_principal WHERE account = $1 AND region = $2 "
    "AND thing_name = $3 AND position + 0 > $4 ORDER BY position + 0 LIMIT $5"
)

PRINCIPALS_OF_TYPE = (
    "SELECT principal, principal_type, position FROM thing_principal WHERE account = $1 AND region = $2 "
    "AND thing_name = $3 AND principal_type = $4 AND position + 0 > $5 ORDER BY position + 0 LIMIT $6"
)

THINGS = (
    "SELECT thing_name, principal_type, position FROM thing_principal WHERE account = $1 AND region = $2 "
    "AND principal = $3 AND position + 0 > $4 ORDER BY position + 0 LIMIT $5"
)


def attachment(scope: Scope, name: ThingName, principal: str) -> Steps[Attachment | None]:
    """Return the principal's attachment to the thing, or None."""
    row = yield from row_of(ATTACHMENT, name, principal, scope.account, scope.region)
    return None if row is None else Attachment(name, principal, ThingPrincipalType(row[0]))


def attach_principal(scope: Scope, attachment: Attachment) -> Steps[bool]:
    """Attach a principal to a thing, both locked by this transaction; return whether it was not attached before."""
    inserted = yield from row_of(
        INSERT_ATTACHMENT,
        scope.account,
        scope.region,
        attachment.thing_name,
        attachment.principal,
        attachment.type.value,
    )
    return inserted is not None


def detach_principal(scope: Scope, name: ThingName, principal: str) -> Steps[bool]:
    """Detach the principal from the thing; return whether it was attached."""
    return (yield from row_of(DELETE_ATTACHMENT, name, principal, scope.account, scope.region)) is not None


def principals_of_thing(
    scope: Scope, name: ThingName, page: PageRequest, type_: ThingPrincipalType | None = None
) -> Steps[Sequence[Listed[Attachment]]]:
    """Return up to ``page.size`` attachments of the thing, of one type or of both, oldest first."""
    sql, of_type = (PRINCIPALS, ()) if type_ is None else (PRINCIPALS_OF_TYPE, (type_.value,))
    after = position_after(page.after, ascending=True)
    rows = yield from rows_of(sql, scope.account, scope.region, name, *of_type, after, page.size)
    return tuple(
        [
            Listed(Attachment(name, principal, ThingPrincipalType(kind)), PageKey(position))
            for principal, kind, position in rows
        ]
    )


def things_of_principal(scope: Scope, principal: str, page: PageRequest) -> Steps[Sequence[Listed[Attachment]]]:
    """Return up to ``page.size`` attachments of the principal, oldest first."""
    after = position_after(page.after, ascending=True)
    rows = yield from rows_of(THINGS, scope.account, scope.region, principal, after, page.size)
    return tuple(
        [
            Listed(Attachment(ThingName(name), principal, ThingPrincipalType(kind)), PageKey(position))
            for name, kind, position in rows
        ]
    )
