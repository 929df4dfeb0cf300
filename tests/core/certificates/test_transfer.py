"""The states of a transfer, and who may end it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from thingmint.core.certificates.certificate import Certificate, CertificateMode, CertificateStatus
from thingmint.core.certificates.transfer import (
    TRANSFERABLE,
    OutgoingCertificate,
    offered_by,
    offered_to,
    target_scope,
    with_transfer_accepted,
    with_transfer_begun,
    with_transfer_cancelled,
    with_transfer_rejected,
)
from thingmint.core.errors import CertificateStateRefused, InvalidRequest, ResourceNotFound, TransferCompleted
from thingmint.core.identifiers import AccountId, CertificateId, Region, Scope, SerialNumber

AT = datetime(2026, 3, 4, tzinfo=UTC)
LATER = AT + timedelta(hours=1)
SOURCE, TARGET, THIRD = (AccountId(digit * 12) for digit in "123")
ID = CertificateId("ab" * 32)
CERTIFICATE = Certificate(
    scope=Scope(SOURCE, Region("eu-west-1")),
    certificate_id=ID,
    der=b"",
    issuer_id=None,
    serial_number=SerialNumber(1),
    status=CertificateStatus.INACTIVE,
    mode=CertificateMode.DEFAULT,
    not_before=AT,
    not_after=AT,
    created_at=AT,
    modified_at=AT,
    customer_version=1,
    generation_id="generation",
)
PENDING = with_transfer_begun(CERTIFICATE, TARGET, "yours", AT)
ACCEPTED = with_transfer_accepted(PENDING, LATER, active=False)
REJECTED = with_transfer_rejected(PENDING, "no", LATER)
CANCELLED = with_transfer_cancelled(PENDING, LATER)


def test_what_is_offered_is_pending_and_stays_its_accounts() -> None:
    assert (PENDING.status, PENDING.customer_version, PENDING.scope) == (
        CertificateStatus.PENDING_TRANSFER,
        2,
        CERTIFICATE.scope,
    )
    assert PENDING.transfer_to == TARGET
    assert CERTIFICATE.transfer_to is None
    assert PENDING.transfer is not None
    assert (PENDING.transfer.message, PENDING.transfer.started_at) == ("yours", AT)
    assert target_scope(PENDING) == Scope(TARGET, Region("eu-west-1"))


@pytest.mark.parametrize("status", sorted(set(CertificateStatus) - TRANSFERABLE))
def test_what_is_active_revoked_or_pending_cannot_be_offered(status: CertificateStatus) -> None:
    with pytest.raises(CertificateStateRefused, match=str(status)):
        with_transfer_begun(replace(CERTIFICATE, status=status), TARGET, None, AT)


@pytest.mark.parametrize("status", sorted(TRANSFERABLE))
def test_everything_else_can(status: CertificateStatus) -> None:
    assert with_transfer_begun(replace(CERTIFICATE, status=status), TARGET, None, AT).transfer_to == TARGET


def test_an_account_cannot_be_offered_its_own() -> None:
    with pytest.raises(InvalidRequest, match="already"):
        with_transfer_begun(CERTIFICATE, SOURCE, None, AT)


@pytest.mark.parametrize("active", [True, False])
def test_what_is_accepted_is_the_targets(*, active: bool) -> None:
    accepted = with_transfer_accepted(PENDING, LATER, active=active)
    assert accepted.status is (CertificateStatus.ACTIVE if active else CertificateStatus.INACTIVE)
    assert (accepted.scope, accepted.previous_account) == (target_scope(PENDING), SOURCE)
    assert accepted.transfer is not None
    assert (accepted.transfer.accepted_at, accepted.modified_at, accepted.customer_version) == (LATER, LATER, 3)
    assert accepted.transfer_to is None


def test_what_is_rejected_goes_back_with_the_reason() -> None:
    assert (REJECTED.status, REJECTED.scope) == (CertificateStatus.INACTIVE, CERTIFICATE.scope)
    assert REJECTED.transfer is not None
    assert (REJECTED.transfer.rejected_at, REJECTED.transfer.reject_reason) == (LATER, "no")


def test_what_is_cancelled_stays_where_it_was() -> None:
    assert (CANCELLED.status, CANCELLED.scope, CANCELLED.transfer) == (
        CertificateStatus.INACTIVE,
        CERTIFICATE.scope,
        PENDING.transfer,
    )


def test_the_target_ends_a_pending_transfer_and_so_does_the_source() -> None:
    other = replace(CERTIFICATE, scope=Scope(THIRD, Region("eu-west-1")))
    assert offered_to(TARGET, [other, PENDING], ID) is PENDING
    assert offered_by(SOURCE, [other, PENDING], ID) is PENDING


@pytest.mark.parametrize("ended", [ACCEPTED, REJECTED, CANCELLED], ids=["accepted", "rejected", "cancelled"])
def test_an_ended_transfer_ends_once(ended: Certificate) -> None:
    for choose, account in ((offered_to, TARGET), (offered_by, SOURCE)):
        with pytest.raises(TransferCompleted, match=ID):
            choose(account, [ended], ID)


@pytest.mark.parametrize("certificate", [CERTIFICATE, PENDING, ACCEPTED, REJECTED, CANCELLED])
def test_to_a_third_account_the_certificate_does_not_exist(certificate: Certificate) -> None:
    for choose in (offered_to, offered_by):
        with pytest.raises(ResourceNotFound, match=ID):
            choose(THIRD, [certificate], ID)


def test_neither_account_may_do_the_others_part() -> None:
    for choose, account in ((offered_to, SOURCE), (offered_by, TARGET)):
        with pytest.raises(InvalidRequest, match="no such transfer"):
            choose(account, [PENDING], ID)


def test_what_was_never_offered_has_no_transfer_to_end() -> None:
    for choose in (offered_to, offered_by):
        with pytest.raises(InvalidRequest, match="no such transfer"):
            choose(SOURCE, [CERTIFICATE], ID)
    with pytest.raises(InvalidRequest, match="no such transfer"):
        offered_by(TARGET, [ACCEPTED], ID)


def test_an_outgoing_certificate_is_named_as_its_target_will_name_it() -> None:
    assert PENDING.transfer is not None
    outgoing = OutgoingCertificate(PENDING.scope, ID, PENDING.transfer, AT, 1)
    assert outgoing.target_arn == f"arn:aws:iot:eu-west-1:{TARGET}:cert/{ID}"
