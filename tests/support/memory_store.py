"""Owns a store in memory that keeps the promises of `ports.Store`; knows no SQL and makes nothing durable."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from thingmint.core.access_key import AccessKey
from thingmint.core.certificate import Certificate, CertificateSummary
from thingmint.core.errors import DuplicateCertificate, InvalidRequest, ServiceUnavailable
from thingmint.core.identifiers import AccountId, CertificateId, Scope
from thingmint.registration.audit import AuditEntry
from thingmint.registration.ports import PageKey, Steps, Transaction

T = TypeVar("T")


@dataclass
class Tables:
    """What is stored, in the order of insertion."""

    certificates: dict[int, Certificate] = field(default_factory=dict)
    access_keys: dict[str, AccessKey] = field(default_factory=dict)
    audit: list[AuditEntry] = field(default_factory=list)
    last_position: int = 0

    def copy(self) -> "Tables":
        """Return tables that can change without changing these."""
        return Tables(dict(self.certificates), dict(self.access_keys), list(self.audit), self.last_position)


class MemoryTransaction:
    """The verbs of `ports.Transaction` on one copy of the tables."""

    def __init__(self, tables: Tables, *, may_write: bool) -> None:
        self._tables = tables
        self._may_write = may_write

    def certificate(self, scope: Scope, certificate_id: CertificateId) -> Steps[Certificate | None]:
        """Return the certificate, or None."""
        yield from self._step(writes=False)
        position = self._position(scope, certificate_id)
        return None if position is None else self._tables.certificates[position]

    def certificate_for_update(self, scope: Scope, certificate_id: CertificateId) -> Steps[Certificate | None]:
        """Return the certificate, or None; nobody else is ever at work here."""
        yield from self._step(writes=True)
        return (yield from self.certificate(scope, certificate_id))

    def certificate_summaries(
        self, scope: Scope, after: PageKey | None, limit: int, *, ascending: bool
    ) -> Steps[Sequence[CertificateSummary]]:
        """Return up to ``limit`` certificates in the order of their insertion, newest first unless ascending."""
        yield from self._step(writes=False)
        rows = [(position, row) for position, row in self._tables.certificates.items() if row.scope == scope]
        rows.sort(key=lambda pair: pair[0], reverse=not ascending)
        if after is not None:
            rows = [pair for pair in rows if (pair[0] > after.position) is ascending and pair[0] != after.position]
        return tuple(
            CertificateSummary(row.scope, row.certificate_id, row.status, row.mode, row.created_at, position)
            for position, row in rows[:limit]
        )

    def insert_certificate(self, certificate: Certificate) -> Steps[None]:
        """Store a new certificate; raise DuplicateCertificate if its id, or its issuer and serial number, exist."""
        yield from self._step(writes=True)
        for row in self._tables.certificates.values():
            same_id = (row.scope, row.certificate_id) == (certificate.scope, certificate.certificate_id)
            if same_id or (row.issuer_id, row.serial_number) == (certificate.issuer_id, certificate.serial_number):
                raise DuplicateCertificate("The certificate is already provisioned or registered")
        self._tables.last_position += 1
        self._tables.certificates[self._tables.last_position] = certificate

    def update_certificate(self, before: Certificate, after: Certificate) -> Steps[bool]:
        """Store the new version if the stored one is still ``before``'s; say whether it was."""
        yield from self._step(writes=True)
        position = self._unchanged_position(before)
        if position is not None:
            self._tables.certificates[position] = after
        return position is not None

    def delete_certificate(self, certificate: Certificate) -> Steps[bool]:
        """Delete the certificate if its stored version is still this one; say whether it was."""
        yield from self._step(writes=True)
        position = self._unchanged_position(certificate)
        if position is not None:
            del self._tables.certificates[position]
        return position is not None

    def access_key(self, access_key_id: str) -> Steps[AccessKey | None]:
        """Return the access key, or None."""
        yield from self._step(writes=False)
        return self._tables.access_keys.get(access_key_id)

    def access_keys(self, account: AccountId | None) -> Steps[Sequence[AccessKey]]:
        """Return the access keys of an account, or of all, oldest first."""
        yield from self._step(writes=False)
        return tuple(row for row in self._tables.access_keys.values() if account in (None, row.account))

    def insert_access_key(self, access_key: AccessKey) -> Steps[None]:
        """Store a new access key; raise InvalidRequest if its identifier exists."""
        yield from self._step(writes=True)
        if access_key.access_key_id in self._tables.access_keys:
            raise InvalidRequest(f"The access key {access_key.access_key_id} exists already")
        self._tables.access_keys[access_key.access_key_id] = access_key

    def delete_access_key(self, access_key_id: str) -> Steps[bool]:
        """Delete the access key; say whether it existed."""
        yield from self._step(writes=True)
        return self._tables.access_keys.pop(access_key_id, None) is not None

    def append_audit(self, entry: AuditEntry) -> Steps[None]:
        """Append an entry to the audit trail."""
        yield from self._step(writes=True)
        self._tables.audit.append(entry)

    def audit_entries(self, scope: Scope, after: PageKey | None, limit: int) -> Steps[Sequence[AuditEntry]]:
        """Return up to ``limit`` audit entries, newest first; a position is an entry's place in the trail."""
        yield from self._step(writes=False)
        end = len(self._tables.audit) if after is None else after.position
        return tuple([entry for entry in reversed(self._tables.audit[:end]) if entry.scope == scope][:limit])

    def _step(self, *, writes: bool) -> Generator[object, object, None]:
        # A program that forgets ``yield from`` would do nothing on a real store; so does it here.
        assert self._may_write or not writes, "a program given to read() must change nothing"
        yield None

    def _position(self, scope: Scope, certificate_id: CertificateId) -> int | None:
        for position, row in self._tables.certificates.items():
            if row.scope == scope and row.certificate_id == certificate_id:
                return position
        return None

    def _unchanged_position(self, certificate: Certificate) -> int | None:
        position = self._position(certificate.scope, certificate.certificate_id)
        if position is None or self._tables.certificates[position].customer_version != certificate.customer_version:
            return None
        return position


class MemoryStore:
    """A `ports.Store` whose tables tests may look into.

    Each program that writes is run twice and its first run undone, as a store may do after a deadlock: a program that
    has effects of its own shows. ``refuse_with`` set to an error makes every call fail, ``lose_commit_with`` makes
    writes fail when they should become durable.
    """

    def __init__(self) -> None:
        self.tables = Tables()
        self.refuse_with: ServiceUnavailable | None = None
        self.lose_commit_with: ServiceUnavailable | None = None
        self.closed = False

    async def read(self, program: Callable[[Transaction], Steps[T]]) -> T:
        """Run a program that changes nothing."""
        await self.check()
        return drive(program(MemoryTransaction(self.tables, may_write=False)))

    async def write(self, program: Callable[[Transaction], Steps[T]]) -> T:
        """Run a program on a copy of the tables, and keep the copy unless the program raises."""
        await self.check()
        drive(program(MemoryTransaction(self.tables.copy(), may_write=True)))
        tables = self.tables.copy()
        result = drive(program(MemoryTransaction(tables, may_write=True)))
        if self.lose_commit_with is not None:
            raise self.lose_commit_with
        self.tables = tables
        return result

    async def check(self) -> None:
        """Return if the store answers; raise what it was told to refuse with otherwise."""
        if self.refuse_with is not None:
            raise self.refuse_with

    async def close(self) -> None:
        """Note that the store was closed."""
        self.closed = True


def drive(steps: Steps[T]) -> T:
    """Run a program to its end, answering each step with nothing, and return its result."""
    try:
        while True:
            next(steps)
    except StopIteration as stop:
        result: T = stop.value
        return result
