"""Owns claim certificates: issued to a trusted user, valid for minutes, bound to one template, and not listed."""

from __future__ import annotations

from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from msgspec import Struct

from thingmint.core.audit_entry import audit_entry
from thingmint.core.caller import Caller
from thingmint.core.errors import AccessDenied
from thingmint.core.identifiers import CertificateId, TemplateName
from thingmint.core.provisioning.claim import ClaimCertificate
from thingmint.issuance.keys.key_pairs import KeyPair, load_public_key
from thingmint.records.provisioning import claims as claim_table
from thingmint.records.steps import Steps
from thingmint.registration.certificates.issuing import SignedCertificate, sign
from thingmint.registration.certificates.serial_numbers import use_reservation
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.mutation import Change, change
from thingmint.registration.provisioning.provisioning_templates import found_template, kept_template

_NOT_USABLE = "The claim certificate cannot be used any more"


class IssuedClaim(Struct, frozen=True):
    """A claim certificate and its new key pair. The caller gets the private key only once."""

    certificate_id: CertificateId
    der: bytes
    key_pair: KeyPair
    expires_at: datetime


async def create_claim(authority: RegistrationAuthority, caller: Caller, name: TemplateName) -> IssuedClaim:
    """Generate a key pair and a claim certificate for this template only, and return both.

    Raises ResourceNotFound; Throttled if too many callers wait for keys, ServiceUnavailable if this node's clock cannot
    be trusted.
    """
    # Checked before the expensive key pair, and again below, because the template can be deleted meanwhile. Otherwise
    # the claim could be used with a later template of the same name.
    await authority.store.read(lambda: found_template(caller, name))
    authority.require_right_clock()
    key_pair = await authority.key_source.take()
    now = authority.clock.now()
    signed = await _sign(authority, caller, key_pair, now)
    detail = {"certificate_id": signed.certificate_id, "serial_number": f"{signed.serial_number:x}"}

    def program() -> Steps[Change[None]]:
        template = yield from kept_template(caller, name)
        claim = ClaimCertificate(caller.scope, signed.certificate_id, name, template.generation_id, signed.not_after)
        yield from claim_table.insert_claim_certificate(claim)
        yield from use_reservation(signed.reservation)
        entry = audit_entry(caller, now, "CreateProvisioningClaim", template.arn, **detail)
        return Change(None, (entry,))

    await change(authority, program)
    return IssuedClaim(signed.certificate_id, signed.der, key_pair, signed.not_after)


async def recognise_claim(authority: RegistrationAuthority, certificate_id: CertificateId) -> ClaimCertificate | None:
    """Return the valid claim certificate with this id, or None."""
    claim = await authority.store.read(lambda: claim_table.claim_certificate(certificate_id))
    return claim if claim is not None and claim.is_valid_at(authority.clock.now()) else None


async def require_claim(authority: RegistrationAuthority, claim: ClaimCertificate | None) -> None:
    """Raise AccessDenied if there is a claim that has expired or whose template was deleted.

    A connection can last longer than its claim, so every request checks this again.
    """
    if claim is not None and await recognise_claim(authority, claim.certificate_id) != claim:
        raise AccessDenied(_NOT_USABLE)


def kept_claim(claim: ClaimCertificate | None) -> Steps[None]:
    """Raise AccessDenied if the claim's template was deleted after the request began."""
    if claim is not None and (yield from claim_table.claim_certificate(claim.certificate_id)) is None:
        raise AccessDenied(_NOT_USABLE)


async def sweep_claims(authority: RegistrationAuthority, limit: int) -> int:
    """Delete up to ``limit`` expired claim certificates; return how many."""
    now = authority.clock.now()
    return await authority.store.write(lambda: claim_table.delete_expired_claims(now, limit))


async def _sign(
    authority: RegistrationAuthority, caller: Caller, key_pair: KeyPair, now: datetime
) -> SignedCertificate:
    public_key = load_public_key(key_pair.public_key_der)
    # As in AWS's claims, 64 hexadecimal digits. These are the digest of the key.
    digest = hashes.Hash(hashes.SHA256())
    digest.update(key_pair.public_key_der)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, digest.finalize().hex())])
    return await sign(authority, caller, authority.issuers.active_for_claims, public_key, subject.public_bytes(), now)
