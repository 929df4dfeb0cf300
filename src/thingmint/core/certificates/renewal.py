"""Owns the renewal of a certificate, and how long the old certificate stays valid beside the new one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from thingmint.core.errors import LimitExceeded
from thingmint.core.identifiers import CertificateId, Scope

DEFAULT_OVERLAP = timedelta(days=7)
MOST_RENEWALS = 8
"""How often a device whose answer and new key were lost can renew again while its old certificate is ACTIVE."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """A renewed certificate, and the new one's key (hexadecimal SHA-256 of its SubjectPublicKeyInfo) and id.

    The old certificate becomes INACTIVE at ``overlap_ends_at``.
    """

    scope: Scope
    certificate_id: CertificateId
    key_digest: str
    renewed_as: CertificateId
    overlap_ends_at: datetime


def overlap_end(earlier: Sequence[Renewal], at: datetime, overlap: timedelta) -> datetime:
    """Return when the overlap of a certificate that is renewed now ends. The first renewal decides it.

    Raises LimitExceeded if the certificate was already renewed the maximum number of times.
    """
    if len(earlier) >= MOST_RENEWALS:
        raise LimitExceeded(f"The certificate was renewed {MOST_RENEWALS} times: use one of the new certificates")
    return min((each.overlap_ends_at for each in earlier), default=at + overlap)
