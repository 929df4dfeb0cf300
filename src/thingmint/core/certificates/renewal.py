"""Owns what the renewal of a certificate is, and how long the old certificate stays beside the new one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from thingmint.core.errors import LimitExceeded
from thingmint.core.identifiers import CertificateId, Scope

DEFAULT_OVERLAP = timedelta(days=7)
MOST_RENEWALS = 8
"""A device that loses both the answer and its new key may ask again so often while its old certificate is ACTIVE."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """A certificate that was renewed, the key of the new one (SHA-256 of its SubjectPublicKeyInfo in hex), and its id.

    The old certificate becomes INACTIVE at ``overlap_ends_at``.
    """

    scope: Scope
    certificate_id: CertificateId
    key_digest: str
    renewed_as: CertificateId
    overlap_ends_at: datetime


def overlap_end(earlier: Sequence[Renewal], at: datetime, overlap: timedelta) -> datetime:
    """Return when the overlap of a certificate ends that is renewed now; the first renewal has decided it.

    Raises LimitExceeded if the certificate was renewed as often as it may be.
    """
    if len(earlier) >= MOST_RENEWALS:
        raise LimitExceeded(f"The certificate was renewed {MOST_RENEWALS} times: use one of the new certificates")
    return min((each.overlap_ends_at for each in earlier), default=at + overlap)
