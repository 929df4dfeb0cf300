"""Owns the reasons of revocation, and which statuses count as revoked for relying parties. Does not encode CRLs."""

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


# A certificate on hold can become valid again. With any other of these reasons it stays revoked.
GIVEN_BY_OPERATOR = tuple(
    reason
    for reason in RevocationReason
    if reason not in (RevocationReason.CERTIFICATE_HOLD, RevocationReason.REMOVE_FROM_CRL)
)
_BY_WORD = {reason.word: reason for reason in GIVEN_BY_OPERATOR}

# The gateway refuses devices with these statuses, and relying parties must do the same. PENDING_ACTIVATION may connect.
_ON_HOLD = frozenset(
    {CertificateStatus.INACTIVE, CertificateStatus.PENDING_TRANSFER, CertificateStatus.REGISTER_INACTIVE}
)


@dataclass(frozen=True, slots=True)
class Revocation:
    """A certificate of an issuer that is revoked or on hold: since when, and when it expires.

    The reason REMOVE_FROM_CRL means that the certificate was on hold and is valid again.
    """

    issuer_id: str
    serial_number: SerialNumber
    reason: RevocationReason
    revoked_at: datetime
    not_after: datetime


def reason_of_status(status: CertificateStatus) -> RevocationReason | None:
    """Return the reason that relying parties see for a certificate with this status; None if it is valid."""
    if status is CertificateStatus.REVOKED:
        # UpdateCertificate has no parameter for a reason.
        return RevocationReason.UNSPECIFIED
    return RevocationReason.CERTIFICATE_HOLD if status in _ON_HOLD else None


def revocation_reason(word: str) -> RevocationReason:
    """Return the reason with this name; raise InvalidRequest unless it is one for a permanent revocation."""
    try:
        return _BY_WORD[word]
    except KeyError:
        raise InvalidRequest(f"The reason of a revocation is one of {', '.join(_BY_WORD)}, not {word!r}") from None
