"""Owns the table of billing groups. The rows of things name their billing group. Independent of the database engine."""

from collections.abc import Sequence

from thingmint.core.identifiers import AccountId, BillingGroupName, Region, Scope
from thingmint.core.paging import Listed, PageKey, PageRequest
from thingmint.core.registry.thing_group import BillingGroup
from thingmint.records.columns import column_of_time, end_of_texts, first_text, one_named, time_of_column
from thingmint.records.statement import Row, row_of, rows_of
from thingmint.records.steps import Steps
from thingmint.records.tokens import FOR_KEY_SHARE, FOR_UPDATE

COLUMNS = "account, region, name, group_id, description, version, created_at"

BILLING_GROUP = f"SELECT {COLUMNS} FROM billing_group {one_named(1)}"  # noqa: S608  constants above

INSERT_BILLING_GROUP = (
    f"INSERT INTO billing_group ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7) "  # noqa: S608  constants above
    "ON CONFLICT DO NOTHING RETURNING position"
)

UPDATE_BILLING_GROUP = f"UPDATE billing_group SET description = $1, version = $2 {one_named(3)}"  # noqa: S608  as above

DELETE_BILLING_GROUP = f"DELETE FROM billing_group {one_named(1)}"  # noqa: S608  constants above

BILLING_GROUPS = (
    "SELECT name FROM billing_group WHERE account = $1 AND region = $2 "
    "AND name >= $3 AND name < $4 ORDER BY name LIMIT $5"
)


def billing_group(scope: Scope, name: BillingGroupName) -> Steps[BillingGroup | None]:
    """Return the billing group, or None."""
    return (yield from _billing_group(BILLING_GROUP, scope, name))


def billing_group_for_share(scope: Scope, name: BillingGroupName) -> Steps[BillingGroup | None]:
    """Return the billing group and lock it against changes until this transaction ends (a shared lock)."""
    return (yield from _billing_group(BILLING_GROUP + FOR_KEY_SHARE, scope, name))


def billing_group_for_update(scope: Scope, name: BillingGroupName) -> Steps[BillingGroup | None]:
    """Return the billing group and lock it against changes and new members until this transaction ends."""
    return (yield from _billing_group(BILLING_GROUP + FOR_UPDATE, scope, name))


def insert_billing_group(group: BillingGroup) -> Steps[BillingGroup | None]:
    """Store a new group. If its name exists, change nothing and return the existing group, locked for update."""
    while True:
        if (yield from row_of(INSERT_BILLING_GROUP, *_columns_of_billing_group(group))) is not None:
            return None
        present = yield from billing_group_for_update(group.scope, group.name)
        # None means that it was deleted between the two statements, so its name is free again.
        if present is not None:
            return present


def update_billing_group(group: BillingGroup) -> Steps[None]:
    """Store description and version of a group that this transaction has locked for update."""
    scope = group.scope
    yield from rows_of(UPDATE_BILLING_GROUP, group.description, group.version, group.name, scope.account, scope.region)


def delete_billing_group(group: BillingGroup) -> Steps[None]:
    """Delete a group that this transaction has locked for update."""
    yield from rows_of(DELETE_BILLING_GROUP, group.name, group.scope.account, group.scope.region)


def billing_groups(scope: Scope, prefix: str, page: PageRequest) -> Steps[Sequence[Listed[BillingGroupName]]]:
    """Return up to ``page.size`` names that start with the prefix, in order."""
    names = (first_text(prefix, page.after), end_of_texts(prefix))
    rows = yield from rows_of(BILLING_GROUPS, scope.account, scope.region, *names, page.size)
    return tuple([Listed(BillingGroupName(name), PageKey(0, name)) for (name,) in rows])


def _billing_group(sql: str, scope: Scope, name: BillingGroupName) -> Steps[BillingGroup | None]:
    row = yield from row_of(sql, name, scope.account, scope.region)
    return None if row is None else billing_group_of_row(row)


def _columns_of_billing_group(group: BillingGroup) -> tuple[object, ...]:
    """Return the group's columns in the order of the insertion."""
    return (
        group.scope.account,
        group.scope.region,
        group.name,
        group.group_id,
        group.description,
        group.version,
        column_of_time(group.created_at),
    )


def billing_group_of_row(row: Row) -> BillingGroup:
    """Return the billing group of a row."""
    account, region, name, group_id, description, version, created_at = row
    return BillingGroup(
        scope=Scope(AccountId(account), Region(region)),
        name=BillingGroupName(name),
        group_id=group_id,
        created_at=time_of_column(created_at),
        description=description,
        version=version,
    )
