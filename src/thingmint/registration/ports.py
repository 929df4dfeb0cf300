"""Owns what the registration authority needs from the outside: a store, keys, time, numbers and a listener.

A transaction is written as a generator: each verb of `Transaction` is a generator too, composed with ``yield from``.
The store drives it. On SQLite it runs in the writer's thread inside a savepoint; on PostgreSQL every step is awaited
inside a transaction. An exception that leaves the generator undoes everything it did. A program may be run again from
the start (after a deadlock, say), so it must have no effect but its statements.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias, TypeVar

from thingmint.core.access_key import AccessKey
from thingmint.core.certificate import Certificate, CertificateSummary
from thingmint.core.identifiers import AccountId, CertificateId, Scope, SerialNumber
from thingmint.issuance.keys import KeyPair
from thingmint.registration.audit import AuditEntry

T = TypeVar("T")

# What is yielded and sent belongs to the store alone; a program only passes it through.
Steps: TypeAlias = Generator[object, object, T]


@dataclass(frozen=True, slots=True)
class PageKey:
    """Where a page of a list starts: after this position."""

    position: int


class Transaction(Protocol):
    """The verbs of one transaction. Reads see the transaction's own writes."""

    def certificate(self, scope: Scope, certificate_id: CertificateId) -> Steps[Certificate | None]:
        """Return the certificate, or None."""
        ...

    def certificate_for_update(self, scope: Scope, certificate_id: CertificateId) -> Steps[Certificate | None]:
        """Return the certificate and keep others from changing it until this transaction ends."""
        ...

    def certificate_summaries(
        self, scope: Scope, after: PageKey | None, limit: int, *, ascending: bool
    ) -> Steps[Sequence[CertificateSummary]]:
        """Return up to ``limit`` certificates in the order of their creation, newest first unless ascending."""
        ...

    def insert_certificate(self, certificate: Certificate) -> Steps[None]:
        """Store a new certificate; raise DuplicateCertificate if its id, or its issuer and serial number, exist."""
        ...

    def update_certificate(self, before: Certificate, after: Certificate) -> Steps[bool]:
        """Store status, times and version if the stored version is still that of ``before``; say whether it was."""
        ...

    def delete_certificate(self, certificate: Certificate) -> Steps[bool]:
        """Delete the certificate if its stored version is still this one; say whether it was."""
        ...

    def access_key(self, access_key_id: str) -> Steps[AccessKey | None]:
        """Return the access key, or None."""
        ...

    def access_keys(self, account: AccountId | None) -> Steps[Sequence[AccessKey]]:
        """Return the access keys of an account, or of all, oldest first."""
        ...

    def insert_access_key(self, access_key: AccessKey) -> Steps[None]:
        """Store a new access key; raise InvalidRequest if its identifier exists."""
        ...

    def delete_access_key(self, access_key_id: str) -> Steps[bool]:
        """Delete the access key; say whether it existed."""
        ...

    def append_audit(self, entry: AuditEntry) -> Steps[None]:
        """Append an entry to the audit trail."""
        ...

    def audit_entries(self, scope: Scope, after: PageKey | None, limit: int) -> Steps[Sequence[AuditEntry]]:
        """Return up to ``limit`` audit entries, newest first."""
        ...


class Store(Protocol):
    """Runs programs against the database; raises ServiceUnavailable where it cannot."""

    async def read(self, program: Callable[[Transaction], Steps[T]]) -> T:
        """Run a program that changes nothing."""
        ...

    async def write(self, program: Callable[[Transaction], Steps[T]]) -> T:
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
    """Hears of what was recorded, after the commit; must neither fail nor wait."""

    def recorded(self, entry: AuditEntry) -> None:
        """Take note of a committed mutation."""
        ...


class SecretSealer(Protocol):
    """Seals secrets that must be stored in a form that can be read again."""

    def seal(self, secret: bytes, bound_to: str) -> bytes:
        """Return the secret encrypted and bound to a name."""
        ...

    def unseal(self, sealed: bytes, bound_to: str) -> bytes:
        """Return the secret; raise ServiceUnavailable if it was sealed by another key or for another name."""
        ...


SerialNumbers: TypeAlias = Callable[[], SerialNumber]
