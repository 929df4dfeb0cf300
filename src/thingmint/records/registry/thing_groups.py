"""Owns the table of thing groups. Independent of the database engine."""

from collections.abc import Sequence

from msgspec import Struct

from thingmint.core.identifiers import AccountId, Region, Scope, ThingGroupName
from thingmint.core.paging import Listed, PageKey, PageRequest
from thingmint.core.registry.thing_group import GroupPath, ThingGroup
from thingmint.records.columns import (
    attributes_of_column,
    column_of_attributes,
    column_of_time,
    end_of_texts,
    first_text,
    one_named,
    time_of_column,
)
from thingmint.records.registry.thing_group_members import (
    column_of_path,
    path_of_column,
    remove_members,
)
from thingmint.records.statement import Row, row_of, rows_of
from thingmint.records.steps import Steps
from thingmint.records.tokens import FOR_KEY_SHARE, FOR_UPDATE


class GroupFilter(Struct, frozen=True):
    """A filter of groups by the prefix of their names: all groups, or those directly below a group or at any depth.

    ``below`` is the empty path for groups without a parent, and None for all groups.
    """

    prefix: str = ""
    below: GroupPath | None = None
    is_recursive: bool = False


COLUMNS = "account, region, name, group_id, parent_name, path, description, attributes, version, created_at"

THING_GROUP = f"SELECT {COLUMNS} FROM thing_group {one_named(1)}"  # noqa: S608  constants above

INSERT_THING_GROUP = (
    f"INSERT INTO thing_group ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) "  # noqa: S608  as above
    "ON CONFLICT DO NOTHING RETURNING position"
)

UPDATE_THING_GROUP = f"UPDATE thing_group SET description = $1, attributes = $2, version = $3 {one_named(4)}"  # noqa: S608  as above

DELETE_THING_GROUP = f"DELETE FROM thing_group {one_named(1)}"  # noqa: S608  constants above

THING_GROUPS = (
    "SELECT name FROM thing_group WHERE account = $1 AND region = $2 "
    "AND name >= $3 AND name < $4 ORDER BY name LIMIT $5"
)

ROOTS = (
    "SELECT name FROM thing_group WHERE account = $1 AND region = $2 AND parent_name IS NULL "
    "AND name >= $3 AND name < $4 ORDER BY name LIMIT $5"
)

CHILDREN = (
    "SELECT name FROM thing_group WHERE account = $1 AND region = $2 AND parent_name = $3 "
    "AND name >= $4 AND name < $5 ORDER BY name LIMIT $6"
)

# The range of the index with all descendants. The prefix of names is tested on each of them: without a prefix every
# page costs the same, and with a prefix a page can read all descendants.
DESCENDANTS = (
    "SELECT name, path FROM thing_group WHERE account = $1 AND region = $2 AND path >= $3 AND path < $4 "
    "AND substr(name, 1, length($5)) = $5 ORDER BY path LIMIT $6"
)


def thing_group(scope: Scope, name: ThingGroupName) -> Steps[ThingGroup | None]:
    """Return the thing group, or None."""
    return (yield from _thing_group(THING_GROUP, scope, name))


def thing_group_for_share(scope: Scope, name: ThingGroupName) -> Steps[ThingGroup | None]:
    """Return the thing group and lock it against changes until this transaction ends (a shared lock)."""
    return (yield from _thing_group(THING_GROUP + FOR_KEY_SHARE, scope, name))


def thing_group_for_update(scope: Scope, name: ThingGroupName) -> Steps[ThingGroup | None]:
    """Return the thing group and lock it against changes and new members until this transaction ends."""
    return (yield from _thing_group(THING_GROUP + FOR_UPDATE, scope, name))


def insert_thing_group(group: ThingGroup) -> Steps[ThingGroup | None]:
    """Store a new group. If its name exists, change nothing and return the existing group, locked for update."""
    while True:
        if (yield from row_of(INSERT_THING_GROUP, *_columns_of_thing_group(group))) is not None:
            return None
        present = yield from thing_group_for_update(group.scope, group.name)
        # None means that it was deleted between the two statements, so its name is free again.
        if present is not None:
            return present


def update_thing_group(group: ThingGroup) -> Steps[None]:
    """Store description, attributes and version of a group that this transaction has locked for update."""
    scope, attributes = group.scope, column_of_attributes(group.attributes)
    yield from rows_of(
        UPDATE_THING_GROUP, group.description, attributes, group.version, group.name, scope.account, scope.region
    )


def delete_thing_group(group: ThingGroup) -> Steps[None]:
    """Delete a group that this transaction has locked for update, and remove its members."""
    yield from remove_members(group.scope, group.path)
    yield from rows_of(DELETE_THING_GROUP, group.name, group.scope.account, group.scope.region)


def thing_groups(scope: Scope, wanted: GroupFilter, page: PageRequest) -> Steps[Sequence[Listed[ThingGroupName]]]:
    """Return the names of up to ``page.size`` groups, ordered by name; for groups at any depth, ordered by path."""
    if wanted.below and wanted.is_recursive:
        return (yield from _descendants(scope, wanted.below, wanted.prefix, page))
    names = (first_text(wanted.prefix, page.after), end_of_texts(wanted.prefix))
    if wanted.below:
        rows = yield from rows_of(CHILDREN, scope.account, scope.region, wanted.below[-1], *names, page.size)
    else:
        sql = THING_GROUPS if wanted.below is None or wanted.is_recursive else ROOTS
        rows = yield from rows_of(sql, scope.account, scope.region, *names, page.size)
    return tuple([Listed(ThingGroupName(name), PageKey(0, name)) for (name,) in rows])


def _descendants(
    scope: Scope, below: GroupPath, prefix: str, page: PageRequest
) -> Steps[Sequence[Listed[ThingGroupName]]]:
    path = column_of_path(below)
    # The paths of the groups below it follow the group's own path.
    paths = (first_text(path, page.after or PageKey(0, path)), end_of_texts(path))
    rows = yield from rows_of(DESCENDANTS, scope.account, scope.region, *paths, prefix, page.size)
    return tuple([Listed(ThingGroupName(name), PageKey(0, path)) for name, path in rows])


def _thing_group(sql: str, scope: Scope, name: ThingGroupName) -> Steps[ThingGroup | None]:
    row = yield from row_of(sql, name, scope.account, scope.region)
    return None if row is None else thing_group_of_row(row)


def _columns_of_thing_group(group: ThingGroup) -> tuple[object, ...]:
    """Return the group's columns in the order of the insertion."""
    return (
        group.scope.account,
        group.scope.region,
        group.name,
        group.group_id,
        group.parent_name,
        column_of_path(group.path),
        group.description,
        column_of_attributes(group.attributes),
        group.version,
        column_of_time(group.created_at),
    )


def thing_group_of_row(row: Row) -> ThingGroup:
    """Return the thing group of a row."""
    account, region, name, group_id, _parent_name, path, description, attributes, version, created_at = row
    return ThingGroup(
        scope=Scope(AccountId(account), Region(region)),
        name=ThingGroupName(name),
        group_id=group_id,
        created_at=time_of_column(created_at),
        ancestors=GroupPath(path_of_column(path)[:-1]),
        description=description,
        attributes=attributes_of_column(attributes),
        version=version,
    )
