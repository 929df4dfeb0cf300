"""How the statements of provisioning find their rows: by an index, and in its order, whatever the tables hold."""

from collections.abc import Iterator

import apsw
import pytest

from thingmint.records.provisioning import claims, provisioning_templates, registration_tasks
from thingmint.storage.dialect import SQLITE
from thingmint.storage.schema import migrate, migrations
from thingmint.storage.sqlite.connection import transact

LISTS = {
    provisioning_templates.TEMPLATES: "provisioning_template_list (account=? AND region=? AND position>?)",
    provisioning_templates.VERSIONS: (
        "provisioning_template_version_list (account=? AND region=? AND template_name=? AND position>?)"
    ),
    registration_tasks.TASKS: "registration_task_list (account=? AND region=? AND position<?)",
    registration_tasks.TASKS_OF_STATUS: (
        "registration_task_by_status (account=? AND region=? AND status=? AND position<?)"
    ),
    registration_tasks.OLD_TASKS: "registration_task_age (created_at<?)",
    claims.EXPIRED_OWNERSHIPS: "certificate_ownership_expiry (expires_at<?)",
}
OTHERS = [
    provisioning_templates.TEMPLATE,
    provisioning_templates.UPDATE_TEMPLATE,
    provisioning_templates.DELETE_TEMPLATE,
    provisioning_templates.DELETE_VERSIONS,
    provisioning_templates.DELETE_CLAIMS,
    provisioning_templates.VERSION,
    provisioning_templates.VERSION_COUNT,
    provisioning_templates.DELETE_VERSION,
    claims.CLAIM,
    claims.DELETE_EXPIRED_CLAIMS,
    claims.DELETE_OWNERSHIP,
    claims.TAKE_OWNERSHIP,
    claims.NOTE_ANSWER,
    claims.OWNERSHIP_USE,
    registration_tasks.TASK,
    registration_tasks.UPDATE_TASK,
    registration_tasks.OWN_TASK,
    registration_tasks.OWNS_TASK,
    registration_tasks.DELETE_TASK,
    registration_tasks.OUTCOMES,
    registration_tasks.DELETE_OUTCOMES,
]


@pytest.fixture(scope="module")
def connection() -> Iterator[apsw.Connection]:
    """An empty database."""
    opened = apsw.Connection(":memory:")
    transact(opened, "BEGIN", lambda: migrate(SQLITE, migrations()))
    yield opened
    opened.close()


def plan_of(connection: apsw.Connection, statement: str) -> list[str]:
    parameters = {f"{number}": 1 for number in range(1, 30)}
    rows = connection.execute(f"EXPLAIN QUERY PLAN {SQLITE.translate(statement)}", parameters).fetchall()
    return [str(step[3]) for step in rows]


@pytest.mark.parametrize("statement", LISTS, ids=LISTS.get)
def test_a_list_is_read_in_the_order_of_its_index(connection: apsw.Connection, statement: str) -> None:
    (step,) = plan_of(connection, statement)
    assert step.replace("COVERING ", "").endswith(f"USING INDEX {LISTS[statement]}")


@pytest.mark.parametrize("statement", OTHERS)
def test_a_row_is_found_by_an_index(connection: apsw.Connection, statement: str) -> None:
    steps = plan_of(connection, statement)
    assert any(step.startswith("SEARCH") for step in steps)
    assert not any(step.startswith("SCAN") or "TEMP B-TREE" in step for step in steps)


@pytest.mark.parametrize("statement", [registration_tasks.FREE_TASK, registration_tasks.TAKE_TASK])
def test_only_tasks_that_run_are_looked_through_for_a_free_one(connection: apsw.Connection, statement: str) -> None:
    steps = [step for step in plan_of(connection, statement) if step.startswith("SCAN")]
    assert steps == ["SCAN registration_task USING INDEX registration_task_running"]
