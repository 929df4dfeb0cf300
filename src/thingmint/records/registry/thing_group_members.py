"""Owns the table of members of thing groups. Independent of the database engine.

A member's row has the path of its group, so the things below a group, at any depth, are one range of an index.
"""

from collections.abc import Sequence

from thingmint.core.identifiers import Scope, ThingGroupName, ThingName
from thingmint.core.paging import Listed, PageKey, PageRequest
from thingmint.core.registry.thing_group import GroupPath
from thingmint.records.columns import end_of_texts, position_after
from thingmint.records.statement import row_of, rows_of
from thingmint.records.steps import Steps

_ONE = "WHERE thing_name = $1 AND group_name = $2 AND account || '' = $3 AND region || '' = $4"

INSERT_MEMBER = (
    "INSERT INTO thing_group_member (account, region, group_name, path, thing_name) VALUES ($1, $2, $3, $4, $5) "
    "ON CONFLICT DO NOTHING RETURNING position"
)

DELETE_MEMBER = f"DELETE FROM thing_group_member {_ONE} RETURNING position"  # noqa: S608  constants above

DELETE_MEMBERSHIPS = "DELETE FROM thing_group_member WHERE thing_name = $1 AND account || '' = $2 AND region || '' = $3"

# In portions, because a statement over a million rows would exceed the time limit of statements.
DELETE_MEMBERS = (
    "DELETE FROM thing_group_member WHERE position IN (SELECT position FROM thing_group_member "
    "WHERE account = $1 AND region = $2 AND path = $3 LIMIT $4) RETURNING position"
)

# At most ten groups.
GROUPS_OF_THING = (
    "SELECT path, position FROM thing_group_member WHERE thing_name = $1 AND account || '' = $2 AND region || '' = $3 "
    "AND position > $4 ORDER BY position LIMIT $5"
)

MEMBERS = (
    "SELECT thing_name, position FROM thing_group_member WHERE account = $1 AND region = $2 AND path = $3 "
    "AND position + 0 > $4 ORDER BY position + 0 LIMIT $5"
)

MEMBERS_OF_LATER_GROUPS = (
    "SELECT thing_name, position, path FROM thing_group_member WHERE account = $1 AND region = $2 "
    "AND path > $3 AND path < $4 ORDER BY path, position + 0 LIMIT $5"
)

_PORTION = 5000


def groups_of_thing(scope: Scope, name: ThingName, page: PageRequest) -> Steps[Sequence[Listed[GroupPath]]]:
    """Return the paths of up to ``page.size`` groups that the thing is in, in the order in which it joined."""
    after = position_after(page.after, ascending=True)
    rows = yield from rows_of(GROUPS_OF_THING, name, scope.account, scope.region, after, page.size)
    return tuple([Listed(path_of_column(path), PageKey(position)) for path, position in rows])


def things_in_group(
    scope: Scope, path: GroupPath, page: PageRequest, *, recursive: bool
) -> Steps[Sequence[Listed[ThingName]]]:
    """Return the names of up to ``page.size`` things in the group, or also in those below it, group by group."""
    column, after = column_of_path(path), page.after
    # A page key comes from the caller. The page must stay below the group, because policies allowed only this group.
    here = max(column, after.text) if recursive and after is not None else column
    position = position_after(after, ascending=True)
    found = yield from rows_of(MEMBERS, scope.account, scope.region, here, position, page.size)
    members = [Listed(ThingName(name), PageKey(at, here if recursive else "")) for name, at in found]
    if recursive and len(members) < page.size:
        # A second statement, because SQLite cannot seek to a path and a position together in the index.
        later = (here, end_of_texts(column), page.size - len(members))
        rows = yield from rows_of(MEMBERS_OF_LATER_GROUPS, scope.account, scope.region, *later)
        members += [Listed(ThingName(name), PageKey(at, path_of_group)) for name, at, path_of_group in rows]
    return tuple(members)


def add_thing_to_group(scope: Scope, name: ThingName, path: GroupPath) -> Steps[bool]:
    """Add a thing to a group, both locked by this transaction; return whether that changed anything."""
    inserted = yield from row_of(INSERT_MEMBER, scope.account, scope.region, path[-1], column_of_path(path), name)
    return inserted is not None


def remove_thing_from_group(scope: Scope, name: ThingName, path: GroupPath) -> Steps[bool]:
    """Remove the thing from the group; return whether it was a member."""
    deleted = yield from row_of(DELETE_MEMBER, name, path[-1], scope.account, scope.region)
    return deleted is not None


def remove_thing_from_groups(scope: Scope, name: ThingName) -> Steps[None]:
    """Remove the thing from every group."""
    yield from rows_of(DELETE_MEMBERSHIPS, name, scope.account, scope.region)


def remove_members(scope: Scope, path: GroupPath) -> Steps[None]:
    """Remove every thing from the group."""
    removed: Sequence[object] = [None] * _PORTION
    while len(removed) == _PORTION:
        removed = yield from rows_of(DELETE_MEMBERS, scope.account, scope.region, column_of_path(path), _PORTION)


def column_of_path(path: GroupPath) -> str:
    """Return the names, each followed by a slash. Names have no slash."""
    return "".join([f"{name}/" for name in path])


def path_of_column(column: str) -> GroupPath:
    """Return the path of a column."""
    return GroupPath(tuple([ThingGroupName(name) for name in column[:-1].split("/")]))
