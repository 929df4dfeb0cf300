"""The status machine of contract B.1 and the rules of deletion of B.2."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingmint.core.certificates.certificate import (
    SET_BY_CALLER,
    TRANSITIONS,
    Certificate,
    CertificateMode,
    CertificateStatus,
    CertificateSummary,
    ensure_deletable,
    with_status,
)
from thingmint.core.errors import CertificateStateRefused, InvalidRequest
from thingmint.core.identifiers import AccountId, Region, Scope, SerialNumber, certificate_id_of

ACTIVE, INACTIVE, REVOKED = CertificateStatus.ACTIVE, CertificateStatus.INACTIVE, CertificateStatus.REVOKED
PENDING_TRANSFER, PENDING_ACTIVATION = CertificateStatus.PENDING_TRANSFER, CertificateStatus.PENDING_ACTIVATION
REGISTER_INACTIVE = CertificateStatus.REGISTER_INACTIVE
SCOPE = Scope(AccountId("123456789012"), Region("eu-west-1"))
THEN = datetime(2026, 11, 23, 12, tzinfo=UTC)
NOW = THEN + timedelta(hours=1)


def certificate(status: CertificateStatus) -> Certificate:
    return Certificate(
        scope=SCOPE,
        certificate_id=certificate_id_of(b"der"),
        der=b"der",
        issuer_id="00" * 32,
        serial_number=SerialNumber(1),
        status=status,
        mode=CertificateMode.DEFAULT,
        not_before=THEN,
        not_after=THEN + timedelta(days=1),
        created_at=THEN,
        modified_at=THEN,
        customer_version=1,
        generation_id="0b7e3f0e-1d8b-4a53-9f0d-2a4b6f1f7e51",
    )


@pytest.mark.parametrize("before", [ACTIVE, INACTIVE, PENDING_ACTIVATION, REGISTER_INACTIVE])
@pytest.mark.parametrize("after", [ACTIVE, INACTIVE, REVOKED])
def test_status_changes_and_the_version_counts_it(before: CertificateStatus, after: CertificateStatus) -> None:
    changed = with_status(certificate(before), after, NOW)
    assert changed.status is after
    assert changed.customer_version == (1 if before is after else 2)
    assert changed.modified_at == (THEN if before is after else NOW)


def test_revoked_certificate_may_be_revoked_again() -> None:
    revoked = certificate(REVOKED)
    assert with_status(revoked, REVOKED, NOW) is revoked


@pytest.mark.parametrize("after", [ACTIVE, INACTIVE])
def test_revocation_is_final(after: CertificateStatus) -> None:
    with pytest.raises(CertificateStateRefused, match=f"from REVOKED to {after}"):
        with_status(certificate(REVOKED), after, NOW)


@pytest.mark.parametrize("after", [ACTIVE, INACTIVE, REVOKED])
def test_pending_transfer_cannot_be_left_by_an_update(after: CertificateStatus) -> None:
    with pytest.raises(CertificateStateRefused):
        with_status(certificate(PENDING_TRANSFER), after, NOW)


@pytest.mark.parametrize("before", list(CertificateStatus))
@pytest.mark.parametrize("after", [PENDING_TRANSFER, PENDING_ACTIVATION, REGISTER_INACTIVE])
def test_statuses_of_the_service_cannot_be_requested(before: CertificateStatus, after: CertificateStatus) -> None:
    with pytest.raises(InvalidRequest, match=after):
        with_status(certificate(before), after, NOW)


def test_every_status_has_its_line_in_the_table() -> None:
    assert set(TRANSITIONS) == set(CertificateStatus)
    assert all(targets <= SET_BY_CALLER for targets in TRANSITIONS.values())


@given(st.sampled_from(list(CertificateStatus)), st.lists(st.sampled_from(list(CertificateStatus)), max_size=8))
def test_no_sequence_of_updates_brings_a_revoked_certificate_back(
    first: CertificateStatus, requests: list[CertificateStatus]
) -> None:
    current, was_revoked = certificate(first), first is REVOKED
    for requested in requests:
        try:
            current = with_status(current, requested, NOW)
        except (InvalidRequest, CertificateStateRefused):
            continue
        was_revoked = was_revoked or requested is REVOKED
        assert not was_revoked or current.status is REVOKED


@pytest.mark.parametrize("status", [INACTIVE, REVOKED, PENDING_ACTIVATION, REGISTER_INACTIVE])
def test_certificate_that_admits_nobody_may_be_deleted(status: CertificateStatus) -> None:
    ensure_deletable(certificate(status))


def test_active_certificate_cannot_be_deleted() -> None:
    with pytest.raises(
        CertificateStateRefused, match=r"Certificate must be deactivated \(not ACTIVE\) before deletion"
    ):
        ensure_deletable(certificate(ACTIVE))


def test_certificate_under_transfer_cannot_be_deleted() -> None:
    with pytest.raises(CertificateStateRefused, match="PENDING_TRANSFER"):
        ensure_deletable(certificate(PENDING_TRANSFER))


def test_arn_names_partition_region_account_and_id() -> None:
    plain = certificate(ACTIVE)
    assert plain.arn == f"arn:aws:iot:eu-west-1:123456789012:cert/{plain.certificate_id}"
    summary = CertificateSummary(
        Scope(AccountId("123456789012"), Region("cn-north-1")), plain.certificate_id, ACTIVE, plain.mode, THEN, 1
    )
    assert summary.arn == f"arn:aws-cn:iot:cn-north-1:123456789012:cert/{plain.certificate_id}"
