"""Owns the operations on bulk registrations: start, status, stop. `bulk_runner` runs them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from thingmint.core.audit_entry import audit_entry
from thingmint.core.caller import Caller
from thingmint.core.errors import InvalidRequest, ResourceNotFound, TaskExists
from thingmint.core.paging import Page, PageRequest
from thingmint.core.provisioning.registration_task import (
    KEPT_FOR,
    LineOutcome,
    RegistrationTask,
    ReportType,
    TaskEntry,
    TaskStatus,
    stopped,
)
from thingmint.core.provisioning.template import TemplateKind
from thingmint.records.paging import read_page
from thingmint.records.provisioning import registration_tasks as registration_task_table
from thingmint.records.steps import Steps
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.mutation import Change, change
from thingmint.registration.provisioning.provisioning import parsed_template


async def start(
    authority: RegistrationAuthority, caller: Caller, template_body: str, bucket: str, key: str, role_arn: str
) -> RegistrationTask:
    """Start the registration of the devices of a file, one on each line, and return the task.

    Raises InvalidRequest for an invalid template or an unreadable file, TaskExists while another task runs.
    """
    parsed_template(template_body, TemplateKind.REGISTER_THING)
    file = await authority.files.find(caller.account, bucket, key)
    now = authority.clock.now()
    task = RegistrationTask(
        scope=caller.scope,
        task_id=authority.new_generation_id(),
        template_body=template_body,
        input=file,
        role_arn=role_arn,
        principal_arn=caller.principal.arn,
        status=TaskStatus.IN_PROGRESS,
        message=None,
        created_at=now,
        modified_at=now,
    )
    entry = audit_entry(caller, now, "StartThingRegistrationTask", task.task_id, bucket=bucket, key=key)

    def program() -> Steps[Change[RegistrationTask]]:
        if not (yield from registration_task_table.insert_registration_task(task)):
            raise TaskExists("A thing registration task is in progress already")
        return Change(task, (entry,))

    return await change(authority, program)


async def stop(authority: RegistrationAuthority, caller: Caller, task_id: str) -> None:
    """Stop the task after the lines in progress; do nothing if it is stopping or stopped already.

    Raises ResourceNotFound, InvalidRequest for a task that has ended.
    """
    now = authority.clock.now()

    def program() -> Steps[Change[None]]:
        before = _found(
            (yield from registration_task_table.registration_task_for_update(caller.scope, task_id)), task_id
        )
        after = stopped(before, now)
        if after is before:
            return Change(None, ())
        yield from registration_task_table.update_registration_task(after)
        return Change(None, (audit_entry(caller, now, "StopThingRegistrationTask", task_id),))

    await change(authority, program)


async def describe(
    authority: RegistrationAuthority, caller: Caller, task_id: str
) -> tuple[RegistrationTask, Sequence[LineOutcome]]:
    """Return the task and the outcomes that its progress does not count yet; raise ResourceNotFound."""

    def program() -> Steps[tuple[RegistrationTask, Sequence[LineOutcome]]]:
        task = _found((yield from registration_task_table.registration_task(caller.scope, task_id)), task_id)
        return task, (yield from registration_task_table.outcomes(task))

    return await authority.store.read(program)


async def list_tasks(
    authority: RegistrationAuthority, caller: Caller, status: TaskStatus | None, request: PageRequest
) -> Page[TaskEntry]:
    """Return a page of the account's tasks, with this status or all, newest first."""

    def program() -> Steps[Page[TaskEntry]]:
        return read_page(request, lambda page: registration_task_table.registration_tasks(caller.scope, status, page))

    return await authority.store.read(program)


async def reports(authority: RegistrationAuthority, caller: Caller, task_id: str, kind: ReportType) -> tuple[str, ...]:
    """Return the URL of the task's report, or no URL if there is nothing to report yet; raise InvalidRequest."""
    task = await authority.store.read(lambda: registration_task_table.registration_task(caller.scope, task_id))
    if task is None:
        # The model gives this operation no ResourceNotFoundException.
        raise InvalidRequest(f"The task {task_id} does not exist")
    progress = task.progress
    size = progress.results_size if kind is ReportType.RESULTS else progress.errors_size
    return (authority.files.location(task_id, kind),) if size else ()


async def sweep_tasks(authority: RegistrationAuthority, limit: int, kept_for: timedelta = KEPT_FOR) -> int:
    """Delete up to ``limit`` tasks that began longer ago than ``kept_for``, with their reports; return how many.

    A node that cannot reach the reports deletes nothing and leaves this to other nodes.
    """
    if not authority.files.are_reachable:
        return 0
    before = authority.clock.now() - kept_for
    old = await authority.store.read(lambda: registration_task_table.old_registration_tasks(before, limit))
    for task in old:
        await authority.files.delete_reports(task.task_id)
        await authority.store.write(partial(_delete, task))
    return len(old)


def _delete(task: RegistrationTask) -> Steps[bool]:
    return registration_task_table.delete_registration_task(task)


def _found(task: RegistrationTask | None, task_id: str) -> RegistrationTask:
    if task is None:
        raise ResourceNotFound(f"The task {task_id} does not exist")
    return task
