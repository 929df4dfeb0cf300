"""Owns the tables of bulk registrations and of the outcomes of their lines. Independent of the database engine."""

from collections.abc import Sequence
from datetime import datetime

from thingmint.core.identifiers import AccountId, Region, Scope
from thingmint.core.paging import PageRequest
from thingmint.core.provisioning.registration_task import (
    InputFile,
    LineOutcome,
    Progress,
    RegistrationTask,
    TaskEntry,
    TaskStatus,
)
from thingmint.records.columns import column_of_time, position_after, time_of_column
from thingmint.records.statement import Row, row_of, rows_of
from thingmint.records.steps import Steps
from thingmint.records.tokens import FOR_SHARE, FOR_UPDATE, before

COLUMNS = (
    "account, region, task_id, template_body, bucket, object_key, input_size, input_stamp, role_arn, principal_arn, "
    "status, message, created_at, modified_at, input_offset, input_lines, successes, failures, results_size, "
    "errors_size"
)
_ONE_TASK = "WHERE task_id = $1 AND account = $2 AND region = $3"
# The same condition as in the index, so that the planner uses it.
_RUNNING = "status IN ('InProgress', 'Cancelling')"

TASK = f"SELECT {COLUMNS} FROM registration_task {_ONE_TASK}"  # noqa: S608  constants above

TASKS = f"SELECT task_id, position FROM registration_task WHERE {before('account', 'region', 'position')} LIMIT $4"  # noqa: S608  constants

TASKS_OF_STATUS = (
    "SELECT task_id, position FROM registration_task "  # noqa: S608  constants
    f"WHERE {before('account', 'region', 'status', 'position')} LIMIT $5"
)

# A conflict returns no row instead of an error, which would end the whole transaction on PostgreSQL.
INSERT_TASK = (
    f"INSERT INTO registration_task ({COLUMNS}, owner, leased_until) "  # noqa: S608  constants above
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, '', 0) "
    "ON CONFLICT DO NOTHING RETURNING position"
)

UPDATE_TASK = (
    "UPDATE registration_task SET status = $1, message = $2, modified_at = $3, input_offset = $4, input_lines = $5, "
    "successes = $6, failures = $7, results_size = $8, errors_size = $9 "
    "WHERE task_id = $10 AND account = $11 AND region = $12"
)

FREE_TASK = f"SELECT 1 FROM registration_task WHERE {_RUNNING} AND leased_until < $1 LIMIT 1"  # noqa: S608  as above

# The lease is compared again on the row itself. If two workers found it free, the second sees that it is taken.
TAKE_TASK = (
    "UPDATE registration_task SET owner = $1, leased_until = $2 WHERE position = "  # noqa: S608  constants above
    f"(SELECT position FROM registration_task WHERE {_RUNNING} AND leased_until < $3 ORDER BY leased_until LIMIT 1) "
    f"AND leased_until < $3 RETURNING {COLUMNS}"
)

OWN_TASK = (
    "UPDATE registration_task SET leased_until = $1 "
    "WHERE task_id = $2 AND account = $3 AND region = $4 AND owner = $5 RETURNING position"
)

OWNS_TASK = f"SELECT position FROM registration_task {_ONE_TASK} AND owner = $4"  # noqa: S608  constants above

OLD_TASKS = (
    f"SELECT {COLUMNS} FROM registration_task "  # noqa: S608  constants above
    f"WHERE created_at < $1 AND NOT {_RUNNING} ORDER BY created_at LIMIT $2"
)

DELETE_TASK = f"DELETE FROM registration_task {_ONE_TASK} RETURNING position"  # noqa: S608  constants above

OUTCOMES = f"SELECT line, succeeded, report FROM registration_outcome {_ONE_TASK} ORDER BY line"  # noqa: S608  as above

INSERT_OUTCOME = (
    "INSERT INTO registration_outcome (task_id, account, region, line, succeeded, report) "
    "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING line"
)

DELETE_OUTCOMES = f"DELETE FROM registration_outcome {_ONE_TASK}"  # noqa: S608  constants above


def registration_task(scope: Scope, task_id: str) -> Steps[RegistrationTask | None]:
    """Return the task, or None."""
    row = yield from row_of(TASK, task_id, scope.account, scope.region)
    return None if row is None else task_of_row(row)


def registration_task_for_update(scope: Scope, task_id: str) -> Steps[RegistrationTask | None]:
    """Return the task and lock it against changes until this transaction ends."""
    row = yield from row_of(TASK + FOR_UPDATE, task_id, scope.account, scope.region)
    return None if row is None else task_of_row(row)


def registration_tasks(scope: Scope, status: TaskStatus | None, page: PageRequest) -> Steps[Sequence[TaskEntry]]:
    """Return up to ``page.size`` tasks of this status, or of every status, newest first."""
    after = position_after(page.after, ascending=False)
    if status is None:
        found = yield from rows_of(TASKS, scope.account, scope.region, after, page.size)
    else:
        found = yield from rows_of(TASKS_OF_STATUS, scope.account, scope.region, status.value, after, page.size)
    return tuple([TaskEntry(task_id, position) for task_id, position in found])


def insert_registration_task(task: RegistrationTask) -> Steps[bool]:
    """Store a new task without an owner; return False if another task is running."""
    inserted = yield from row_of(INSERT_TASK, *_columns_of_task(task))
    return inserted is not None


def update_registration_task(task: RegistrationTask) -> Steps[None]:
    """Store status, message and progress of a task that this transaction has locked for update."""
    yield from rows_of(
        UPDATE_TASK,
        task.status.value,
        task.message,
        column_of_time(task.modified_at),
        *_columns_of_progress(task.progress),
        *_key(task),
    )


def has_free_registration_task(at: datetime) -> Steps[bool]:
    """Return whether there is a running task whose lease has ended."""
    row = yield from row_of(FREE_TASK, column_of_time(at))
    return row is not None


def take_registration_task(owner: str, at: datetime, until: datetime) -> Steps[RegistrationTask | None]:
    """Lease a running task whose lease has ended to the owner until a time. Return the task, or None."""
    row = yield from row_of(TAKE_TASK, owner, column_of_time(until), column_of_time(at))
    return None if row is None else task_of_row(row)


def own_registration_task(task: RegistrationTask, owner: str, until: datetime) -> Steps[bool]:
    """Extend or end the owner's lease; return whether the owner still has the task."""
    row = yield from row_of(OWN_TASK, column_of_time(until), *_key(task), owner)
    return row is not None


def owns_registration_task(task: RegistrationTask, owner: str) -> Steps[bool]:
    """Return whether the owner has the task, and lock it until this transaction ends."""
    row = yield from row_of(OWNS_TASK + FOR_SHARE, *_key(task), owner)
    return row is not None


def outcomes(task: RegistrationTask) -> Steps[Sequence[LineOutcome]]:
    """Return the outcomes that are not in the reports yet, in the order of their lines. They are few."""
    found = yield from rows_of(OUTCOMES, *_key(task))
    return tuple([LineOutcome(line, bool(succeeded), report) for line, succeeded, report in found])


def insert_outcome(task: RegistrationTask, outcome: LineOutcome) -> Steps[bool]:
    """Store the outcome of a line; return False if it is stored already."""
    row = yield from row_of(INSERT_OUTCOME, *_key(task), outcome.line, int(outcome.succeeded), outcome.report)
    return row is not None


def delete_outcomes(task: RegistrationTask) -> Steps[None]:
    """Delete the outcomes, which are in the reports now."""
    yield from rows_of(DELETE_OUTCOMES, *_key(task))


def old_registration_tasks(at: datetime, limit: int) -> Steps[Sequence[RegistrationTask]]:
    """Return up to ``limit`` ended tasks that began before this time, oldest first."""
    found = yield from rows_of(OLD_TASKS, column_of_time(at), limit)
    return tuple(map(task_of_row, found))


def delete_registration_task(task: RegistrationTask) -> Steps[bool]:
    """Delete the task; return whether it existed."""
    row = yield from row_of(DELETE_TASK, *_key(task))
    return row is not None


def _key(task: RegistrationTask) -> tuple[object, ...]:
    return task.task_id, task.scope.account, task.scope.region


def _columns_of_progress(progress: Progress) -> tuple[object, ...]:
    return (
        progress.offset,
        progress.lines,
        progress.successes,
        progress.failures,
        progress.results_size,
        progress.errors_size,
    )


def _columns_of_task(task: RegistrationTask) -> tuple[object, ...]:
    """Return the task's columns in the order of the insertion."""
    return (
        task.scope.account,
        task.scope.region,
        task.task_id,
        task.template_body,
        task.input.bucket,
        task.input.key,
        task.input.size,
        task.input.stamp,
        task.role_arn,
        task.principal_arn,
        task.status.value,
        task.message,
        column_of_time(task.created_at),
        column_of_time(task.modified_at),
        *_columns_of_progress(task.progress),
    )


def task_of_row(row: Row) -> RegistrationTask:
    """Return the task of a row."""
    account, region, task_id, template_body, bucket, key, size, stamp, role_arn, principal_arn, *rest = row
    status, message, created_at, modified_at, *progress = rest
    return RegistrationTask(
        scope=Scope(AccountId(account), Region(region)),
        task_id=task_id,
        template_body=template_body,
        input=InputFile(bucket, key, size, stamp),
        role_arn=role_arn,
        principal_arn=principal_arn,
        status=TaskStatus(status),
        message=message,
        created_at=time_of_column(created_at),
        modified_at=time_of_column(modified_at),
        progress=Progress(*progress),
    )
