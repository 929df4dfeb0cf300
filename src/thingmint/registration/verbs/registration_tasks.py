"""Owns what a transaction does with bulk registrations and the outcomes of their lines; knows no SQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from thingmint.core.identifiers import Scope
from thingmint.core.provisioning.registration_task import Outcome, RegistrationTask, TaskEntry, TaskStatus
from thingmint.records.paging import PageRequest
from thingmint.records.steps import Steps


class RegistrationTaskVerbs(Protocol):
    """Reads see the transaction's own writes."""

    def registration_task(self, scope: Scope, task_id: str) -> Steps[RegistrationTask | None]:
        """Return the task, or None."""
        ...

    def registration_task_for_update(self, scope: Scope, task_id: str) -> Steps[RegistrationTask | None]:
        """Return the task and keep others from changing it until this transaction ends."""
        ...

    def registration_tasks(
        self, scope: Scope, status: TaskStatus | None, page: PageRequest
    ) -> Steps[Sequence[TaskEntry]]:
        """Return up to ``page.size`` tasks, of one status or all, newest first."""
        ...

    def insert_registration_task(self, task: RegistrationTask) -> Steps[bool]:
        """Store a new task that nobody owns; say whether there was none running."""
        ...

    def update_registration_task(self, task: RegistrationTask) -> Steps[None]:
        """Store status, message and progress of a task that this transaction holds for update."""
        ...

    def has_free_registration_task(self, at: datetime) -> Steps[bool]:
        """Say whether a task runs whose lease has ended."""
        ...

    def take_registration_task(self, owner: str, at: datetime, until: datetime) -> Steps[RegistrationTask | None]:
        """Make one of the tasks that run, and whose lease has ended, the owner's until then; return it, or None."""
        ...

    def own_registration_task(self, task: RegistrationTask, owner: str, until: datetime) -> Steps[bool]:
        """Extend the owner's lease, or end it; say whether the task is the owner's still."""
        ...

    def owns_registration_task(self, task: RegistrationTask, owner: str) -> Steps[bool]:
        """Say whether the task is the owner's, and keep it so until this transaction ends."""
        ...

    def outcomes(self, task: RegistrationTask) -> Steps[Sequence[Outcome]]:
        """Return the outcomes that are not in the reports yet, in the order of their lines; they are few."""
        ...

    def insert_outcome(self, task: RegistrationTask, outcome: Outcome) -> Steps[bool]:
        """Store what came of a line; say whether that was not known yet."""
        ...

    def delete_outcomes(self, task: RegistrationTask) -> Steps[None]:
        """Forget the outcomes that are in the reports now."""
        ...

    def old_registration_tasks(self, at: datetime, limit: int) -> Steps[Sequence[RegistrationTask]]:
        """Return up to ``limit`` tasks that began before this time and run no more, oldest first."""
        ...

    def delete_registration_task(self, task: RegistrationTask) -> Steps[bool]:
        """Delete the task; say whether it existed."""
        ...
