"""Owns the search for a device's account if its host name has none and the service's own account does not know it.

It is the only account that has registered the certificate. For an unregistered certificate it is the only account with
a CA that signed it and automatic registration. If there are several accounts, the device is refused, because it could
get the identity of another account's device. A host name that begins with the account's digits selects the account.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from thingmint.core.certificates.ca_certificate import CACertificate
from thingmint.core.errors import CertificateConflict, CertificateInvalid
from thingmint.core.identifiers import AccountId, Region, certificate_id_of
from thingmint.issuance.foreign.certificate import load_foreign, load_registered
from thingmint.issuance.foreign.user_ca import is_issued_by
from thingmint.records.certificates import ca_certificates as ca_certificate_table
from thingmint.records.certificates import certificates as certificate_table
from thingmint.records.steps import Steps
from thingmint.registration.kernel.authority import RegistrationAuthority

# Each needs the verification of a signature, and any account can register CA certificates with any subject.
MAX_ISSUERS: Final = 16


async def account_of_unnamed(authority: RegistrationAuthority, region: Region, leaf_der: bytes) -> AccountId | None:
    """Return the account, or None if there is none; raise CertificateConflict if there are several."""
    certificate_id = certificate_id_of(leaf_der)

    def registered() -> Steps[Sequence[AccountId]]:
        return certificate_table.accounts_of_certificate(region, certificate_id)

    return _only(await authority.store.read(registered) or await _accounts_of_issuers(authority, region, leaf_der))


async def _accounts_of_issuers(
    authority: RegistrationAuthority, region: Region, leaf_der: bytes
) -> Sequence[AccountId]:
    try:
        leaf = load_foreign(leaf_der, "certificate")
    except CertificateInvalid:
        return ()

    def program() -> Steps[Sequence[CACertificate]]:
        return ca_certificate_table.ca_certificates_of_any_account(region, leaf.issuer_digest, MAX_ISSUERS + 1)

    found = await authority.store.read(program)
    if len(found) > MAX_ISSUERS:
        raise _conflict()
    now = authority.clock.now()
    signers = [
        each
        for each in found
        if each.not_before <= now <= each.not_after and is_issued_by(leaf, load_registered(each.der, "CA certificate"))
    ]
    return [each.scope.account for each in signers]


def _only(accounts: Sequence[AccountId]) -> AccountId | None:
    if len(set(accounts)) > 1:
        raise _conflict()
    return accounts[0] if accounts else None


def _conflict() -> CertificateConflict:
    return CertificateConflict("Several accounts may have registered the certificate, and the host name names none")
