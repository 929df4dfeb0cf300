"""Later changes are made again: statuses, deletions, revocations; and no right comes back that was taken away."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from tests.support.databases.log import CALLER
from tests.support.databases.log import issued as issued_on
from tests.support.databases.memory_store import MemoryStore
from tests.support.databases.stores import SCOPE

from thingmint.core.certificates.ca_certificate import AutoRegistrationStatus, CACertificate, CACertificateStatus
from thingmint.core.certificates.certificate import Certificate, CertificateMode, CertificateStatus
from thingmint.core.certificates.revocation import Revocation, RevocationReason
from thingmint.core.identifiers import CertificateId, SerialNumber
from thingmint.core.transparency.logged_facts import Subject
from thingmint.core.transparency.tail import LaterState
from thingmint.records.certificates import ca_certificates as ca_certificate_table
from thingmint.records.certificates import certificates as certificate_table
from thingmint.records.certificates import revocations as revocation_table
from thingmint.records.columns import column_of_time
from thingmint.registration.recovery.later_changes import Replayed, replay_revocation, replay_state

NOW = datetime(2027, 1, 1, tzinfo=UTC)
AT = datetime(2026, 12, 1, tzinfo=UTC)
END = datetime(2049, 1, 1, tzinfo=UTC)


async def issued(store: MemoryStore, status: CertificateStatus = CertificateStatus.ACTIVE) -> Certificate:
    (certificate,) = await issued_on(store, 1, status)
    return certificate


def later(status: str | None, certificate: Certificate | None = None, *, was_revoked: bool = False) -> LaterState:
    at = column_of_time(AT)
    if certificate is None:
        return LaterState(status, was_revoked, at, None, None)
    return LaterState(status, was_revoked, at, f"{certificate.serial_number:x}", certificate.issuer_id)


async def replayed(store: MemoryStore, certificate: Certificate, state: LaterState, kind: str = "cert") -> Replayed:
    subject = Subject(SCOPE.account, SCOPE.region, f"{kind}/{certificate.certificate_id}")
    ends = {} if certificate.issuer_id is None else {certificate.issuer_id: END}
    return await store.write(partial(replay_state, CALLER, NOW, subject, state, ends))


async def status_of(store: MemoryStore, certificate: Certificate) -> CertificateStatus | None:
    found = await store.read(lambda: certificate_table.certificate(SCOPE, certificate.certificate_id))
    return None if found is None else found.status


async def noted(store: MemoryStore, certificate: Certificate) -> Revocation | None:
    assert certificate.issuer_id is not None
    issuer_id, number = certificate.issuer_id, certificate.serial_number
    return (await store.read(lambda: revocation_table.standing(issuer_id, number)))[1]


@pytest.mark.parametrize(
    ("before", "state", "outcome", "after"),
    [
        ("ACTIVE", later("REVOKED", was_revoked=True), Replayed.REVOKED, "REVOKED"),
        ("ACTIVE", later("ACTIVE", was_revoked=True), Replayed.REVOKED, "REVOKED"),
        ("ACTIVE", later("INACTIVE"), Replayed.DEACTIVATED, "INACTIVE"),
        ("ACTIVE", later("PENDING_TRANSFER"), Replayed.DEACTIVATED, "INACTIVE"),
        ("INACTIVE", later("ACTIVE"), Replayed.ACTIVATED, "ACTIVE"),
        ("ACTIVE", later("ACTIVE"), Replayed.UNCHANGED, "ACTIVE"),
    ],
)
async def test_a_certificate_gets_its_later_status_with_an_entry(
    store: MemoryStore, before: str, state: LaterState, outcome: Replayed, after: str
) -> None:
    certificate = await issued(store, CertificateStatus(before))
    entries = len(store.tables.audit)
    assert await replayed(store, certificate, state) is outcome
    assert await status_of(store, certificate) == after
    made = store.tables.audit[entries:]
    assert [(entry.action, entry.detail["status"]) for entry in made] == (
        [] if outcome is Replayed.UNCHANGED else [("UpdateCertificate", after)]
    )


async def test_what_is_revoked_in_the_backup_stays_revoked(store: MemoryStore) -> None:
    certificate = await issued(store)
    assert await replayed(store, certificate, later("REVOKED", was_revoked=True)) is Replayed.REVOKED
    assert await replayed(store, certificate, later("ACTIVE")) is Replayed.UNCHANGED
    assert await status_of(store, certificate) is CertificateStatus.REVOKED
    found = await noted(store, certificate)
    assert found is not None
    assert (found.reason, found.revoked_at) == (RevocationReason.UNSPECIFIED, AT)


@pytest.mark.parametrize(
    ("was_revoked", "reason"),
    [(True, RevocationReason.UNSPECIFIED), (False, RevocationReason.CESSATION_OF_OPERATION)],
)
async def test_a_deleted_certificate_is_deleted_again_and_others_see_it_revoked(
    store: MemoryStore, was_revoked: bool, reason: RevocationReason
) -> None:
    certificate = await issued(store)
    assert await replayed(store, certificate, later(None, was_revoked=was_revoked)) is Replayed.DELETED
    assert await status_of(store, certificate) is None
    found = await noted(store, certificate)
    assert found is not None
    assert found.reason is reason
    assert bool(store.tables.rows("revoked_certificate")) is was_revoked
    assert store.tables.audit[-1].action == "DeleteCertificate"


async def test_a_deleted_certificate_of_another_issuer_is_deleted_with_its_attachments(store: MemoryStore) -> None:
    certificate = await issued(store)
    store.execute("UPDATE certificate SET issuer_id = NULL, signed_digest = $1", "ab")
    store.execute(
        "INSERT INTO thing_principal (account, region, thing_name, principal, principal_type) "
        "VALUES ($1, $2, 'lamp', $3, 'NON_EXCLUSIVE_THING')",
        SCOPE.account,
        SCOPE.region,
        certificate.arn,
    )
    assert await replayed(store, replace(certificate, issuer_id=None), later(None)) is Replayed.DELETED
    assert store.tables.rows("thing_principal") == []
    assert store.tables.rows("revocation") == []


async def test_a_certificate_that_is_not_in_the_backup_is_lost_and_others_see_it_revoked(store: MemoryStore) -> None:
    certificate = await issued(store)
    store.execute("DELETE FROM certificate")
    assert await replayed(store, certificate, later("ACTIVE", certificate)) is Replayed.LOST
    found = await noted(store, certificate)
    assert found is not None
    assert (found.reason, found.not_after) == (RevocationReason.CESSATION_OF_OPERATION, END)
    assert await replayed(store, certificate, later(None, certificate, was_revoked=True)) is Replayed.UNCHANGED
    # Of what somebody else has issued, nobody sees anything.
    assert await replayed(store, certificate, later("ACTIVE")) is Replayed.LOST
    assert len(store.tables.rows("revocation")) == 1


@pytest.mark.parametrize(
    ("reason", "outcome", "after"),
    [
        (RevocationReason.KEY_COMPROMISE, Replayed.REVOKED, "REVOKED"),
        (RevocationReason.CERTIFICATE_HOLD, Replayed.DEACTIVATED, "INACTIVE"),
    ],
)
async def test_a_revocation_list_is_followed(
    store: MemoryStore, reason: RevocationReason, outcome: Replayed, after: str
) -> None:
    certificate = await issued(store)
    assert certificate.issuer_id is not None
    entry = Revocation(certificate.issuer_id, certificate.serial_number, reason, AT, END)
    assert await store.write(partial(replay_revocation, CALLER, NOW, entry)) is outcome
    assert await status_of(store, certificate) == after
    found = await noted(store, certificate)
    assert found is not None
    assert (found.reason, found.revoked_at) == (reason, AT)
    unknown = replace(entry, serial_number=SerialNumber(4711))
    assert await store.write(partial(replay_revocation, CALLER, NOW, unknown)) is Replayed.UNCHANGED
    assert len(store.tables.rows("revocation")) == 2


@pytest.mark.parametrize(
    ("before", "state", "outcome"),
    [
        (CACertificateStatus.ACTIVE, later("INACTIVE"), Replayed.DEACTIVATED),
        (CACertificateStatus.INACTIVE, later("ACTIVE"), Replayed.ACTIVATED),
        (CACertificateStatus.ACTIVE, later("ACTIVE"), Replayed.UNCHANGED),
        (CACertificateStatus.ACTIVE, later(None), Replayed.DEACTIVATED),
        (None, later("ACTIVE"), Replayed.LOST),
        (None, later(None), Replayed.UNCHANGED),
    ],
)
async def test_a_ca_certificate_gets_its_later_status(
    store: MemoryStore, before: CACertificateStatus | None, state: LaterState, outcome: Replayed
) -> None:
    certificate = await issued(store)
    if before is not None:
        ca = CACertificate(
            scope=SCOPE,
            certificate_id=CertificateId(certificate.certificate_id),
            der=certificate.der,
            subject_digest="ab" * 32,
            status=before,
            mode=CertificateMode.SNI_ONLY,
            auto_registration=AutoRegistrationStatus.ENABLE,
            registration_config=None,
            not_before=AT,
            not_after=END,
            created_at=AT - timedelta(days=1),
            modified_at=AT - timedelta(days=1),
            customer_version=1,
            generation_id="generation",
        )
        await store.write(lambda: ca_certificate_table.insert_ca_certificate(ca, 10))
    assert await replayed(store, certificate, state, "cacert") is outcome
    found = await store.read(lambda: ca_certificate_table.ca_certificate(SCOPE, certificate.certificate_id))
    assert (found is None) is (before is None)
    if found is not None:
        wanted = CACertificateStatus.INACTIVE if outcome is Replayed.DEACTIVATED else CACertificateStatus.ACTIVE
        assert found.status is wanted
        assert (found.auto_registration is AutoRegistrationStatus.DISABLE) is (state.status is None)


async def test_what_no_checkpoint_covers_activates_nothing_and_names_what_is_lost(store: MemoryStore) -> None:
    certificate = await issued(store, CertificateStatus.INACTIVE)
    claimed = replace(later("ACTIVE"), is_believed=False)
    assert await replayed(store, certificate, claimed) is Replayed.NOT_BELIEVED
    assert await status_of(store, certificate) is CertificateStatus.INACTIVE
    lost = replace(certificate, certificate_id=CertificateId("0" * 64), serial_number=SerialNumber(99))
    assert await replayed(store, lost, replace(later("ACTIVE", lost), is_believed=False)) is Replayed.LOST
    revocation = await noted(store, lost)
    assert revocation is not None
    assert revocation.reason is RevocationReason.CESSATION_OF_OPERATION


async def test_a_leaf_with_the_number_of_another_certificate_revokes_nothing(store: MemoryStore) -> None:
    certificate = await issued(store)
    forged = replace(certificate, certificate_id=CertificateId("0" * 64))
    assert await replayed(store, forged, later("ACTIVE", certificate)) is Replayed.LOST
    assert await noted(store, certificate) is None


async def test_a_ca_certificate_that_no_checkpoint_covers_is_not_activated(store: MemoryStore) -> None:
    certificate = await issued(store)
    claimed = replace(later("ACTIVE"), is_believed=False)
    assert await replayed(store, certificate, claimed, kind="cacert") is Replayed.LOST
