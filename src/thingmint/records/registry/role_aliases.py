"""Owns the table of role aliases. Independent of the database engine."""

from collections.abc import Sequence

from thingmint.core.errors import LimitExceeded, ResourceExists
from thingmint.core.identifiers import AccountId, Region, RoleAliasName, Scope
from thingmint.core.paging import PageRequest
from thingmint.core.registry.role_alias import RoleAlias, RoleAliasEntry
from thingmint.records.columns import column_of_time, one_named, position_after, time_of_column
from thingmint.records.statement import row_of, rows_of
from thingmint.records.steps import Steps
from thingmint.records.tokens import FOR_UPDATE, after, before

COLUMNS = "account, region, name, role_arn, credential_seconds, created_at, modified_at"

ROLE_ALIAS = f"SELECT {COLUMNS} FROM role_alias {one_named(1)}"  # noqa: S608  constants above

INSERT_ROLE_ALIAS = (
    f"INSERT INTO role_alias ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7) "  # noqa: S608  constants above
    "ON CONFLICT DO NOTHING RETURNING position"
)

UPDATE_ROLE_ALIAS = f"UPDATE role_alias SET role_arn = $1, credential_seconds = $2, modified_at = $3 {one_named(4)}"  # noqa: S608  as above

DELETE_ROLE_ALIAS = f"DELETE FROM role_alias {one_named(1)}"  # noqa: S608  constants above

_LIST = "SELECT name, position FROM role_alias WHERE"
NEWEST_FIRST = f"{_LIST} {before('account', 'region', 'position')} LIMIT $4"
OLDEST_FIRST = f"{_LIST} {after('account', 'region', 'position')} LIMIT $4"

# One statement counts and inserts. If two transactions race for the last place, the second sees the first one counted.
COUNT_UP = (
    "INSERT INTO role_alias_count (account, region, role_aliases) VALUES ($1, $2, 1) "
    "ON CONFLICT (account, region) DO UPDATE SET role_aliases = role_alias_count.role_aliases + 1 "
    "WHERE role_alias_count.role_aliases < $3 RETURNING role_aliases"
)

COUNT_DOWN = "UPDATE role_alias_count SET role_aliases = role_aliases - 1 WHERE account = $1 AND region = $2"


def role_alias(scope: Scope, name: RoleAliasName) -> Steps[RoleAlias | None]:
    """Return the role alias, or None."""
    return (yield from _role_alias(ROLE_ALIAS, scope, name))


def role_alias_for_update(scope: Scope, name: RoleAliasName) -> Steps[RoleAlias | None]:
    """Return the role alias and lock it against changes until this transaction ends."""
    return (yield from _role_alias(ROLE_ALIAS + FOR_UPDATE, scope, name))


def role_aliases(scope: Scope, page: PageRequest) -> Steps[Sequence[RoleAliasEntry]]:
    """Return up to ``page.size`` role aliases in the order of their creation."""
    sql, position = (
        OLDEST_FIRST if page.ascending else NEWEST_FIRST,
        position_after(page.after, ascending=page.ascending),
    )
    rows = yield from rows_of(sql, scope.account, scope.region, position, page.size)
    return tuple([RoleAliasEntry(RoleAliasName(name), position) for name, position in rows])


def insert_role_alias(role_alias: RoleAlias, most: int) -> Steps[None]:
    """Store a new role alias; raise ResourceExists, or LimitExceeded if the account has ``most``."""
    scope = role_alias.scope
    inserted = yield from row_of(
        INSERT_ROLE_ALIAS,
        scope.account,
        scope.region,
        role_alias.name,
        role_alias.role_arn,
        role_alias.credential_seconds,
        column_of_time(role_alias.created_at),
        column_of_time(role_alias.modified_at),
    )
    if inserted is None:
        raise ResourceExists(
            f"Role alias {role_alias.name} already exists", resource_id=role_alias.name, resource_arn=role_alias.arn
        )
    if (yield from row_of(COUNT_UP, scope.account, scope.region, most)) is None:
        raise LimitExceeded(f"An account has at most {most} role aliases")


def update_role_alias(role_alias: RoleAlias) -> Steps[None]:
    """Store role, duration and time of a role alias that this transaction has locked for update."""
    yield from rows_of(
        UPDATE_ROLE_ALIAS,
        role_alias.role_arn,
        role_alias.credential_seconds,
        column_of_time(role_alias.modified_at),
        role_alias.name,
        role_alias.scope.account,
        role_alias.scope.region,
    )


def delete_role_alias(role_alias: RoleAlias) -> Steps[None]:
    """Delete a role alias that this transaction has locked for update."""
    scope = role_alias.scope
    yield from rows_of(DELETE_ROLE_ALIAS, role_alias.name, scope.account, scope.region)
    yield from rows_of(COUNT_DOWN, scope.account, scope.region)


def _role_alias(sql: str, scope: Scope, name: RoleAliasName) -> Steps[RoleAlias | None]:
    row = yield from row_of(sql, name, scope.account, scope.region)
    if row is None:
        return None
    account, region, name_, role_arn, credential_seconds, created_at, modified_at = row
    return RoleAlias(
        scope=Scope(AccountId(account), Region(region)),
        name=RoleAliasName(name_),
        role_arn=role_arn,
        credential_seconds=credential_seconds,
        created_at=time_of_column(created_at),
        modified_at=time_of_column(modified_at),
    )
