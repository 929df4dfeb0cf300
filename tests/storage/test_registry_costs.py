"""Every page of the registry's lists costs the same, wherever it starts, on both engines.

SQLite counts the steps of its machine, PostgreSQL the rows that its plan, kept for all values, takes from tables and
indexes.
"""

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import apsw
import asyncpg
import pytest
from tests.support.databases.stores import SCOPE
from tests.support.registration.things import group_path

from thingmint.core.identifiers import BillingGroupName, ThingName, ThingTypeName
from thingmint.core.paging import PageKey, PageRequest
from thingmint.core.registry.thing_filter import AttributeFilter, ThingFilter
from thingmint.records.registry import billing_groups as billing_group_table
from thingmint.records.registry import thing_group_members as thing_group_member_table
from thingmint.records.registry import thing_groups as thing_group_table
from thingmint.records.registry import thing_principals as thing_principal_table
from thingmint.records.registry import thing_types as thing_type_table
from thingmint.records.registry import things as thing_table
from thingmint.records.registry.thing_groups import GroupFilter
from thingmint.records.statement import Row, Statement
from thingmint.records.steps import Steps
from thingmint.registration.kernel.ports import Store
from thingmint.storage.dialect import POSTGRESQL, SQLITE

ROWS, PAGE = 3000, 20
NUMBERS = f"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})"
OURS = "'123456789012', 'eu-central-1'"
NUMBER = "substr(CAST(10000 + i AS TEXT), 2)"
VALUE = "CASE WHEN position % 3 = 0 THEN 'b1' ELSE 'b2' END"
# Attributes have two values, types are two, and every row belongs to the one group, bill or principal that is listed.
FILL = (
    (
        "INSERT INTO thing (account, region, name, thing_id, type_name, billing_group, attributes, version, "
        "created_at) "
        f"{NUMBERS} SELECT {OURS}, 'thing-' || {NUMBER}, 'id', CASE WHEN i % 2 = 0 THEN 'even' ELSE 'odd' END, "
        "'ward', '{}', 1, 0 FROM n"
    ),
    (
        "INSERT INTO thing_attribute (account, region, name, value, typed_value, position) "
        f"SELECT account, region, 'batch', {VALUE}, type_name || '/' || {VALUE}, position FROM thing"
    ),
    (
        "INSERT INTO thing_group (account, region, name, group_id, parent_name, path, description, attributes, "
        f"version, created_at) {NUMBERS} SELECT {OURS}, 'room-' || {NUMBER}, 'id', 'house', "
        f"'house/room-' || {NUMBER} || '/', '', '{{}}', 1, 0 FROM n"
    ),
    (
        "INSERT INTO thing_group_member (account, region, group_name, path, thing_name) "
        f"{NUMBERS} SELECT {OURS}, 'house', CASE WHEN i % 2 = 0 THEN 'house/' ELSE 'house/room/' END, "
        f"'thing-' || {NUMBER} FROM n"
    ),
    (
        "INSERT INTO billing_group (account, region, name, group_id, description, version, created_at) "
        f"{NUMBERS} SELECT {OURS}, 'bill-' || {NUMBER}, 'id', '', 1, 0 FROM n"
    ),
    (
        "INSERT INTO thing_principal (account, region, thing_name, principal, principal_type) "
        f"{NUMBERS} SELECT {OURS}, 'thing-0001', 'principal-' || {NUMBER}, 'NON_EXCLUSIVE_THING' FROM n"
    ),
    (
        "INSERT INTO thing_principal (account, region, thing_name, principal, principal_type) "
        f"{NUMBERS} SELECT {OURS}, 'thing-' || {NUMBER}, 'principal', 'NON_EXCLUSIVE_THING' FROM n"
    ),
    (
        "INSERT INTO thing_type (account, region, name, type_id, properties, created_at) "
        f"{NUMBERS} SELECT {OURS}, 'type-' || {NUMBER}, 'id', '[\"\",[],[]]', 0 FROM n"
    ),
)

EVEN = ThingTypeName("even")
EXACTLY, PREFIX = AttributeFilter("batch", "b2"), AttributeFilter("batch", "b", is_prefix=True)
Entries: TypeAlias = Callable[[PageRequest], Steps[Sequence[object]]]

DEEP = PageKey(ROWS - 200)
LISTS: dict[str, tuple[Entries, PageKey]] = {
    "things": (lambda page: thing_table.things(SCOPE, ThingFilter(), page), DEEP),
    "type": (lambda page: thing_table.things(SCOPE, ThingFilter(EVEN), page), DEEP),
    "attribute": (lambda page: thing_table.things(SCOPE, ThingFilter(None, EXACTLY), page), DEEP),
    "attribute of type": (lambda page: thing_table.things(SCOPE, ThingFilter(EVEN, EXACTLY), page), DEEP),
    "prefix": (lambda page: thing_table.things(SCOPE, ThingFilter(None, PREFIX), page), PageKey(ROWS - 200, "b2")),
    "prefix of type": (
        lambda page: thing_table.things(SCOPE, ThingFilter(EVEN, PREFIX), page),
        PageKey(ROWS - 200, "even/b2"),
    ),
    "bill": (lambda page: thing_table.things_in_billing_group(SCOPE, BillingGroupName("ward"), page), DEEP),
    "types": (lambda page: thing_type_table.thing_types(SCOPE, None, page), DEEP),
    "bills": (lambda page: billing_group_table.billing_groups(SCOPE, "bill", page), PageKey(0, "bill-2800")),
    "groups": (lambda page: thing_group_table.thing_groups(SCOPE, GroupFilter("room"), page), PageKey(0, "room-2800")),
    "children": (
        lambda page: thing_group_table.thing_groups(SCOPE, GroupFilter("room", group_path("house")), page),
        PageKey(0, "room-2800"),
    ),
    "descendants": (
        lambda page: thing_group_table.thing_groups(
            SCOPE, GroupFilter("", group_path("house"), is_recursive=True), page
        ),
        PageKey(0, "house/room-2800/"),
    ),
    "members": (
        lambda page: thing_group_member_table.things_in_group(SCOPE, group_path("house"), page, recursive=False),
        DEEP,
    ),
    "members below": (
        lambda page: thing_group_member_table.things_in_group(SCOPE, group_path("house"), page, recursive=True),
        PageKey(ROWS - 200, "house/room/"),
    ),
    "principals": (lambda page: thing_principal_table.principals_of_thing(SCOPE, ThingName("thing-0001"), page), DEEP),
    "things of principal": (
        lambda page: thing_principal_table.things_of_principal(SCOPE, "principal", page),
        PageKey(2 * ROWS - 200),
    ),
}


class SQLiteEngine:
    """Counts the steps of SQLite's machine."""

    most_for_a_page = 120 * PAGE

    def __init__(self, path: Path) -> None:
        self._connection = apsw.Connection(str(path))

    async def fill(self) -> None:
        """Store the rows."""
        for sql in FILL:
            self._connection.execute(sql)

    async def rows_and_cost(self, statement: Statement) -> tuple[Sequence[Row], int]:
        """Return the statement's rows, and after how many steps they were there."""
        steps = 0

        def count() -> bool:
            nonlocal steps
            steps += 1
            return False

        self._connection.set_progress_handler(count, 1)
        rows = self._connection.execute(SQLITE.translate(statement.sql), statement.parameters).fetchall()
        self._connection.set_progress_handler(None)
        return rows, steps

    async def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


class PostgreSQLEngine:
    """Adds up the rows that a generic plan takes from tables and indexes, kept or not."""

    most_for_a_page = 10 * PAGE

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection

    async def fill(self) -> None:
        """Store the rows, and let the planner know of them as the server does by itself."""
        for sql in (*FILL, "ANALYZE", "SET plan_cache_mode = force_generic_plan"):
            await self._connection.execute(sql)

    async def rows_and_cost(self, statement: Statement) -> tuple[Sequence[Row], int]:
        """Return the statement's rows, and how many rows the scans of its plan took for them."""
        values = ", ".join(f"'{value}'" for value in statement.parameters)
        await self._connection.execute(f"PREPARE page AS {POSTGRESQL.translate(statement.sql)}")
        rows = [tuple(row) for row in await self._connection.fetch(f"EXECUTE page ({values})")]
        explained = await self._connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE page ({values})")
        await self._connection.execute("DEALLOCATE page")
        return rows, sum(_taken(node) for node in _nodes(json.loads(explained)[0]["Plan"]))

    async def close(self) -> None:
        """Let go of the server."""
        await self._connection.close()


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)


def _taken(node: Mapping[str, Any]) -> int:
    if "Scan" not in node["Node Type"]:
        return 0
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return int((node["Actual Rows"] + removed) * node["Actual Loops"])


@pytest.fixture
async def engine(
    store: Store, database_url: str | None, tmp_path: Path
) -> AsyncIterator[SQLiteEngine | PostgreSQLEngine]:
    """The store's database, filled, on a connection of its own."""
    await store.check()
    made = (
        SQLiteEngine(tmp_path / "thingmint.sqlite")
        if database_url is None
        else PostgreSQLEngine(await asyncpg.connect(database_url, statement_cache_size=0))
    )
    await made.fill()
    yield made
    await made.close()


async def test_a_page_costs_the_same_wherever_it_starts(engine: SQLiteEngine | PostgreSQLEngine) -> None:
    costs: dict[str, tuple[int, int]] = {}
    for name, (entries, deep) in LISTS.items():
        first, last = [
            await cost_of(engine, entries(PageRequest(PAGE, after, ascending=True))) for after in (None, deep)
        ]
        costs[name] = (first, last)

    dear = {
        name: (first, last)
        for name, (first, last) in costs.items()
        if max(first, last) > engine.most_for_a_page or last > first + 2 * PAGE
    }
    assert dear == {}


async def cost_of(engine: SQLiteEngine | PostgreSQLEngine, steps: Steps[Sequence[object]]) -> int:
    """Return what the statements of a list cost together, and see that they found a whole page."""
    total, found, statement = 0, None, next(steps)
    while found is None:
        assert isinstance(statement, Statement)
        rows, cost = await engine.rows_and_cost(statement)
        total += cost
        try:
            statement = steps.send(rows)
        except StopIteration as finished:
            found = finished.value
    assert len(found) == PAGE
    return total
