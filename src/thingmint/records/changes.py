"""Owns the table of what changed for devices; knows no engine."""

from collections.abc import Sequence

from thingmint.records.statement import rows_of
from thingmint.records.steps import Steps
from thingmint.records.tokens import CHANGE_CEILING, CHANGE_HORIZON, CHANGE_STAMP

NOTE_CHANGE = (
    f"INSERT INTO resource_change (resource, stamp) VALUES ($1, {CHANGE_STAMP}) "  # noqa: S608  a token
    "ON CONFLICT (resource) DO UPDATE SET stamp = excluded.stamp"
)

# One row at least, for the horizon.
CHANGES_FROM = (
    f"SELECT {CHANGE_HORIZON}, changed.resource "  # noqa: S608  tokens
    "FROM (SELECT 1 AS one) AS always LEFT JOIN "
    "(SELECT resource FROM resource_change "
    f"WHERE stamp >= $1 AND stamp < {CHANGE_CEILING} ORDER BY stamp LIMIT $2) AS changed ON 1 = 1"
)


def note_change(resource: str) -> Steps[None]:
    """Note that the resource changes with this transaction; others that note the same resource wait for its end."""
    yield from rows_of(NOTE_CHANGE, resource)


def changes_from(stamp: int, limit: int) -> Steps[tuple[int, Sequence[str]]]:
    """Return the stamp to ask from next, and up to ``limit`` resources that may have changed since this one."""
    found = yield from rows_of(CHANGES_FROM, stamp, limit)
    return found[0][0], [resource for _, resource in found if resource is not None]
