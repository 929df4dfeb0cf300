"""The registration authority: what it records, in which order, and what it leaves alone when something fails."""

import os
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import Hook, issuers_of, new_issuing_ca
from tests.support.registration.registry import turned

from thingmint.core.audit_entry import AuditEntry
from thingmint.core.caller import Caller, Principal
from thingmint.core.certificates.certificate import Certificate, CertificateStatus
from thingmint.core.errors import (
    CertificateStateRefused,
    DeletionRefused,
    InvalidRequest,
    ResourceNotFound,
    ServiceUnavailable,
)
from thingmint.core.identifiers import AccountId, Region, certificate_id_of
from thingmint.core.paging import PageRequest
from thingmint.core.registry.registry_event import RegistryEvent
from thingmint.data_directory.buckets import NoBuckets
from thingmint.data_directory.sealing import Sealer
from thingmint.issuance.issuers import Issuers
from thingmint.issuance.keys.key_pairs import KeyPair, generate_key_pair
from thingmint.issuance.profiles.serial_number import random_serial_number
from thingmint.records.certificates import certificates as certificate_table
from thingmint.records.steps import Steps
from thingmint.registration.certificates import certificates
from thingmint.registration.kernel.authority import RegistrationAuthority

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
CALLER = Caller(AccountId("123456789012"), Region("us-east-1"), Principal("arn:caller", ()), "request-1", "127.0.0.1")
STRANGER = replace(CALLER, account=AccountId("999999999999"))


class FixedClock:
    def now(self) -> datetime:
        return NOW


class OneKey:
    """Gives the same pair each time: making one costs more than all of these tests."""

    def __init__(self, pair: KeyPair) -> None:
        self.pair = pair

    async def take(self) -> KeyPair:
        return self.pair


class Heard:
    """Remembers events, and that each was committed when it was told of."""

    def __init__(self, store: MemoryStore) -> None:
        self.entries: list[AuditEntry] = []
        self.touches = 0
        self._store = store

    def recorded(self, entry: AuditEntry) -> None:
        assert entry in self._store.tables.audit
        self.entries.append(entry)

    def happened(self, event: RegistryEvent) -> None:
        raise AssertionError(event)

    def touched(self) -> None:
        self.touches += 1


@pytest.fixture(scope="module")
def key_pair() -> KeyPair:
    return generate_key_pair()


@pytest.fixture(scope="module")
def issuers() -> Issuers:
    return issuers_of(new_issuing_ca())


@pytest.fixture
def authority(store: MemoryStore, key_pair: KeyPair, issuers: Issuers) -> RegistrationAuthority:
    return RegistrationAuthority(
        store=store,
        key_source=OneKey(key_pair),
        issuers=issuers,
        clock=FixedClock(),
        serial_numbers=lambda: random_serial_number(os.urandom),
        new_generation_id=lambda: "generation",
        new_registration_code=lambda: "ab" * 32,
        events=Heard(store),
        sealer=Sealer(bytes(32), os.urandom),
        hooks=Hook(),
        files=NoBuckets(),
    )


def heard(authority: RegistrationAuthority) -> list[AuditEntry]:
    assert isinstance(authority.events, Heard)
    return authority.events.entries


def touches(authority: RegistrationAuthority) -> int:
    assert isinstance(authority.events, Heard)
    return authority.events.touches


async def issued(authority: RegistrationAuthority, *, active: bool = False) -> Certificate:
    return (await certificates.issue_with_new_key(authority, CALLER, active=active)).certificate


def csr_pem() -> str:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sensor")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name)
    signed = request.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


@pytest.mark.parametrize(("active", "status"), [(True, CertificateStatus.ACTIVE), (False, CertificateStatus.INACTIVE)])
async def test_new_key_gets_a_registered_certificate(
    authority: RegistrationAuthority, store: MemoryStore, issuers: Issuers, *, active: bool, status: CertificateStatus
) -> None:
    given = await certificates.issue_with_new_key(authority, CALLER, active=active)
    assert store.tables.certificates == [given.certificate]
    assert given.certificate.status is status
    assert given.certificate.certificate_id == certificate_id_of(given.certificate.der)
    parsed = x509.load_der_x509_certificate(given.certificate.der)
    parsed.verify_directly_issued_by(issuers.active.ca.certificate)
    assert given.key_pair.public_key_der == parsed.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


async def test_issuance_is_audited_with_its_certificate_and_told_after_the_commit(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    certificate = await issued(authority)
    assert heard(authority) == store.tables.audit
    assert [(entry.action, entry.resource, entry.request_id) for entry in store.tables.audit] == [
        ("CreateKeysAndCertificate", certificate.arn, "request-1")
    ]


async def test_signing_request_gives_subject_and_key(authority: RegistrationAuthority) -> None:
    certificate = await certificates.issue_from_csr(authority, CALLER, csr_pem(), active=True)
    parsed = x509.load_der_x509_certificate(certificate.der)
    assert parsed.subject.rfc4514_string() == "CN=sensor"
    assert heard(authority)[0].action == "CreateCertificateFromCsr"
    assert touches(authority) == 0, "no device has the certificate yet"


async def test_nothing_is_recorded_of_a_bad_signing_request(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    with pytest.raises(InvalidRequest):
        await certificates.issue_from_csr(authority, CALLER, "garbage", active=True)
    assert not store.tables.certificates
    assert not store.tables.audit


async def test_lost_commit_gives_no_certificate_and_tells_nobody(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    store.lose_commit_with = ServiceUnavailable()
    with pytest.raises(ServiceUnavailable):
        await issued(authority)
    assert not store.tables.certificates
    assert not heard(authority)


async def test_certificate_exists_for_its_own_account_only(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    certificate = await issued(authority)
    assert await certificates.describe(authority, CALLER, certificate.certificate_id) == certificate
    for call in (
        certificates.describe(authority, STRANGER, certificate.certificate_id),
        certificates.update_status(authority, STRANGER, certificate.certificate_id, CertificateStatus.REVOKED),
        certificates.delete(authority, STRANGER, certificate.certificate_id),
    ):
        with pytest.raises(ResourceNotFound, match=certificate.certificate_id):
            await call
    assert store.tables.certificates == [certificate]


@pytest.mark.parametrize("ascending", [True, False])
async def test_pages_hold_every_certificate_once_in_order(authority: RegistrationAuthority, *, ascending: bool) -> None:
    ids = [(await issued(authority)).certificate_id for _ in range(5)]
    pages = await turned(
        2, lambda request: certificates.list_certificates(authority, CALLER, request), ascending=ascending
    )
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [each.certificate_id for page in pages for each in page] == (ids if ascending else ids[::-1])


async def test_full_last_page_is_known_to_be_the_last(authority: RegistrationAuthority) -> None:
    await issued(authority)
    page = await certificates.list_certificates(authority, CALLER, PageRequest(1, None, ascending=False))
    assert page.next is None


async def test_status_change_is_stored_and_audited(authority: RegistrationAuthority) -> None:
    certificate = await issued(authority)
    await certificates.update_status(authority, CALLER, certificate.certificate_id, CertificateStatus.ACTIVE)
    changed = await certificates.describe(authority, CALLER, certificate.certificate_id)
    assert (changed.status, changed.customer_version) == (CertificateStatus.ACTIVE, 2)
    assert heard(authority)[-1].detail == {"status": "ACTIVE", "previous_status": "INACTIVE"}
    assert touches(authority) == 1


async def test_status_that_is_held_already_changes_nothing(authority: RegistrationAuthority) -> None:
    certificate = await issued(authority)
    await certificates.update_status(authority, CALLER, certificate.certificate_id, CertificateStatus.INACTIVE)
    assert await certificates.describe(authority, CALLER, certificate.certificate_id) == certificate
    assert len(heard(authority)) == 1


async def test_inactive_certificate_is_deleted_once(authority: RegistrationAuthority, store: MemoryStore) -> None:
    certificate = await issued(authority)
    await certificates.delete(authority, CALLER, certificate.certificate_id)
    assert not store.tables.certificates
    with pytest.raises(ResourceNotFound):
        await certificates.delete(authority, CALLER, certificate.certificate_id)
    assert [entry.action for entry in heard(authority)] == ["CreateKeysAndCertificate", "DeleteCertificate"]


@pytest.mark.parametrize("force", [True, False])
async def test_active_certificate_is_not_deleted_even_by_force(
    authority: RegistrationAuthority, store: MemoryStore, *, force: bool
) -> None:
    certificate = await issued(authority, active=True)
    with pytest.raises(CertificateStateRefused):
        await certificates.delete(authority, CALLER, certificate.certificate_id, detach_policies=force)
    assert len(store.tables.certificates) == 1


async def test_a_certificate_of_a_thing_is_not_deleted_even_by_force(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    certificate = await issued(authority)
    insert = (
        "INSERT INTO thing_principal (account, region, thing_name, principal, principal_type) "
        "VALUES ($1, $2, 'pump', $3, 'NON_EXCLUSIVE_THING')"
    )
    store.execute(insert, CALLER.account, CALLER.region, certificate.arn)
    for force in (False, True):
        with pytest.raises(DeletionRefused) as refusal:
            await certificates.delete(authority, CALLER, certificate.certificate_id, detach_policies=force)
        assert refusal.value.message == f"Things must be detached before deletion (arn: {certificate.arn})"
    assert store.tables.certificates == [certificate]


async def test_a_certificate_with_policies_is_deleted_by_force_only(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    certificate, other = await issued(authority), await issued(authority)
    insert = "INSERT INTO policy_attachment (account, region, policy_name, target) VALUES ($1, $2, $3, $4)"
    for name, target in (("read", certificate.arn), ("admit", certificate.arn), ("read", other.arn)):
        store.execute(insert, CALLER.account, CALLER.region, name, target)
    with pytest.raises(DeletionRefused) as refusal:
        await certificates.delete(authority, CALLER, certificate.certificate_id)
    assert refusal.value.message == f"Certificate policies must be detached before deletion (arn: {certificate.arn})"
    await certificates.delete(authority, CALLER, certificate.certificate_id, detach_policies=True)
    assert store.tables.certificates == [other]
    assert [row[4] for row in store.tables.rows("policy_attachment")] == [other.arn]
    assert store.tables.audit[-1].detail["detached_policies"] == "admit,read"


async def test_change_that_another_request_overtook_is_refused(
    authority: RegistrationAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = await issued(authority)

    def overtaken(*arguments: object) -> Steps[bool]:
        yield from ()
        return False

    monkeypatch.setattr(certificate_table, "delete_certificate", overtaken)
    with pytest.raises(CertificateStateRefused, match="at the same time"):
        await certificates.delete(authority, CALLER, certificate.certificate_id)
