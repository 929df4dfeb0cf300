"""Owns why a certificate of the service is revoked, and which statuses others must see as such; knows no CRL."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import SerialNumber


class RevocationReason(IntEnum):
    """The CRLReason of RFC 5280, 5.3.1, by its numbers."""

    UNSPECIFIED = 0
    KEY_COMPROMISE = 1
    AFFILIATION_CHANGED = 3
    SUPERSEDED = 4
    CESSATION_OF_OPERATION = 5
    CERTIFICATE_HOLD = 6
    REMOVE_FROM_CRL = 8
    PRIVILEGE_WITHDRAWN = 9

    @property
    def word(self) -> str:
        """The name as RFC 5280 writes it, such as keyCompromise."""
        first, *rest = self.name.lower().split("_")
        return first + "".join("CRL" if part == "crl" else part.capitalize() for part in rest)


# A certificate on hold may become valid again; one with any other of these stays revoked.
GIVEN_BY_OPERATOR = tuple(
    reason
    for reason in RevocationReason
    if reason not in (RevocationReason.CERTIFICATE_HOLD, RevocationReason.REMOVE_FROM_CRL)
)
_BY_WORD = {reason.word: reason for reason in GIVEN_BY_OPERATOR}

# The gateway refuses devices with these statuses, and so must others. PENDING_ACTIVATION may connect.
_ON_HOLD = frozenset(
    {CertificateStatus.INACTIVE, CertificateStatus.PENDING_TRANSFER, CertificateStatus.REGISTER_INACTIVE}
)


@dataclass(frozen=True, slots=True)
class Revocation:
    """That an issuer's certificate is revoked or on hold, since when, and until when it would have been valid.

    With the reason REMOVE_FROM_CRL it was on hold and is valid again.
    """

    issuer_id: str
    serial_number: SerialNumber
    reason: RevocationReason
    revoked_at: datetime
    not_after: datetime


def reason_of_status(status: CertificateStatus) -> RevocationReason | None:
    """Return the reason that others are shown for a certificate with this status; None if it is valid."""
    if status is CertificateStatus.REVOKED:
        # UpdateCertificate has no reason.
        return RevocationReason.UNSPECIFIED
    return RevocationReason.CERTIFICATE_HOLD if status in _ON_HOLD else None


def revocation_reason(word: str) -> RevocationReason:
    """Return the reason of this name, for a certificate that is to stay revoked; raise InvalidRequest for others."""
    try:
        return _BY_WORD[word]
    except KeyError:
        raise InvalidRequest(f"The reason of a revocation is one of {', '.join(_BY_WORD)}, not {word!r}") from None
