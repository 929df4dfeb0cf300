"""Owns the ports of the registration authority: store, keys, clock, random numbers, hooks, files and events."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, TypeVar

from thingmint.core.audit_entry import AuditEntry
from thingmint.core.hooks import Question
from thingmint.core.identifiers import AccountId, SerialNumber
from thingmint.core.provisioning.registration_task import InputFile, InputLine, ReportType
from thingmint.core.provisioning.stored_template import PreProvisioningHook
from thingmint.core.registry.registry_event import RegistryEvent
from thingmint.issuance.keys.key_pairs import KeyPair
from thingmint.records.steps import Program, Steps

T = TypeVar("T")


class Store(Protocol):
    """Runs programs on the database; raises ServiceUnavailable if that fails."""

    async def read(self, program: Program[T]) -> T:
        """Run a read-only program."""
        ...

    async def write(self, program: Program[T]) -> T:
        """Run a program in one transaction and return its result once it is durable."""
        ...

    async def check(self) -> None:
        """Raise ServiceUnavailable unless the database answers and is writable."""
        ...

    async def close(self) -> None:
        """Finish queued programs, then close the database."""
        ...


class KeySource(Protocol):
    """A source of key pairs. Each is returned only once."""

    async def take(self) -> KeyPair:
        """Return an unused key pair; raise Throttled if too many callers wait, ServiceUnavailable if there is none."""
        ...


class EventSink(Protocol):
    """Receives audit entries and events after the commit. Its methods must not fail or wait."""

    def recorded(self, entry: AuditEntry) -> None:
        """Receive the audit entry of a committed change."""
        ...

    def happened(self, event: RegistryEvent) -> None:
        """Publish an enabled event of a committed change to the account."""
        ...

    def touched(self) -> None:
        """Hear that a committed change decides what devices may do, so that `kernel.changes` has new resources."""
        ...


class EventOutbox(Protocol):
    """Stores events together with their change, so that every node publishes them once even if this node ends."""

    def keep(self, events: Sequence[RegistryEvent]) -> Steps[bool]:
        """Store the events in the transaction of their change; return False if `EventSink.happened` publishes them."""
        ...


class NoOutbox:
    """Stores nothing. It is for a single node, whose listeners end together with it."""

    def keep(self, events: Sequence[RegistryEvent]) -> Steps[bool]:
        """Return False."""
        del events
        yield from ()
        return False


class SecretSealer(Protocol):
    """Encrypts secrets that are stored and must be decrypted later."""

    def seal(self, secret: bytes, bound_to: str) -> bytes:
        """Return the encrypted secret, bound to a name."""
        ...

    def unseal(self, sealed: bytes, bound_to: str) -> bytes:
        """Return the secret; raise ServiceUnavailable if it was sealed by another key or for another name."""
        ...


class HookClient(Protocol):
    """Calls pre-provisioning hooks and certificate providers, which are the operator's own code."""

    async def ask(self, hook: PreProvisioningHook, question: Question) -> object:
        """Return the hook's unchecked answer; raise HookFailed if there is none. The caller sets the time limit."""
        ...


class RegistrationFiles(Protocol):
    """The directory of bulk registrations, with each account's buckets and the reports."""

    @property
    def are_reachable(self) -> bool:
        """Whether this node can run bulk registrations now."""
        ...

    async def find(self, account: AccountId, bucket: str, key: str) -> InputFile:
        """Return the account's file in its present state; raise InvalidRequest if there is no readable file."""
        ...

    async def lines(
        self, account: AccountId, file: InputFile, offset: int, number: int, count: int
    ) -> Sequence[InputLine]:
        """Return up to ``count`` lines. The first line begins at the offset and has the number.

        Raises TaskBroken if the file was deleted or changed, ServiceUnavailable if this node cannot reach it.
        """
        ...

    async def append(self, task_id: str, kind: ReportType, size: int, added: bytes) -> int:
        """Cut a report to this size and append to it; return its size once it is durable.

        Raises TaskBroken if it cannot be written or is shorter than this, ServiceUnavailable if this node cannot reach
        the directory.
        """
        ...

    def location(self, task_id: str, kind: ReportType) -> str:
        """Return the URL of a report."""
        ...

    async def delete_reports(self, task_id: str) -> None:
        """Delete the reports that exist."""
        ...


SerialNumbers: TypeAlias = Callable[[], SerialNumber]
