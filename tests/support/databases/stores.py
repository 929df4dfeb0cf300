"""Owns sample rows and programs of one step for tests of stores; knows no engine."""

import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from thingmint.core.access_key import AccessKey, AccessKeyOrigin
from thingmint.core.audit_entry import AuditEntry
from thingmint.core.certificates.certificate import Certificate, CertificateMode, CertificateStatus, CertificateSummary
from thingmint.core.errors import ServiceUnavailable
from thingmint.core.identifiers import AccountId, Region, Scope, SerialNumber, certificate_id_of
from thingmint.core.paging import PageKey, PageRequest
from thingmint.records import audit as audit_table
from thingmint.records.certificates import certificates as certificate_table
from thingmint.records.steps import Program, Steps
from thingmint.registration.kernel.ports import Store

T = TypeVar("T")
_ATTEMPTS = 10
SCOPE = Scope(AccountId("123456789012"), Region("eu-central-1"))
OTHER_SCOPE = Scope(AccountId("123456789012"), Region("us-east-1"))
CREATED_AT = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)


@dataclass(slots=True)
class Timings:
    """An observer that remembers the kinds it was told of."""

    kinds: list[str] = field(default_factory=list)

    def __call__(self, kind: str, seconds: float) -> None:
        """Take note."""
        assert seconds >= 0
        self.kinds.append(kind)


async def until_served(attempt: Callable[[], Awaitable[T]]) -> T:
    """Repeat what a server on a busy machine may be too slow for, in a test that is about something else."""
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(ServiceUnavailable):
            return await attempt()
    return await attempt()


def sample_certificate(number: int, *, scope: Scope = SCOPE, der_size: int = 870) -> Certificate:
    """Return a certificate that differs from those of other numbers; its DER is noise."""
    der = hashlib.shake_256(f"{scope} {number}".encode()).digest(der_size)
    return Certificate(
        scope=scope,
        certificate_id=certificate_id_of(der),
        der=der,
        issuer_id="ab" * 32,
        serial_number=SerialNumber(int.from_bytes(der[:20], "big") >> 1),
        status=CertificateStatus.INACTIVE,
        mode=CertificateMode.DEFAULT,
        not_before=CREATED_AT - timedelta(seconds=120),
        not_after=datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC),
        created_at=CREATED_AT,
        modified_at=CREATED_AT,
        customer_version=1,
        generation_id=f"generation-{number}",
    )


def changed(certificate: Certificate, status: CertificateStatus) -> Certificate:
    """Return the certificate's next version in another status."""
    return replace(
        certificate,
        status=status,
        modified_at=certificate.modified_at + timedelta(seconds=1),
        customer_version=certificate.customer_version + 1,
    )


def sample_access_key(number: int, *, account: AccountId = SCOPE.account) -> AccessKey:
    """Return an access key that differs from those of other numbers."""
    return AccessKey(
        access_key_id=f"AKIA{number:016d}",
        account=account,
        user_name=f"Fabrik Größe {number}",
        policy_text='{"Version": "2012-10-17", "Statement": []}',
        sealed_secret=bytes(range(256)),
        session_token_sha256="cd" * 32 if number % 2 else None,
        created_at=CREATED_AT,
        expires_at=CREATED_AT + timedelta(hours=1) if number % 2 else None,
        origin=AccessKeyOrigin.OPERATOR,
    )


def sample_audit_entry(number: int, *, scope: Scope = SCOPE, **detail: str) -> AuditEntry:
    """Return an audit entry that differs from those of other numbers."""
    return AuditEntry(
        at=CREATED_AT + timedelta(microseconds=number),
        scope=scope,
        principal_arn="arn:aws:iam::123456789012:user/Größe",
        source_address="2001:db8::1",
        request_id=f"request-{number}",
        action="CreateKeysAndCertificate",
        resource=f"certificate {number}",
        detail=detail,
    )


async def insert(store: Store, *certificates: Certificate) -> None:
    """Store the certificates in one transaction."""

    def program() -> Steps[None]:
        for certificate in certificates:
            yield from certificate_table.insert_certificate(certificate)

    await store.write(program)


async def fetch(store: Store, certificate: Certificate) -> Certificate | None:
    """Return what is stored under the certificate's id."""
    return await store.read(lambda: certificate_table.certificate(certificate.scope, certificate.certificate_id))


async def delete(store: Store, certificate: Certificate) -> bool:
    """Delete this version of the certificate; say whether it was there."""
    return await store.write(lambda: certificate_table.delete_certificate(certificate))


async def page(
    store: Store, limit: int, *, after: PageKey | None = None, ascending: bool = False, scope: Scope = SCOPE
) -> Sequence[CertificateSummary]:
    """Return a page of the scope's certificates."""
    request = PageRequest(limit, after, ascending)
    return await store.read(lambda: certificate_table.certificate_summaries(scope, request))


async def audit(store: Store, limit: int = 100, *, after: PageKey | None = None) -> Sequence[AuditEntry]:
    """Return the newest audit entries."""
    page = await store.read(lambda: audit_table.audit_page(SCOPE, PageRequest(limit, after, ascending=False)))
    return tuple([listed.item for listed in page])


def write_of(certificate: Certificate) -> Program[None]:
    """Return the program that stores the certificate."""
    return lambda: certificate_table.insert_certificate(certificate)
