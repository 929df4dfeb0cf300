"""Owns what the registration authority needs from the outside: a store, keys, time, numbers and a listener."""

from collections.abc import Callable, Sequence
from datetime import datetime
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
    """Runs programs against the database; raises ServiceUnavailable where it cannot."""

    async def read(self, program: Program[T]) -> T:
        """Run a program that changes nothing."""
        ...

    async def write(self, program: Program[T]) -> T:
        """Run a program in one transaction and return when its result is durable."""
        ...

    async def check(self) -> None:
        """Return if the database answers and can be written to; raise ServiceUnavailable otherwise."""
        ...

    async def close(self) -> None:
        """Finish what is queued, then let go of the database."""
        ...


class KeySource(Protocol):
    """Hands out key pairs, each of them once."""

    async def take(self) -> KeyPair:
        """Return a key pair nobody else has; raise Throttled if too many wait, ServiceUnavailable if there is none."""
        ...


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Return the present, aware, UTC."""
        ...


class EventSink(Protocol):
    """Hears of what was recorded and of what happened, after the commit; must neither fail nor wait."""

    def recorded(self, entry: AuditEntry) -> None:
        """Receive a committed mutation."""
        ...

    def happened(self, event: RegistryEvent) -> None:
        """Tell the account of a committed change that it wants to be told of."""
        ...


class EventOutbox(Protocol):
    """Keeps events with the change that makes them, so that every node tells of them once, whichever node ends."""

    def keep(self, events: Sequence[RegistryEvent]) -> Steps[bool]:
        """Write the events in the transaction of their change; return False if `EventSink.happened` is to tell them."""
        ...


class NoOutbox:
    """Keeps nothing: there is one node, and with it end the listeners of its events."""

    def keep(self, events: Sequence[RegistryEvent]) -> Steps[bool]:
        """Return False."""
        del events
        yield from ()
        return False


class SecretSealer(Protocol):
    """Seals secrets that must be stored in a form that can be read again."""

    def seal(self, secret: bytes, bound_to: str) -> bytes:
        """Return the secret encrypted and bound to a name."""
        ...

    def unseal(self, sealed: bytes, bound_to: str) -> bytes:
        """Return the secret; raise ServiceUnavailable if it was sealed by another key or for another name."""
        ...


class HookClient(Protocol):
    """Asks pre-provisioning hooks and certificate providers, which are the operator's own code."""

    async def ask(self, hook: PreProvisioningHook, question: Question) -> object:
        """Return the hook's answer as it came; raise HookFailed if there is none. Whoever asks sets the time limit."""
        ...


class RegistrationFiles(Protocol):
    """The directory of bulk registrations: each account reads from buckets of its own; reports are beside them."""

    @property
    def are_reachable(self) -> bool:
        """Whether this node can carry out bulk registrations now."""
        ...

    async def find(self, account: AccountId, bucket: str, key: str) -> InputFile:
        """Return the account's file as it is now; raise InvalidRequest if there is none that may be read."""
        ...

    async def lines(
        self, account: AccountId, file: InputFile, offset: int, number: int, count: int
    ) -> Sequence[InputLine]:
        """Return up to ``count`` lines, the first of which begins at the offset and has the number.

        Raises TaskBroken if the file is gone or is not what it was, ServiceUnavailable if this node cannot reach it.
        """
        ...

    async def append(self, task_id: str, kind: ReportType, size: int, added: bytes) -> int:
        """Make a report what it was at this size, with more behind it; return its size once that is durable.

        Raises TaskBroken if it cannot be written or has become shorter, ServiceUnavailable if this node cannot reach
        the directory.
        """
        ...

    def location(self, task_id: str, kind: ReportType) -> str:
        """Return where a report is, as a URL."""
        ...

    async def delete_reports(self, task_id: str) -> None:
        """Delete the reports that exist."""
        ...


SerialNumbers: TypeAlias = Callable[[], SerialNumber]
