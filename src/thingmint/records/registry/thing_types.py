"""Owns the table of thing types. Independent of the database engine."""

import json
from collections.abc import Sequence

from thingmint.core.identifiers import AccountId, Region, Scope, ThingTypeName
from thingmint.core.paging import Listed, PageKey, PageRequest
from thingmint.core.registry.thing_type import PropagatingAttribute, ThingType, ThingTypeProperties
from thingmint.records.columns import column_of_time, one_named, position_after, time_of_column
from thingmint.records.statement import Row, row_of, rows_of
from thingmint.records.steps import Steps
from thingmint.records.tokens import FOR_KEY_SHARE, FOR_UPDATE, after

COLUMNS = "account, region, name, type_id, properties, created_at, deprecated_at"

THING_TYPE = f"SELECT {COLUMNS} FROM thing_type {one_named(1)}"  # noqa: S608  constants above

INSERT_THING_TYPE = (
    f"INSERT INTO thing_type ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7) "  # noqa: S608  constants above
    "ON CONFLICT DO NOTHING RETURNING position"
)

UPDATE_THING_TYPE = f"UPDATE thing_type SET properties = $1, deprecated_at = $2 {one_named(3)}"  # noqa: S608  constants above

DELETE_THING_TYPE = f"DELETE FROM thing_type {one_named(1)}"  # noqa: S608  constants above

THING_TYPES = (
    f"SELECT {COLUMNS}, position FROM thing_type "  # noqa: S608  constants above
    f"WHERE {after('account', 'region', 'position')} LIMIT $4"
)

# Returns at most one row, so the page needs no order.
THING_TYPE_AFTER = f"SELECT {COLUMNS}, position FROM thing_type {one_named(1)} AND position > $4"  # noqa: S608  as above


def thing_type(scope: Scope, name: ThingTypeName) -> Steps[ThingType | None]:
    """Return the thing type, or None."""
    return (yield from _thing_type(THING_TYPE, scope, name))


def thing_type_for_share(scope: Scope, name: ThingTypeName) -> Steps[ThingType | None]:
    """Return the thing type and lock it against changes until this transaction ends (a shared lock)."""
    return (yield from _thing_type(THING_TYPE + FOR_KEY_SHARE, scope, name))


def thing_type_for_update(scope: Scope, name: ThingTypeName) -> Steps[ThingType | None]:
    """Return the thing type and lock it against changes and assignments until this transaction ends."""
    return (yield from _thing_type(THING_TYPE + FOR_UPDATE, scope, name))


def insert_thing_type(thing_type: ThingType) -> Steps[ThingType | None]:
    """Store a new thing type. If its name exists, change nothing and return the existing one, locked for update."""
    while True:
        if (yield from row_of(INSERT_THING_TYPE, *_columns_of_thing_type(thing_type))) is not None:
            return None
        present = yield from thing_type_for_update(thing_type.scope, thing_type.name)
        # None means that it was deleted between the two statements, so its name is free again.
        if present is not None:
            return present


def update_thing_type(thing_type: ThingType) -> Steps[None]:
    """Store properties and deprecation of a thing type that this transaction has locked for update."""
    scope, deprecated_at = thing_type.scope, thing_type.deprecated_at
    yield from rows_of(
        UPDATE_THING_TYPE,
        _column_of_properties(thing_type.properties),
        None if deprecated_at is None else column_of_time(deprecated_at),
        thing_type.name,
        scope.account,
        scope.region,
    )


def delete_thing_type(thing_type: ThingType) -> Steps[None]:
    """Delete a thing type that this transaction has locked for update."""
    scope = thing_type.scope
    yield from rows_of(DELETE_THING_TYPE, thing_type.name, scope.account, scope.region)


def thing_types(scope: Scope, name: ThingTypeName | None, page: PageRequest) -> Steps[Sequence[Listed[ThingType]]]:
    """Return up to ``page.size`` thing types with this name, or all, oldest first."""
    after = position_after(page.after, ascending=True)
    if name is None:
        rows = yield from rows_of(THING_TYPES, scope.account, scope.region, after, page.size)
    else:
        rows = yield from rows_of(THING_TYPE_AFTER, name, scope.account, scope.region, after)
    return tuple([Listed(thing_type_of_row(row[:-1]), PageKey(row[-1])) for row in rows])


def _thing_type(sql: str, scope: Scope, name: ThingTypeName) -> Steps[ThingType | None]:
    row = yield from row_of(sql, name, scope.account, scope.region)
    return None if row is None else thing_type_of_row(row)


def _columns_of_thing_type(thing_type: ThingType) -> tuple[object, ...]:
    """Return the thing type's columns in the order of the insertion."""
    deprecated_at = thing_type.deprecated_at
    return (
        thing_type.scope.account,
        thing_type.scope.region,
        thing_type.name,
        thing_type.type_id,
        _column_of_properties(thing_type.properties),
        column_of_time(thing_type.created_at),
        None if deprecated_at is None else column_of_time(deprecated_at),
    )


def thing_type_of_row(row: Row) -> ThingType:
    """Return the thing type of a row."""
    account, region, name, type_id, properties, created_at, deprecated_at = row
    return ThingType(
        scope=Scope(AccountId(account), Region(region)),
        name=ThingTypeName(name),
        type_id=type_id,
        properties=_properties_of_column(properties),
        created_at=time_of_column(created_at),
        deprecated_at=None if deprecated_at is None else time_of_column(deprecated_at),
    )


def _column_of_properties(properties: ThingTypeProperties) -> str:
    propagating = [
        [attribute.user_property_key, attribute.thing_attribute, attribute.connection_attribute]
        for attribute in properties.propagating_attributes
    ]
    return json.dumps([properties.description, properties.searchable_attributes, propagating], separators=(",", ":"))


def _properties_of_column(text: str) -> ThingTypeProperties:
    description, searchable, propagating = json.loads(text)
    return ThingTypeProperties(
        description, tuple(searchable), tuple([PropagatingAttribute(*sources) for sources in propagating])
    )
