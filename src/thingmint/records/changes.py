"""Owns the table of what changed for devices; knows no engine but by its dialect."""

from collections.abc import Sequence

from thingmint.records.dialect import Dialect
from thingmint.records.statement import rows_of
from thingmint.records.steps import Steps
from thingmint.registration.verbs.changes import ChangeVerbs


class ChangeTable(ChangeVerbs):
    """The verbs of changes."""

    dialect: Dialect

    def note_change(self, resource: str) -> Steps[None]:
        """Note that the resource changes with this transaction; others that note the same resource wait for its end."""
        yield from rows_of(
            f"INSERT INTO resource_change (resource, stamp) VALUES ($1, {self.dialect.change_stamp}) "  # noqa: S608  a constant of the dialect
            "ON CONFLICT (resource) DO UPDATE SET stamp = excluded.stamp",
            resource,
        )

    def changes_from(self, stamp: int, limit: int) -> Steps[tuple[int, Sequence[str]]]:
        """Return the stamp to ask from next, and up to ``limit`` resources that may have changed since this one."""
        found = yield from rows_of(
            f"SELECT {self.dialect.change_horizon}, changed.resource "  # noqa: S608  constants of the dialect
            "FROM (SELECT 1 AS one) AS always LEFT JOIN "
            "(SELECT resource FROM resource_change "
            f"WHERE stamp >= $1 AND stamp < {self.dialect.change_ceiling} ORDER BY stamp LIMIT $2) AS changed ON 1 = 1",
            stamp,
            limit,
        )
        return found[0][0], [resource for _, resource in found if resource is not None]
