"""Every change of a certificate of the service changes what others see of it, in the same transaction."""

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support.certificates.revocation import CALLER, Registry, new_registry
from tests.support.databases.memory_store import MemoryStore
from tests.support.databases.stores import sample_access_key
from tests.support.registration.authority import Listener, caller_with

from thingmint.core.certificates.certificate import Certificate, CertificateStatus
from thingmint.core.certificates.revocation import Revocation, RevocationReason
from thingmint.core.errors import CertificateStateRefused, ResourceNotFound, ServiceUnavailable
from thingmint.core.identifiers import AccountId, CertificateId
from thingmint.records.access import access_keys as access_key_table
from thingmint.records.certificates import certificates as certificate_table
from thingmint.records.certificates import revocations as revocation_table
from thingmint.registration.certificates import certificates, transfers
from thingmint.registration.certificates.standing import (
    KEPT_AFTER_END,
    record_deletion,
    record_standing,
    sweep_revocations,
)

ACTIVE, INACTIVE, REVOKED = CertificateStatus.ACTIVE, CertificateStatus.INACTIVE, CertificateStatus.REVOKED
OTHER = caller_with(account=AccountId("210987654321"))


@pytest.fixture
def registry() -> Registry:
    return new_registry()


async def seen(registry: Registry, certificate: Certificate) -> Revocation | None:
    issuer_id = registry.ca.issuer_id
    return (
        await registry.authority.store.read(lambda: revocation_table.standing(issuer_id, certificate.serial_number))
    )[1]


async def reason(registry: Registry, certificate: Certificate) -> RevocationReason | None:
    revocation = await seen(registry, certificate)
    return None if revocation is None else revocation.reason


async def test_statuses_are_seen(registry: Registry) -> None:
    (active,) = await registry.add(5)
    (inactive,) = await registry.add(6, status=INACTIVE)
    assert await seen(registry, active) is None
    assert await reason(registry, inactive) is RevocationReason.CERTIFICATE_HOLD

    await registry.set(inactive, ACTIVE)
    assert await reason(registry, inactive) is RevocationReason.REMOVE_FROM_CRL
    registry.clock.go(hours=1)
    await registry.set(active, INACTIVE)
    assert await seen(registry, active) == Revocation(
        registry.ca.issuer_id,
        active.serial_number,
        RevocationReason.CERTIFICATE_HOLD,
        registry.clock.now(),
        active.not_after,
    )
    await registry.set(active, REVOKED)
    assert await reason(registry, active) is RevocationReason.UNSPECIFIED


async def test_an_operator_gives_a_reason_at_once_or_later(registry: Registry) -> None:
    one, two = await registry.add(5, 6)
    await registry.set(two, REVOKED)
    revoked_at = registry.clock.now()
    registry.clock.go(hours=1)

    for certificate in (one, two, two):
        named = CertificateId(certificate.certificate_id)
        await certificates.revoke(registry.authority, CALLER, named, RevocationReason.KEY_COMPROMISE)

    assert await reason(registry, one) is RevocationReason.KEY_COMPROMISE
    revocation = await seen(registry, two)
    assert revocation is not None
    assert (revocation.reason, revocation.revoked_at) == (RevocationReason.KEY_COMPROMISE, revoked_at)
    listener = registry.authority.events
    assert isinstance(listener, Listener)
    assert [(entry.action, entry.resource, entry.detail) for entry in listener.entries[1:]] == [
        (
            "UpdateCertificate",
            one.arn,
            {"status": "REVOKED", "previous_status": "ACTIVE", "reason": "keyCompromise"},
        ),
        (
            "UpdateCertificate",
            two.arn,
            {"status": "REVOKED", "previous_status": "REVOKED", "reason": "keyCompromise"},
        ),
    ]


async def test_what_is_not_there_or_is_being_transferred_is_not_revoked(registry: Registry) -> None:
    (certificate,) = await registry.add(5, status=INACTIVE)
    await open_account(registry)
    await transfers.begin(registry.authority, CALLER, named(certificate), OTHER.account, None)

    with pytest.raises(CertificateStateRefused):
        await certificates.revoke(registry.authority, CALLER, named(certificate), RevocationReason.SUPERSEDED)
    with pytest.raises(ResourceNotFound):
        await certificates.revoke(registry.authority, CALLER, CertificateId("0" * 64), RevocationReason.SUPERSEDED)
    assert await reason(registry, certificate) is RevocationReason.CERTIFICATE_HOLD


async def open_account(registry: Registry) -> None:
    """Give the other account an access key, without which nothing is transferred to it."""
    key = sample_access_key(1, account=OTHER.account)
    await registry.authority.store.write(lambda: access_key_table.insert_access_key(key))


def named(certificate: Certificate) -> CertificateId:
    return CertificateId(certificate.certificate_id)


async def test_a_deleted_certificate_stays_revoked(registry: Registry) -> None:
    revoked, inactive, waiting = await registry.add(5, 6, 7, status=INACTIVE)
    (ended,) = await registry.add(8, status=CertificateStatus.PENDING_ACTIVATION, ends_in=-timedelta(days=1))
    await registry.set(revoked, REVOKED)
    revoked_at = registry.clock.now()
    registry.clock.go(hours=1)

    for certificate in (revoked, inactive, ended):
        await certificates.delete(registry.authority, CALLER, named(certificate))

    revocation = await seen(registry, revoked)
    assert revocation is not None
    assert (revocation.reason, revocation.revoked_at) == (RevocationReason.UNSPECIFIED, revoked_at)
    assert await reason(registry, inactive) is RevocationReason.CESSATION_OF_OPERATION
    assert await reason(registry, waiting) is RevocationReason.CERTIFICATE_HOLD
    # The clock may be ahead.
    assert await reason(registry, ended) is RevocationReason.CESSATION_OF_OPERATION


async def test_a_transfer_leaves_a_hold_until_it_is_accepted_as_active(registry: Registry) -> None:
    one, two, three = await registry.add(5, 6, 7, status=INACTIVE)
    await open_account(registry)
    for certificate in (one, two, three):
        await transfers.begin(registry.authority, CALLER, named(certificate), OTHER.account, None)
        assert await reason(registry, certificate) is RevocationReason.CERTIFICATE_HOLD

    await transfers.accept(registry.authority, OTHER, named(one), active=True)
    await transfers.accept(registry.authority, OTHER, named(two), active=False)
    await transfers.cancel(registry.authority, CALLER, named(three))

    assert await reason(registry, one) is RevocationReason.REMOVE_FROM_CRL
    assert await reason(registry, two) is RevocationReason.CERTIFICATE_HOLD
    # AWS gives it back INACTIVE.
    assert await reason(registry, three) is RevocationReason.CERTIFICATE_HOLD


async def test_certificates_of_others_are_nobodys_business(registry: Registry) -> None:
    (certificate,) = await registry.add(5)
    foreign = certificate_of_another(certificate)
    now, write = registry.clock.now(), registry.authority.store.write

    await write(lambda: record_standing(None, foreign, now))
    await write(lambda: record_deletion(foreign, now))
    await registry.authority.store.write(lambda: certificate_table.insert_certificate(foreign))
    await certificates.revoke(registry.authority, CALLER, named(foreign), RevocationReason.KEY_COMPROMISE)
    await certificates.revoke(registry.authority, CALLER, named(foreign), RevocationReason.SUPERSEDED)

    assert await registry.authority.store.read(revocation_table.all_parts) == ()


def certificate_of_another(certificate: Certificate) -> Certificate:
    return replace(
        certificate,
        issuer_id=None,
        certificate_id=CertificateId("1" * 64),
        status=INACTIVE,
        signed_digest="2" * 64,
    )


async def test_a_deleted_certificate_that_is_registered_as_anothers_stays_revoked(registry: Registry) -> None:
    (certificate,) = await registry.add(5, status=INACTIVE)
    await certificates.delete(registry.authority, CALLER, named(certificate))
    again = replace(certificate, issuer_id=None, status=ACTIVE, signed_digest="2" * 64)
    await registry.authority.store.write(lambda: certificate_table.insert_certificate(again))
    await registry.set(again, INACTIVE)
    await registry.set(again, ACTIVE)

    assert await reason(registry, certificate) is RevocationReason.CESSATION_OF_OPERATION


async def test_a_change_that_fails_changes_nothing_that_others_see(registry: Registry) -> None:
    (certificate,) = await registry.add(5)
    store = registry.authority.store
    assert isinstance(store, MemoryStore)
    store.lose_commit_with = ServiceUnavailable("lost")

    with pytest.raises(ServiceUnavailable):
        await registry.set(certificate, REVOKED)
    store.lose_commit_with = None

    assert await seen(registry, certificate) is None


async def test_revocations_are_forgotten_a_month_after_the_end(registry: Registry) -> None:
    await registry.add(5, 6, status=INACTIVE, ends_in=timedelta(days=1))
    assert await sweep_revocations(registry.authority, 10) == 0
    registry.clock.go(days=KEPT_AFTER_END.days + 2)
    # The newest row stays.
    await registry.add(7, status=INACTIVE)

    assert await sweep_revocations(registry.authority, 10) == 2
