"""Owns changes of status of the service's own certificates: all go through here, so that CRLs and OCSP follow them.

A certificate that is not in the registry any more is refused by the gateway, and so it is shown as revoked until its
own end: a relying party that knows its issuer would accept it otherwise.
"""

from datetime import datetime, timedelta

from thingmint.core.certificates.certificate import Certificate
from thingmint.core.certificates.revocation import Revocation, RevocationReason, reason_of_status
from thingmint.records.certificates import revocations as revocation_table
from thingmint.records.steps import Steps
from thingmint.registration.kernel.authority import RegistrationAuthority

# RFC 5280, 3.3: an entry stays until a list that was issued after the certificate's end has had it. No list is valid
# for longer than this.
KEPT_AFTER_END = timedelta(days=32)


def note_standing(
    before: Certificate | None, after: Certificate, at: datetime, reason: RevocationReason | None = None
) -> Steps[None]:
    """Record what others see of a certificate, if that changes; ``reason`` is why it is revoked, if that is known."""
    if after.issuer_id is None:
        return
    shown = reason_of_status(after.status)
    if shown is (None if before is None else reason_of_status(before.status)):
        return
    if shown is None:
        yield from revocation_table.end_hold(after.issuer_id, after.serial_number)
    else:
        shown = reason if reason is not None and shown is RevocationReason.UNSPECIFIED else shown
        yield from revocation_table.note_revocation(_revocation(after.issuer_id, after, shown, at))


def note_deletion(certificate: Certificate, at: datetime) -> Steps[None]:
    """Record that a certificate is in the registry no longer; one that was revoked keeps its date and reason."""
    if certificate.issuer_id is None or certificate.not_after < at:
        return
    ended = _revocation(certificate.issuer_id, certificate, RevocationReason.CESSATION_OF_OPERATION, at)
    yield from revocation_table.note_revocation(ended)


def note_reason(certificate: Certificate, reason: RevocationReason) -> Steps[bool]:
    """Record why a revoked certificate is; return whether that is new."""
    if certificate.issuer_id is None:
        return False
    return (yield from revocation_table.set_reason(certificate.issuer_id, certificate.serial_number, reason))


async def sweep_revocations(authority: RegistrationAuthority, limit: int) -> int:
    """Forget up to ``limit`` revocations of certificates that ended a month ago; return how many."""
    before = authority.clock.now() - KEPT_AFTER_END
    return await authority.store.write(lambda: revocation_table.delete_ended_revocations(before, limit))


def _revocation(issuer_id: str, certificate: Certificate, reason: RevocationReason, at: datetime) -> Revocation:
    return Revocation(issuer_id, certificate.serial_number, reason, at, certificate.not_after)
