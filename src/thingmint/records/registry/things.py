"""Owns the tables of things and of their attributes. Independent of the database engine.

The thing's row has its attributes for reading. The table of attributes has them again for searching.
"""

from collections.abc import Sequence

from thingmint.core.identifiers import AccountId, BillingGroupName, Region, Scope, ThingName, ThingTypeName
from thingmint.core.paging import Listed, PageKey, PageRequest
from thingmint.core.registry.thing import Thing
from thingmint.core.registry.thing_filter import AttributeFilter, ThingFilter
from thingmint.records.columns import (
    attributes_of_column,
    column_of_attributes,
    column_of_time,
    end_of_texts,
    one_named,
    position_after,
    time_of_column,
)
from thingmint.records.statement import Row, row_of, rows_of
from thingmint.records.steps import Steps
from thingmint.records.tokens import FOR_UPDATE, after

_BESIDES_SCOPE = "name, thing_id, type_name, billing_group, attributes, version, created_at"
COLUMNS = f"account, region, {_BESIDES_SCOPE}"
_LISTED = f"{COLUMNS}, position"
_LOOKED_UP = ", ".join(
    f"(SELECT thing.{column} FROM thing WHERE thing.position = found.position)"  # noqa: S608  constants above
    for column in _BESIDES_SCOPE.split(", ")
)

THING = f"SELECT {COLUMNS} FROM thing {one_named(1)}"  # noqa: S608  constants above

INSERT_THING = (
    f"INSERT INTO thing ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) "  # noqa: S608  constants above
    "ON CONFLICT DO NOTHING RETURNING position"
)

UPDATE_THING = (
    "UPDATE thing SET type_name = $1, billing_group = $2, attributes = $3, version = $4 "  # noqa: S608  constants above
    f"{one_named(5)} RETURNING position"
)

DELETE_THING = f"DELETE FROM thing {one_named(1)} RETURNING position"  # noqa: S608  constants above

INSERT_ATTRIBUTE = (
    "INSERT INTO thing_attribute (account, region, name, value, typed_value, position) VALUES ($1, $2, $3, $4, $5, $6)"
)

DELETE_ATTRIBUTES = "DELETE FROM thing_attribute WHERE position + 0 = $1"

THINGS = f"SELECT {_LISTED} FROM thing WHERE {after('account', 'region', 'position')} LIMIT $4"  # noqa: S608  constants above

THINGS_OF_TYPE = (
    f"SELECT {_LISTED} FROM thing WHERE account = $1 AND region = $2 "  # noqa: S608  constants above
    "AND type_name = $3 AND position + 0 > $4 ORDER BY position + 0 LIMIT $5"
)

NAMES_IN_BILLING_GROUP = (
    "SELECT name, position FROM thing WHERE account = $1 AND region = $2 "
    "AND billing_group = $3 AND position + 0 > $4 ORDER BY position + 0 LIMIT $5"
)


# Each column is looked up for the few positions that were found. For a join PostgreSQL could read all things, because
# its cached plan cannot estimate how few rows a page has.
def _with_attribute(column: str, condition: str, order: str) -> str:
    return (
        f"SELECT {_LOOKED_UP}, found.position, found.{column} FROM (SELECT {column}, position FROM thing_attribute "  # noqa: S608  constants here
        f"WHERE account = $1 AND region = $2 AND name = $3 AND {condition}) AS found ORDER BY {order}"
    )


def _exactly(column: str) -> str:
    return _with_attribute(column, f"{column} = $4 AND position > $5 ORDER BY position LIMIT $6", "found.position")


def _from_prefix(column: str) -> str:
    following = f"({column}, position) > ($4, $5) AND {column} < $6 ORDER BY {column}, position LIMIT $7"
    return _with_attribute(column, following, f"found.{column}, found.position")


EXACTLY, EXACTLY_OF_TYPE = _exactly("value"), _exactly("typed_value")
FROM_PREFIX, FROM_PREFIX_OF_TYPE = _from_prefix("value"), _from_prefix("typed_value")


def thing(scope: Scope, name: ThingName) -> Steps[Thing | None]:
    """Return the thing, or None."""
    row = yield from row_of(THING, name, scope.account, scope.region)
    return None if row is None else thing_of_row(row)


def thing_for_update(scope: Scope, name: ThingName) -> Steps[Thing | None]:
    """Return the thing and lock it, and what belongs to it, against changes until this transaction ends."""
    row = yield from row_of(THING + FOR_UPDATE, name, scope.account, scope.region)
    return None if row is None else thing_of_row(row)


def insert_thing(thing: Thing) -> Steps[Thing | None]:
    """Store a new thing. If its name exists, change nothing and return the existing thing, locked for update."""
    while True:
        inserted = yield from row_of(INSERT_THING, *_columns_of_thing(thing))
        if inserted is not None:
            yield from _insert_attributes(thing, inserted[0])
            return None
        present = yield from thing_for_update(thing.scope, thing.name)
        # None means that it was deleted between the two statements, so its name is free again.
        if present is not None:
            return present


def update_thing(thing: Thing) -> Steps[None]:
    """Store type, billing group, attributes and version of a thing that this transaction has locked for update."""
    scope = thing.scope
    ((position,),) = yield from rows_of(
        UPDATE_THING,
        thing.type_name,
        thing.billing_group_name,
        column_of_attributes(thing.attributes),
        thing.version,
        thing.name,
        scope.account,
        scope.region,
    )
    yield from rows_of(DELETE_ATTRIBUTES, position)
    yield from _insert_attributes(thing, position)


def delete_thing(thing: Thing) -> Steps[None]:
    """Delete a thing that this transaction has locked for update. Other functions delete what belongs to it."""
    scope = thing.scope
    ((position,),) = yield from rows_of(DELETE_THING, thing.name, scope.account, scope.region)
    yield from rows_of(DELETE_ATTRIBUTES, position)


def things(scope: Scope, wanted: ThingFilter, page: PageRequest) -> Steps[Sequence[Listed[Thing]]]:
    """Return up to ``page.size`` things, oldest first; if the filter has a prefix of a value, ordered by that value."""
    if wanted.attribute is not None:
        return (yield from _things_with(scope, wanted.attribute, wanted.type_name, page))
    after = position_after(page.after, ascending=True)
    if wanted.type_name is not None:
        rows = yield from rows_of(THINGS_OF_TYPE, scope.account, scope.region, wanted.type_name, after, page.size)
    else:
        rows = yield from rows_of(THINGS, scope.account, scope.region, after, page.size)
    return tuple([Listed(thing_of_row(row[:-1]), PageKey(row[-1])) for row in rows])


def things_in_billing_group(
    scope: Scope, name: BillingGroupName, page: PageRequest
) -> Steps[Sequence[Listed[ThingName]]]:
    """Return the names of up to ``page.size`` things of a billing group, oldest first."""
    after = position_after(page.after, ascending=True)
    rows = yield from rows_of(NAMES_IN_BILLING_GROUP, scope.account, scope.region, name, after, page.size)
    return tuple([Listed(ThingName(name), PageKey(position)) for name, position in rows])


def _things_with(
    scope: Scope, attribute: AttributeFilter, type_name: ThingTypeName | None, page: PageRequest
) -> Steps[Sequence[Listed[Thing]]]:
    value = attribute.value if type_name is None else _typed(type_name, attribute.value)
    after = position_after(page.after, ascending=True)
    if attribute.is_prefix:
        sql = FROM_PREFIX if type_name is None else FROM_PREFIX_OF_TYPE
        after_value = value if page.after is None else max(value, page.after.text)
        place: tuple[object, ...] = (after_value, after, end_of_texts(value))
    else:
        sql = EXACTLY if type_name is None else EXACTLY_OF_TYPE
        place = (value, after)
    rows = yield from rows_of(sql, scope.account, scope.region, attribute.name, *place, page.size)
    return tuple(
        [
            Listed(
                thing_of_row((scope.account, scope.region, *row[:-2])),
                PageKey(row[-2], row[-1] if attribute.is_prefix else ""),
            )
            for row in rows
        ]
    )


def _insert_attributes(thing: Thing, position: int) -> Steps[None]:
    scope = thing.scope
    for name, value in thing.attributes.pairs:
        yield from rows_of(
            INSERT_ATTRIBUTE, scope.account, scope.region, name, value, _typed(thing.type_name, value), position
        )


def _typed(type_name: ThingTypeName | None, value: str) -> str:
    # Names of types have no slash.
    return f"{type_name or ''}/{value}"


def _columns_of_thing(thing: Thing) -> tuple[object, ...]:
    """Return the thing's columns in the order of the insertion."""
    return (
        thing.scope.account,
        thing.scope.region,
        thing.name,
        thing.thing_id,
        thing.type_name,
        thing.billing_group_name,
        column_of_attributes(thing.attributes),
        thing.version,
        column_of_time(thing.created_at),
    )


def thing_of_row(row: Row) -> Thing:
    """Return the thing of a row."""
    account, region, name, thing_id, type_name, billing_group, attributes, version, created_at = row
    return Thing(
        scope=Scope(AccountId(account), Region(region)),
        name=ThingName(name),
        thing_id=thing_id,
        created_at=time_of_column(created_at),
        type_name=None if type_name is None else ThingTypeName(type_name),
        billing_group_name=None if billing_group is None else BillingGroupName(billing_group),
        attributes=attributes_of_column(attributes),
        version=version,
    )
