"""Owns the revocation records of the service's certificates. Every change of status updates them for CRLs and OCSP.

The gateway refuses a certificate that is no longer in the registry. So CRLs and OCSP show it as revoked until its
expiry, because otherwise relying parties that trust its issuer would accept it.
"""

from datetime import datetime, timedelta

from thingmint.core.certificates.certificate import Certificate
from thingmint.core.certificates.revocation import Revocation, RevocationReason, reason_of_status
from thingmint.records.certificates import revocations as revocation_table
from thingmint.records.steps import Steps
from thingmint.registration.kernel.authority import RegistrationAuthority

# RFC 5280, 3.3: an entry stays until it was in a list that was issued after the certificate's expiry. No list is valid
# for longer than this.
KEPT_AFTER_END = timedelta(days=32)


def record_standing(
    before: Certificate | None, after: Certificate, at: datetime, reason: RevocationReason | None = None
) -> Steps[None]:
    """Record the revocation state of a certificate if it changes. ``reason`` is the reason of a revocation if known."""
    if after.issuer_id is None:
        return
    shown = reason_of_status(after.status)
    if shown is (None if before is None else reason_of_status(before.status)):
        return
    if shown is None:
        yield from revocation_table.end_hold(after.issuer_id, after.serial_number)
    else:
        shown = reason if reason is not None and shown is RevocationReason.UNSPECIFIED else shown
        yield from revocation_table.record_revocation(_revocation(after.issuer_id, after, shown, at))


def record_deletion(certificate: Certificate, at: datetime) -> Steps[None]:
    """Record that a certificate is no longer in the registry. If it was revoked, its date and reason do not change.

    An expired certificate is recorded, too, because the clock may be ahead.
    """
    if certificate.issuer_id is None:
        return
    ended = _revocation(certificate.issuer_id, certificate, RevocationReason.CESSATION_OF_OPERATION, at)
    yield from revocation_table.record_revocation(ended)


def record_reason(certificate: Certificate, reason: RevocationReason) -> Steps[bool]:
    """Record the reason of a revoked certificate; return whether it is new."""
    if certificate.issuer_id is None:
        return False
    return (yield from revocation_table.set_reason(certificate.issuer_id, certificate.serial_number, reason))


async def sweep_revocations(authority: RegistrationAuthority, limit: int) -> int:
    """Delete up to ``limit`` revocations of certificates that expired over a month ago; return how many."""
    before = authority.clock.now() - KEPT_AFTER_END
    return await authority.store.write(lambda: revocation_table.delete_ended_revocations(before, limit))


def _revocation(issuer_id: str, certificate: Certificate, reason: RevocationReason, at: datetime) -> Revocation:
    return Revocation(issuer_id, certificate.serial_number, reason, at, certificate.not_after)
