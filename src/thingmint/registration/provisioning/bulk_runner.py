"""Owns the background worker of bulk registrations. The process that has a task's lease runs the task.

A line's device and outcome are stored in one transaction. A batch of outcomes is appended to the reports, which are
durable before the progress that counts them. After a crash between the two, the same text is written again at the same
place. So a task that continues after a crash, on any node, registers and reports each line exactly once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from thingmint.core.caller import Caller, Principal
from thingmint.core.errors import ServiceUnavailable, ThingmintError, Throttled
from thingmint.core.provisioning.plan import plan
from thingmint.core.provisioning.registration_task import (
    RUNNING,
    InputLine,
    LineOutcome,
    Progress,
    RegistrationTask,
    ReportType,
    TaskBroken,
    TaskStatus,
    advanced,
    failed,
    failure,
    line_parameters,
    report_lines,
    success,
)
from thingmint.core.provisioning.template import TemplateKind
from thingmint.issuance.encoding.pem import sent_pem
from thingmint.records.provisioning import registration_tasks as registration_task_table
from thingmint.records.steps import Steps
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.mutation import Change, change
from thingmint.registration.provisioning.provisioning import parsed_template, prepared_run, run_steps

# Long enough for a batch on a slow database, short enough for an operator who waits after a crash.
LEASE = timedelta(seconds=15)
POLL_SECONDS = 1.0
# Only a few at once, because the callers of the service share its processor and its database with a task.
_CONCURRENCY = 4
_BATCH = 40
_MOMENT = timedelta(milliseconds=1)
_ENDED = datetime(1970, 1, 1, tzinfo=UTC)


class TaskTaken(Exception):
    """Another process has the task now, so this process must not write its results."""


class BulkRunner(Struct, frozen=True):
    """Runs tasks by turns, one batch of each. ``owner`` is unique among processes."""

    authority: RegistrationAuthority
    owner: str
    lease: timedelta = LEASE
    poll_seconds: float = POLL_SECONDS

    async def run(self) -> None:
        """Find and run tasks until cancelled. A task that is interrupted so is free for other processes at once."""
        while True:
            try:
                has_worked = await self.work()
            except (ServiceUnavailable, Throttled):
                # If the database fails, the task's lease ends, and a process takes the task again later.
                has_worked = False
            if not has_worked:
                await asyncio.sleep(self.poll_seconds)

    async def work(self) -> bool:
        """Run a task without an owner; return whether there was one.

        Returns when the task ends, when another process takes it, or when another task waits. Raises ServiceUnavailable
        if this node's clock cannot be trusted.
        """
        self.authority.require_right_clock()
        task = await self._take()
        if task is None:
            return False
        try:
            while task.status in RUNNING:
                task = await self._batch(task)
                if task.status in RUNNING and await self._another_waits():
                    # The task is queued after all waiting tasks, because the task whose lease ended first is taken
                    # first.
                    await self._let_go(task, self.authority.clock.now() - _MOMENT)
                    break
        except TaskTaken:
            pass
        except TaskBroken as error:
            await self._fail(task, error.message)
        except asyncio.CancelledError:
            # If the database fails, the task is free when its lease ends. This run ends now in any case.
            with contextlib.suppress(Exception):
                await self._let_go(task, _ENDED)
            raise
        except (ServiceUnavailable, Throttled):
            raise
        except Exception:
            # If the database fails, the task is taken again when its lease ends. The reported error is this one.
            with contextlib.suppress(ServiceUnavailable, Throttled):
                await self._fail(task, "An internal failure occurred")
            raise
        return True

    async def _another_waits(self) -> bool:
        now = self.authority.clock.now()
        return await self.authority.store.read(lambda: registration_task_table.has_free_registration_task(now))

    async def _take(self) -> RegistrationTask | None:
        store, now = self.authority.store, self.authority.clock.now()
        # A node that cannot reach the files leaves all tasks to other nodes.
        if not self.authority.files.are_reachable or not await self._another_waits():
            return None
        until = now + self.lease
        return await store.write(lambda: registration_task_table.take_registration_task(self.owner, now, until))

    async def _batch(self, task: RegistrationTask) -> RegistrationTask:
        progress, lines = task.progress, list[InputLine]()
        if task.status is TaskStatus.IN_PROGRESS:
            read = self.authority.files.lines
            lines = list(await read(task.scope.account, task.input, progress.offset, progress.lines + 1, _BATCH))
            await self._register(task, lines)
        await self._renew(task)
        outcomes = await self.authority.store.read(lambda: registration_task_table.outcomes(task))
        return await self._checkpoint(task, lines, outcomes)

    async def _register(self, task: RegistrationTask, lines: Sequence[InputLine]) -> None:
        known = {each.line for each in await self.authority.store.read(lambda: registration_task_table.outcomes(task))}
        room = asyncio.Semaphore(_CONCURRENCY)

        async def register(line: InputLine) -> None:
            async with room:
                await self._line(task, line)

        open_lines = [line for line in lines if line.number not in known and not line.is_blank]
        ended = await asyncio.gather(*map(register, open_lines), return_exceptions=True)
        for error in ended:
            if error is not None:
                raise error

    async def _line(self, task: RegistrationTask, line: InputLine) -> None:
        caller = _caller(task)
        try:
            template = parsed_template(task.template_body, TemplateKind.REGISTER_THING)
            planned = plan(template, line_parameters(line))
            run = await prepared_run(self.authority, caller, planned, task.role_arn)

            def program() -> Steps[Change[None]]:
                yield from self._require_owner(task)
                done = yield from run_steps(run)
                certificate = done.result.certificate
                pem = None if certificate is None else sent_pem(certificate)
                yield from _record(task, success(line, pem, done.result.resource_arns))
                return Change(None, done.entries, done.touched, done.events)

            await change(self.authority, program)
        except (ServiceUnavailable, Throttled):
            raise
        except ThingmintError as error:
            await self._record_failure(task, failure(line, error.message))

    async def _record_failure(self, task: RegistrationTask, outcome: LineOutcome) -> None:
        def program() -> Steps[None]:
            yield from self._require_owner(task)
            yield from _record(task, outcome)

        await self.authority.store.write(program)

    async def _renew(self, task: RegistrationTask) -> None:
        # Transactions check that this process still has the task, but files cannot. So the reports are written at
        # the beginning of a lease, during which no other process can take the task.
        until = self.authority.clock.now() + self.lease
        if not await self.authority.store.write(
            lambda: registration_task_table.own_registration_task(task, self.owner, until)
        ):
            raise TaskTaken

    async def _checkpoint(
        self, task: RegistrationTask, lines: Sequence[InputLine], outcomes: Sequence[LineOutcome]
    ) -> RegistrationTask:
        before, files = task.progress, self.authority.files
        results, errors = (report_lines(outcomes, kind) for kind in (ReportType.RESULTS, ReportType.ERRORS))
        successes = sum(each.succeeded for each in outcomes)
        end = task.input.size if task.status is TaskStatus.IN_PROGRESS else before.offset
        progress = Progress(
            offset=lines[-1].end if lines else end,
            lines=before.lines + len(lines),
            successes=before.successes + successes,
            failures=before.failures + len(outcomes) - successes,
            results_size=await files.append(task.task_id, ReportType.RESULTS, before.results_size, results),
            errors_size=await files.append(task.task_id, ReportType.ERRORS, before.errors_size, errors),
        )
        now = self.authority.clock.now()

        def program() -> Steps[RegistrationTask]:
            # The status may have changed since the batch began: a caller may have stopped the task.
            stored = yield from registration_task_table.registration_task_for_update(task.scope, task.task_id)
            if stored is None or not (
                yield from registration_task_table.own_registration_task(task, self.owner, now + self.lease)
            ):
                raise TaskTaken
            after = advanced(stored, progress, now)
            yield from registration_task_table.update_registration_task(after)
            yield from registration_task_table.delete_outcomes(after)
            return after

        return await self.authority.store.write(program)

    def _require_owner(self, task: RegistrationTask) -> Steps[None]:
        if not (yield from registration_task_table.owns_registration_task(task, self.owner)):
            raise TaskTaken

    async def _fail(self, task: RegistrationTask, message: str) -> None:
        now = self.authority.clock.now()

        def program() -> Steps[None]:
            stored = yield from registration_task_table.registration_task_for_update(task.scope, task.task_id)
            if stored is not None and (yield from registration_task_table.owns_registration_task(task, self.owner)):
                outcomes = yield from registration_task_table.outcomes(stored)
                yield from registration_task_table.update_registration_task(
                    failed(_counted(stored, outcomes), message, now)
                )
                yield from registration_task_table.delete_outcomes(stored)

        await self.authority.store.write(program)

    async def _let_go(self, task: RegistrationTask, at: datetime) -> None:
        await self.authority.store.write(lambda: registration_task_table.own_registration_task(task, self.owner, at))


def _record(task: RegistrationTask, outcome: LineOutcome) -> Steps[None]:
    if not (yield from registration_task_table.insert_outcome(task, outcome)):
        raise TaskTaken


def _counted(task: RegistrationTask, outcomes: Sequence[LineOutcome]) -> RegistrationTask:
    successes = sum(each.succeeded for each in outcomes)
    progress = replace(
        task.progress,
        successes=task.progress.successes + successes,
        failures=task.progress.failures + len(outcomes) - successes,
    )
    return replace(task, progress=progress)


def _caller(task: RegistrationTask) -> Caller:
    principal = Principal(task.principal_arn, ())
    return Caller(task.scope.account, task.scope.region, principal, task.task_id, "")
