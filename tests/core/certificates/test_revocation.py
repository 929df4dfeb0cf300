"""Reasons of revocations have RFC 5280's names and numbers, and statuses that cannot connect are shown."""

import pytest
from cryptography import x509

from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.certificates.revocation import (
    GIVEN_BY_OPERATOR,
    RevocationReason,
    reason_of_status,
    revocation_reason,
)
from thingmint.core.errors import InvalidRequest


@pytest.mark.parametrize("reason", list(RevocationReason))
def test_reasons_are_those_that_cryptography_knows(reason: RevocationReason) -> None:
    assert x509.ReasonFlags(reason.word).value == reason.word


@pytest.mark.parametrize("reason", GIVEN_BY_OPERATOR)
def test_an_operator_names_a_reason_for_good(reason: RevocationReason) -> None:
    assert revocation_reason(reason.word) is reason


@pytest.mark.parametrize("word", ["certificateHold", "removeFromCRL", "aACompromise", "KEYCOMPROMISE", ""])
def test_other_words_are_no_reason(word: str) -> None:
    with pytest.raises(InvalidRequest, match="one of unspecified, keyCompromise"):
        revocation_reason(word)


def test_what_cannot_connect_is_shown() -> None:
    shown = {status: reason_of_status(status) for status in CertificateStatus}

    assert shown == {
        CertificateStatus.ACTIVE: None,
        CertificateStatus.PENDING_ACTIVATION: None,
        CertificateStatus.INACTIVE: RevocationReason.CERTIFICATE_HOLD,
        CertificateStatus.PENDING_TRANSFER: RevocationReason.CERTIFICATE_HOLD,
        CertificateStatus.REGISTER_INACTIVE: RevocationReason.CERTIFICATE_HOLD,
        CertificateStatus.REVOKED: RevocationReason.UNSPECIFIED,
    }
